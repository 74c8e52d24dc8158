"""PyTorch modules and programs as models to plot: exported, and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx import OnnxFile, open_model
from micam_fast.models.pytorch import class_of, is_module, refuse_weights, unwrapped


def in_memory(source: Any) -> Any:
    """The ONNX model that an ``ONNXProgram`` of PyTorch's exporter holds; else what is given.

    A wrapper around a module is taken off.

    Raises
    ------
    ModelError
        If it is weights without their module.
    """
    refuse_weights(source, ModelError)
    held = getattr(source, "model_proto", None)
    return unwrapped(source) if held is None or is_module(source) else held


def open_in_memory(source: Any, sample: Any, say: Callable[[str], None]) -> OnnxFile:
    """The export of a module or program, opened, under the name of the module's class.

    Raises
    ------
    ExportError, MissingExtraError
        As `export` does.
    """
    from micam_fast.api.export import export

    with TemporaryDirectory() as folder:
        report = export(source, Path(folder) / "module.onnx", sample=sample)
        file = open_model(report.path)
    for remark in report.remarks:
        say(remark)
    say(report.summary)
    return replace(file, name=class_of(source), folder=None)
