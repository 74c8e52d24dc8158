"""The poster: every layer of a large network on one page."""
