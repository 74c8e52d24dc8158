"""Weights that the package finds in a model."""

from __future__ import annotations

from pathlib import Path

import onnx

from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.randomizing import LayerWeights, find_weights


def found_in(source: onnx.ModelProto | Path) -> dict[str, LayerWeights]:
    file = open_model(source)
    return find_weights(file, read_layers(file))


def tensors_of(source: onnx.ModelProto | Path) -> dict[str, set[str]]:
    """Weights of the layers that have some."""
    return {name: set(each.tensors) for name, each in found_in(source).items() if each.tensors}
