"""Reading ONNX graphs: files, constants, axes, layers."""

from micam_fast.onnx_model.files import OnnxFile, open_model
from micam_fast.onnx_model.model_graph import ModelGraph
from micam_fast.onnx_model.reader import read_layers

__all__ = ["ModelGraph", "OnnxFile", "open_model", "read_layers"]
