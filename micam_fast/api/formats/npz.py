"""The numbers of a sample as NPZ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.output_files import archive_name, atomic_file
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style

SCHEMA = 2
"""Counts up where arrays of an NPZ are called otherwise, or mean something else."""


def write(shown: Shown, path: Path, style: Style) -> list[Path]:
    """Write the file, and return its path."""
    layers = shown.scene.layers
    arrays = {
        "schema": np.array(SCHEMA),
        "layers": np.array([layer.name for layer in layers]),
        "onnx_names": np.array([layer.onnx_name or "" for layer in layers]),
        "global_range": np.array(shown.global_range),
        "prediction": _answer(shown),
    }
    for layer, each in shown.maps.items():
        name = archive_name(layer)
        arrays[f"cam/{name}"] = each.cam
        arrays[f"rgba/{name}"] = each.rgba
        arrays[f"range/{name}"] = np.array(each.range)
        arrays[f"min_max/{name}"] = np.array([each.minimum, each.maximum])
        if each.activation_range is not None:
            arrays[f"activation_min_max/{name}"] = np.array(each.activation_range)
    with atomic_file(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
    return [path]


def _answer(shown: Shown) -> NDArray[Any]:
    """Probabilities of classes, else the raw output, else nothing."""
    if shown.prediction is not None and shown.prediction.claimed:
        return shown.prediction.probabilities
    return np.empty(0) if shown.output is None else shown.output
