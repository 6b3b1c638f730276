"""Measurements against named alternatives, in one run: `make bench`."""
