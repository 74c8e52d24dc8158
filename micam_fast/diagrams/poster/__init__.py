"""The poster: every layer of a network on one page, as words of a text: stage, block, layer."""
