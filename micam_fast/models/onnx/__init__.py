"""Reading ONNX graphs: files, constants, axes, layers."""

from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.model_graph import ModelGraph, Reading
from micam_fast.models.onnx.opening import open_model
from micam_fast.models.onnx.reader import find_notes, name_unused_outputs, read_layers

__all__ = [
    "ModelGraph",
    "OnnxFile",
    "Reading",
    "find_notes",
    "name_unused_outputs",
    "open_model",
    "read_layers",
]
