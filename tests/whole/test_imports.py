"""The house: imports run downwards only, and heavy libraries load when they are needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import micam_fast
from tests.helpers.house import (
    OTHERS,
    WINGS,
    circles,
    count_floors,
    guide_table,
    imported_names,
    read_house,
    room_of,
)
from tests.helpers.places import ROOT

HOUSE = read_house(ROOT / "micam_fast")
HEAVY = {
    "numpy", "numba", "onnx", "onnxruntime", "PIL", "reportlab", "rich", "graphviz", "bokeh",
    "pyarrow", "distributed", "dask", "fsspec",
}  # fmt: skip


def test_every_wing_has_a_floor() -> None:
    entries = {path.name for path in HOUSE.root.iterdir()} - {"__pycache__"}
    assert entries == {*WINGS, *OTHERS}


def test_tests_mirror_the_wings() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} <= {name.strip("_") for name in WINGS} | {
        "data",
        "helpers",
        "whole",
    }


@pytest.mark.parametrize("module", HOUSE.files)
def test_imports_run_downwards(module: str) -> None:
    if (room := room_of(module)) not in WINGS:
        return
    wing = WINGS[room]
    for other in HOUSE.imports[module]:
        below = WINGS.get(room_of(other))
        # The package itself is above all wings.
        assert below is not None, f"{module} imports {other}"
        assert room_of(other) == room or below.floor < wing.floor, f"{module} imports {other}"
    if wing.outside is not None:
        assert HOUSE.outside[module] <= wing.outside | sys.stdlib_module_names


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(HOUSE.imports) == []


def test_circles_and_floors_are_found() -> None:
    """The measure itself, on a small house with a circle."""
    imports = {"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": [], "e": ["d"]}
    assert circles(imports) == [["b", "c"]]
    assert count_floors(imports) == 3


@pytest.mark.parametrize("page", ["README.md", "micam_fast/guide/house.md"])
def test_readme_and_guide_have_this_table(page: str) -> None:
    """``python tools/house.py --write`` renews it."""
    assert guide_table() in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("module", HOUSE.files)
def test_files_are_short(module: str) -> None:
    assert len(HOUSE.files[module].read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda p: p.stem)
def test_no_test_imports_another_test(path: Path) -> None:
    """Nor does a helper, or code in a string: what tests share is in ``tests/helpers``."""
    quoted = [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    for name in (*imported_names(path), *quoted):
        assert not re.search(r"\btests\.(\w+\.)*test_", name), name


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
