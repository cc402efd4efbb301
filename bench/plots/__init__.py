"""One figure a file: draw(results, axes)."""
