"""The rows of the table of formats, against what the writers do."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micam_fast import demo, load_model
from micam_fast.api import formats as written
from micam_fast.api.saving import write_format
from micam_fast.core.errors import LayoutEngineError
from micam_fast.core.formats import FORMATS, format_names
from micam_fast.diagrams.style import Style

DIAGRAMS = [each for each in FORMATS if "diagram" in each.contents]
# Writes every format, and prints which libraries each loads that were not there before.
LOADED = """
import sys, pathlib
import numpy as np, micam_fast
from micam_fast.api.saving import write_format
from micam_fast.core.formats import FORMATS
from micam_fast.demo import DIGITS, MODEL
from micam_fast.diagrams.style import Style
shown = micam_fast.explain(MODEL, np.load(DIGITS)[0])
for row in FORMATS:
    if "diagram" in row.contents:
        before = {*sys.modules}
        write_format(row.name, shown, pathlib.Path(sys.argv[1]) / f"x{row.ending}", Style())
        print(row.name, *{name for name in {*sys.modules} - before if "." not in name})
"""


def test_each_format_has_a_file() -> None:
    found = {each.stem for each in Path(*written.__path__).glob("[a-z]*.py")}
    assert found == {*format_names("diagram")}


def test_names_and_endings() -> None:
    assert len({row.name for row in FORMATS}) == len({row.ending for row in FORMATS})
    assert all(row.ending in (f".{row.name}", f"_{row.name}") for row in FORMATS)


@pytest.mark.parametrize("row", DIAGRAMS, ids=lambda row: row.name)
def test_graphviz_is_needed_where_the_row_says_so(row: Any, tmp_path: Path) -> None:
    lost = load_model(demo.MODEL, engine=tmp_path / "no-such-dot")
    shown = lost.explain(np.load(demo.DIGITS)[0])
    expected: Any = nullcontext()
    if row.needs_layout:
        expected = pytest.raises(LayoutEngineError, match="no Graphviz program")
    with expected:
        assert write_format(row.name, shown, tmp_path / f"x{row.ending}", Style("flat"))


def test_libraries_that_a_writer_loads_are_those_of_its_row(tmp_path: Path) -> None:
    """The test looks at libraries that a row names; some are there before any writer."""
    command = [sys.executable, "-c", LOADED, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    known = {library for row in FORMATS for library in row.libraries}
    assert len(said.splitlines()) == len(DIAGRAMS)
    for line in said.splitlines():
        name, *loaded = line.split()
        (row,) = (each for each in DIAGRAMS if each.name == name)
        assert {*loaded} & known <= {*row.libraries}, name
    for library in ("reportlab", "bokeh"):
        (first,) = (line.split()[0] for line in said.splitlines() if library in line.split())
        assert library in next(row.libraries for row in DIAGRAMS if row.name == first)
