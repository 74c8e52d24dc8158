"""Samples through a model: ONNX Runtime, batches, threads, streams."""
