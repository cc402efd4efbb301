"""The two worlds in which an engine is hosted."""
