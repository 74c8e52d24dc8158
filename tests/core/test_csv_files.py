"""Tables as CSV: what is written reads back, and no cell is a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from micam_fast.core.csv_writing import write_csv
from micam_fast.core.errors import OutputError


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_cells_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_csv(path, ("layer", "a", "b"), [("conv, 1", 0.1, 3), ('say "x"\n', None, True)])
    assert path.read_bytes() == b'layer,a,b\n"conv, 1",0.1,3\n"say ""x""\n",,True\n'


def test_numbers_keep_all_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    third = np.float32(1) / np.float32(3)
    write_csv(path, ("x",), [(1 / 3,), (np.float64(2) / 3,), (third,), (np.int64(2**60),)])
    (_, [a], [b], [c], [d]) = read(path)
    assert (float(a), float(b), np.float32(c), int(d)) == (1 / 3, 2 / 3, third, 2**60)
    assert c == "0.33333334"


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_csv(path, ("x", "y"), [(float("nan"), np.float64("-inf")), (-1.5, np.float32("inf"))])
    assert path.read_text() == "x,y\nnan,-inf\n-1.5,inf\n"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1", " =1", "\u200b\x00=1", "\uff1d1"]
)
def test_texts_are_no_formulas(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.csv"
    write_csv(path, (text, "b"), [(text, f"a{text}"), (np.str_(text), "-")])
    assert read(path) == [[f"'{text}", "b"], [f"'{text}", f"a{text}"], [f"'{text}", "'-"]]


@given(value=st.floats(allow_nan=False))
def test_floats_read_back(tmp_path_factory: pytest.TempPathFactory, value: float) -> None:
    path = tmp_path_factory.getbasetemp() / "floats.csv"
    write_csv(path, ("x",), [(value,)])
    assert float(read(path)[1][0]) == value


def test_a_table_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        raise ZeroDivisionError("in the middle")

    with pytest.raises(ZeroDivisionError, match="middle"):
        write_csv(tmp_path / "table.csv", ("x",), rows())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none" / "table.csv"
    with pytest.raises(OutputError, match=r"cannot write .*table\.csv: No such file"):
        write_csv(path, ("x",), [])


def test_a_text_that_is_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_csv(path, ("x",), [("half \ud800",)])
    assert path.read_bytes() == b"x\nhalf \\ud800\n"
