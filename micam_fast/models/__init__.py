"""What a model file says."""
