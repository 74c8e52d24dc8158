"""Modules that torch exported (``tools/export_modules.py``), and where their channels lie."""

from __future__ import annotations

import functools
import json
import tarfile

import onnx

from tests.helpers.measured_axes import Axes
from tests.helpers.places import DATA

ARCHIVE = DATA / "exported.tar.xz"


@functools.cache
def _contents() -> dict[str, bytes]:
    with tarfile.open(ARCHIVE) as opened:
        files = {member.name: opened.extractfile(member) for member in opened.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


def module_names() -> list[str]:
    """Names such as ``swin_cube-ts12_open``: the module, and the way that it was exported."""
    return sorted(name.removesuffix(".onnx") for name in _contents() if name.endswith(".onnx"))


def load_module(name: str) -> tuple[onnx.ModelProto, tuple[int, ...], dict[str, Axes]]:
    """The file, the shape of a sample, and where batch and channels lie in its values."""
    told = json.loads(_contents()[f"{name}.json"])
    axes = {value: (batch, channel) for value, (batch, channel) in told["axes"].items()}
    return onnx.load_from_string(_contents()[f"{name}.onnx"]), tuple(told["shape"]), axes
