"""Many samples to files."""
