"""From activations to maps."""
