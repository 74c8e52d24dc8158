"""The house: imports run downwards only, and heavy libraries load when they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import micam_fast

ROOT = Path(micam_fast.__file__).parent

# Floor of each module or package; a module may import from floors below its own, and from its own
# floor unless that is floor 2, whose rooms do not know each other.
FLOORS = {
    "errors": 0, "choices": 0, "layers": 0, "drawing": 0, "diagrams": 0, "results": 0, "recent": 0,
    "extras": 0, "annotations": 0, "files": 0, "input_files": 0, "csv_files": 0, "csv_reading": 0,
    "axis_names": 0, "stages": 0, "texts": 0, "machine": 0, "records": 0, "palettes": 0,
    "notebooks": 0, "manifest": 0, "interrupts": 0, "run_log": 0,
    "_loops": 1,
    "onnx_model": 2, "runtime": 2, "dot": 2, "encoders": 2, "samples": 2, "tfrecords": 2,
    "keras_export": 2,
    "projections": 3, "views": 3, "maps": 3, "permutations": 3, "tiles": 3, "labels": 3,
    "layout": 3, "composition": 3, "arranging": 3, "sessions": 3, "lanes": 3, "tables": 3,
    "heading": 3, "sample_maps": 3, "moments": 3,
    "scene": 4, "explanation": 4, "saving": 4, "viewer": 4, "assembly": 4, "features": 4,
    "receptive_fields": 4, "pipeline": 4, "running": 4, "streaming": 4, "model": 4,
    "activations": 4, "averaging": 4, "feeding": 4, "loading": 4, "exporting": 4, "differences": 4,
    "keras_files": 4, "plan_files": 4, "plans": 4, "contributions": 4, "grids": 4, "grid_files": 4,
    "checking": 4, "statistics": 4, "stores": 4, "distributed": 4, "writing": 4,
    "demo": 5, "batch": 5, "remote": 5, "run_folder": 5, "training": 5, "commands": 5, "options": 5,
    "progress": 5, "cli": 5, "__init__": 5, "__main__": 5,
}  # fmt: skip
OUTSIDE_LOW_FLOORS = {0: {"numpy"}, 1: {"numpy", "numba"}}
HEAVY = {
    "numpy", "numba", "onnx", "onnxruntime", "PIL", "reportlab", "rich", "graphviz", "bokeh",
    "pyarrow", "distributed", "dask", "fsspec",
}  # fmt: skip


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


FILES = sorted(ROOT.rglob("*.py"))


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in FILES} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    here = room(path)
    floor = FLOORS[here]
    for name in imported(path):
        first, *rest = name.split(".")
        if first != "micam_fast":
            allowed = OUTSIDE_LOW_FLOORS.get(floor)
            if allowed is not None:
                assert first in allowed or first in sys.stdlib_module_names, f"{here}: {name}"
            continue
        if not rest or rest[0] not in FLOORS or rest[0] == here:
            continue
        other = FLOORS[rest[0]]
        assert other < floor or (other == floor != 2), f"{here} (floor {floor}) imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def loaded_after(code: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name.split(".")[0] for name in shown.splitlines()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_after("import micam_fast") & HEAVY
    assert "numpy" in loaded_after("import micam_fast; micam_fast.load_model")


def test_plotting_never_needs_tensorflow() -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "import numpy as np, micam_fast; from micam_fast.demo import DIGITS, MODEL\n"
        "micam_fast.explain(MODEL, np.load(DIGITS)[0])"
    )
    assert "tf2onnx" not in loaded_after(code)


def test_clusters_and_urls_are_loaded_when_asked_for() -> None:
    code = "import micam_fast.engine.cluster, micam_fast.runs.on_cluster, micam_fast.cli"
    assert not loaded_after(code) & {"distributed", "dask", "fsspec", "tornado"}


def test_public_names() -> None:
    for name in micam_fast.__all__:
        assert getattr(micam_fast, name).__name__ == name
    assert set(micam_fast.__all__) < set(dir(micam_fast))
    assert micam_fast.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="module 'micam_fast' has no attribute 'nothing'"):
        _ = micam_fast.nothing
