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
    from micam_fast.activations import LayerActivation
    from micam_fast.averaging import Average
    from micam_fast.axis_names import AxisNames
    from micam_fast.checking import Check, check
    from micam_fast.differences import Difference, LayerDifference, diff
    from micam_fast.errors import (
        AxisError,
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
    from micam_fast.features import Feature, FeatureFinder, strongest_features
    from micam_fast.layers import Layer
    from micam_fast.loading import explain, load_model
    from micam_fast.model import Model
    from micam_fast.permutations import Permutation
    from micam_fast.results import LayerMap
    from micam_fast.statistics import LayerStatistics, Statistics, stats
    from micam_fast.viewer import View

# Where each public name lives: heavy libraries load when a name is first used.
_HOMES = {
    "Average": "averaging",
    "AxisError": "errors",
    "AxisNames": "axis_names",
    "Check": "checking",
    "DataError": "errors",
    "Difference": "differences",
    "Explanation": "explanation",
    "ExportError": "errors",
    "ExportReport": "exporting",
    "Feature": "features",
    "FeatureFinder": "features",
    "Layer": "layers",
    "LayerActivation": "activations",
    "LayerDifference": "differences",
    "LayerMap": "results",
    "LayerSelectionError": "errors",
    "LayerStatistics": "statistics",
    "LayoutEngineError": "errors",
    "MicamError": "errors",
    "MissingExtraError": "errors",
    "Model": "model",
    "ModelError": "errors",
    "OutputError": "errors",
    "Permutation": "permutations",
    "Prediction": "explanation",
    "SampleError": "errors",
    "Statistics": "statistics",
    "TrainingError": "errors",
    "View": "viewer",
    "check": "checking",
    "diff": "differences",
    "explain": "loading",
    "export": "exporting",
    "load_model": "loading",
    "stats": "statistics",
    "strongest_features": "features",
}

__all__ = [
    "Average",
    "AxisError",
    "AxisNames",
    "Check",
    "DataError",
    "Difference",
    "Explanation",
    "ExportError",
    "ExportReport",
    "Feature",
    "FeatureFinder",
    "Layer",
    "LayerActivation",
    "LayerDifference",
    "LayerMap",
    "LayerSelectionError",
    "LayerStatistics",
    "LayoutEngineError",
    "MicamError",
    "MissingExtraError",
    "Model",
    "ModelError",
    "OutputError",
    "Permutation",
    "Prediction",
    "SampleError",
    "Statistics",
    "TrainingError",
    "View",
    "check",
    "diff",
    "explain",
    "export",
    "load_model",
    "stats",
    "strongest_features",
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
