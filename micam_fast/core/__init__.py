"""What every wing shares."""
