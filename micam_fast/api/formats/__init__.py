"""Formats of diagrams, one file for each; `core.formats` has their rows."""
