"""MiCAM: what every layer of a CNN extracts from a sample, in one picture.

Model integrated Class Activation Maps (Klepetko and Krishnan, "MiCAM: Visualizing Feature
Extraction of Nonnatural Data", 2023) of any trained CNN in ONNX.

>>> import micam_fast
>>> from micam_fast.demo import DIGITS, MODEL
>>> import numpy as np
>>> explanation = micam_fast.explain(MODEL, np.load(DIGITS)[0])
>>> explanation.prediction.index
0
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from micam_fast.errors import (
        DataError,
        ExportError,
        LayerSelectionError,
        LayoutEngineError,
        MicamError,
        MissingExtraError,
        ModelError,
        OutputError,
        SampleError,
        TrainingError,
    )
    from micam_fast.explanation import Explanation, Prediction
    from micam_fast.exporting import ExportReport, export
    from micam_fast.layers import Layer
    from micam_fast.loading import explain, load_model
    from micam_fast.model import Model
    from micam_fast.results import LayerMap

# Where each public name lives: heavy libraries load when a name is first used.
_HOMES = {
    "DataError": "errors",
    "Explanation": "explanation",
    "ExportError": "errors",
    "ExportReport": "exporting",
    "Layer": "layers",
    "LayerMap": "results",
    "LayerSelectionError": "errors",
    "LayoutEngineError": "errors",
    "MicamError": "errors",
    "MissingExtraError": "errors",
    "Model": "model",
    "ModelError": "errors",
    "OutputError": "errors",
    "Prediction": "explanation",
    "SampleError": "errors",
    "TrainingError": "errors",
    "explain": "loading",
    "export": "exporting",
    "load_model": "loading",
}

__all__ = [
    "DataError",
    "Explanation",
    "ExportError",
    "ExportReport",
    "Layer",
    "LayerMap",
    "LayerSelectionError",
    "LayoutEngineError",
    "MicamError",
    "MissingExtraError",
    "Model",
    "ModelError",
    "OutputError",
    "Prediction",
    "SampleError",
    "TrainingError",
    "explain",
    "export",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("micam-fast")
    if name not in _HOMES:
        raise AttributeError(f"module 'micam_fast' has no attribute {name!r}")
    return getattr(importlib.import_module(f"micam_fast.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
