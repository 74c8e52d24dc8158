"""Training of a CNN on TFRecords, its evaluation, and the diagrams of its test samples."""
