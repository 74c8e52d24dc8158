"""All feature maps of a layer in one picture."""
