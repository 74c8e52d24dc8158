"""Receptive fields: which cells of the input each element of a value depends on."""

from micam_fast.models.onnx.dependence.cells import Dependence, input_dependence
from micam_fast.models.onnx.dependence.following import follow

__all__ = ["Dependence", "follow", "input_dependence"]
