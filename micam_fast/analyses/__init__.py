"""One question each about a model's maps."""
