"""Names of the rows and columns of samples that are no pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from micam_fast.core.csv_reading import number_repeats, parse_field, read_csv_header
from micam_fast.core.errors import AxisError, DataError, os_errors_as
from micam_fast.core.input_files import TEXT_LIMIT, read_input

Axis = Literal["rows", "columns"]
_WIDEST = 2**20


@dataclass(frozen=True)
class AxisNames:
    """Names along the model's input, from the first row and column on; ``None`` for no names."""

    rows: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None


def read_names(path: Path) -> tuple[str, ...]:
    """Read names of rows or columns, all different: one that comes again is ``NAME#2`` and so on.

    They are a text file's in UTF-8, one a line; those in the first row of a ``.csv`` file; or the
    columns in the ``.json`` file that ``micam-fast tfrecord table`` writes beside its records.

    Raises
    ------
    AxisError
        If the file cannot be read or holds no names; a name is empty; or a side file's columns
        name single cells, as each row of the table fills several rows of the sample.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        names = _side_file_columns(path)
    elif suffix == ".csv":
        names = _header(path)
    else:
        names = read_lines(path)
    names = [name.strip() for name in names]
    if not names:
        raise AxisError(f"{path} holds no names; expected is one a line")
    if "" in names:
        place = names.index("") + 1
        what = f"column {place} has no name" if suffix == ".csv" else f"line {place} is empty"
        raise AxisError(f"{path}: {what}; expected is a name")
    return number_repeats(names)


def read_lines(path: Path) -> list[str]:
    """Lines of a text in UTF-8, stripped, but for empty ones at its end.

    Raises
    ------
    AxisError
        If the file cannot be read.
    """
    lines = [line.strip() for line in _read_text(path).splitlines()]
    while lines and not lines[-1]:
        del lines[-1]
    return lines


def check_names(names: tuple[str, ...], size: int | None, axis: Axis, path: Path) -> None:
    """Make sure that a file names each row or column of an input whose size is known.

    Raises
    ------
    AxisError
        If there are more or less.
    """
    if size is not None and len(names) != size:
        hint = " (with a label column, if it has one)" if path.suffix.lower() == ".csv" else ""
        raise AxisError(
            f"{path} names {len(names)} {axis}, the model's input has {size} {axis}{hint}"
        )


def _header(path: Path) -> list[str]:
    try:
        names = read_csv_header(path)
    except DataError as error:
        raise AxisError(str(error)) from None
    if all(parse_field(name) is not None for name in names):
        raise AxisError(f"{path} begins with numbers; expected is a first row of names")
    return names


def _side_file_columns(path: Path) -> list[str]:
    try:
        found: Any = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise AxisError(f"{path} is no JSON: {error}") from None
    columns = found.get("columns") if isinstance(found, dict) else None
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise AxisError(
            f"{path} lists no columns; expected is the file that 'micam-fast tfrecord table' "
            "writes beside its records"
        )
    height, width = found.get("height"), found.get("width")
    if not found.get("window") and height != 1:
        raise AxisError(
            f"{path}: each row of the table fills a sample of {height} x {width}, so that its "
            "columns name single cells; give a text file with a name a line"
        )
    if width is not None and not (isinstance(width, int) and len(columns) <= width <= _WIDEST):
        raise AxisError(
            f"{path}: a width of {width!r} is none of {len(columns)} columns; mend the file"
        )
    # What a row does not fill is zero.
    padding = () if width is None else range(len(columns) + 1, width + 1)
    return [*columns, *(f"padding {number}" for number in padding)]


def _read_text(path: Path) -> str:
    try:
        with os_errors_as(AxisError, f"cannot read {path}"):
            return read_input(path, TEXT_LIMIT).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AxisError(f"{path} is no UTF-8 text") from None
