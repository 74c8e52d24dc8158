"""The picture of a model with its maps."""
