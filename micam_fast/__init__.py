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
    from micam_fast.analyses.checks import (
        Check as Check,
        check as check,
    )
    from micam_fast.analyses.differences import (
        Difference as Difference,
        LayerDifference as LayerDifference,
        diff as diff,
    )
    from micam_fast.analyses.features.features import (
        Feature as Feature,
        FeatureFinder as FeatureFinder,
        strongest_features as strongest_features,
    )
    from micam_fast.analyses.grids.files import save_grids as save_grids
    from micam_fast.analyses.grids.picture import draw_grid as draw_grid
    from micam_fast.analyses.statistics import (
        LayerStatistics as LayerStatistics,
        Statistics as Statistics,
        stats as stats,
    )
    from micam_fast.api.averages import Average as Average
    from micam_fast.api.explanation import Explanation as Explanation
    from micam_fast.api.export import export as export
    from micam_fast.api.export_report import ExportReport as ExportReport
    from micam_fast.api.loading import (
        explain as explain,
        load_model as load_model,
    )
    from micam_fast.api.model import Model as Model
    from micam_fast.core.errors import (
        AxisError as AxisError,
        DataError as DataError,
        ExportError as ExportError,
        LayerSelectionError as LayerSelectionError,
        LayoutEngineError as LayoutEngineError,
        MicamError as MicamError,
        MissingExtraError as MissingExtraError,
        ModelError as ModelError,
        OutputError as OutputError,
        PredictionError as PredictionError,
        SampleError as SampleError,
        TrainingError as TrainingError,
    )
    from micam_fast.core.layers import Layer as Layer
    from micam_fast.core.prediction import Prediction as Prediction
    from micam_fast.engine.activations import LayerActivation as LayerActivation
    from micam_fast.maps.contributions import energy_shares as energy_shares
    from micam_fast.maps.layer_map import LayerMap as LayerMap
    from micam_fast.samples.axis_names import AxisNames as AxisNames
    from micam_fast.samples.orders import Permutation as Permutation
    from micam_fast.viewer import View as View

# Where each public name lives: heavy libraries load when a name is first used.
_HOMES = {
    "Average": "api.averages",
    "AxisError": "core.errors",
    "AxisNames": "samples.axis_names",
    "Check": "analyses.checks",
    "DataError": "core.errors",
    "Difference": "analyses.differences",
    "Explanation": "api.explanation",
    "ExportError": "core.errors",
    "ExportReport": "api.export_report",
    "Feature": "analyses.features.features",
    "FeatureFinder": "analyses.features.features",
    "Layer": "core.layers",
    "LayerActivation": "engine.activations",
    "LayerDifference": "analyses.differences",
    "LayerMap": "maps.layer_map",
    "LayerSelectionError": "core.errors",
    "LayerStatistics": "analyses.statistics",
    "LayoutEngineError": "core.errors",
    "MicamError": "core.errors",
    "MissingExtraError": "core.errors",
    "Model": "api.model",
    "ModelError": "core.errors",
    "OutputError": "core.errors",
    "Permutation": "samples.orders",
    "Prediction": "core.prediction",
    "PredictionError": "core.errors",
    "SampleError": "core.errors",
    "Statistics": "analyses.statistics",
    "TrainingError": "core.errors",
    "View": "viewer",
    "check": "analyses.checks",
    "diff": "analyses.differences",
    "draw_grid": "analyses.grids.picture",
    "energy_shares": "maps.contributions",
    "explain": "api.loading",
    "export": "api.export",
    "load_model": "api.loading",
    "save_grids": "analyses.grids.files",
    "stats": "analyses.statistics",
    "strongest_features": "analyses.features.features",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("micam-fast")
    if name not in _HOMES:
        raise AttributeError(f"module 'micam_fast' has no attribute {name!r}")
    return getattr(importlib.import_module(f"micam_fast.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
