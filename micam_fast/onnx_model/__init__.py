"""Reading ONNX graphs: files, constants, axes, layers."""

from micam_fast.onnx_model.files import OnnxFile
from micam_fast.onnx_model.model_graph import ModelGraph, Reading
from micam_fast.onnx_model.opening import open_model
from micam_fast.onnx_model.reader import find_notes, name_unused_outputs, read_layers

__all__ = [
    "ModelGraph",
    "OnnxFile",
    "Reading",
    "find_notes",
    "name_unused_outputs",
    "open_model",
    "read_layers",
]
