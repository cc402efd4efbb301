"""Watchers that decide whether a run may be believed."""
