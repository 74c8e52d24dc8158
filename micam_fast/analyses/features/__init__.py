"""Which parts of a sample excite a feature map most."""
