"""Reading ONNX graphs: files, constants, axes, layers."""

from micam_fast.onnx_model.files import OnnxFile, open_model
from micam_fast.onnx_model.reader import ModelGraph, read_layers

__all__ = ["ModelGraph", "OnnxFile", "open_model", "read_layers"]
