"""CSV files: numbers at full precision, and names that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from micam_fast.core.output_files import atomic_file

# What a formula begins with; some spreadsheets read the full-width forms, too.
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    r"""Write a table as CSV: UTF-8, commas, a line feed after each row.

    A file of that name is replaced when the table is complete. Numbers, of Python or NumPy, are
    written with all their digits, so that they read back the same; ``nan`` and ``inf`` by these
    words; None is an empty cell. A text that a spreadsheet would run as a formula (it begins with
    ``=``, ``+``, ``-`` or ``@``, perhaps behind blanks, or with a tab or line break) gets an
    apostrophe in front. Halves of surrogate pairs, which UTF-8 has not, are written as ``\ud800``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(_line(header))
        for row in rows:
            file.write(_line(row))


def _line(cells: Sequence[object]) -> bytes:
    text = io.StringIO()
    # Python 3.11 quotes a line break in a cell only if the lines end with that character.
    csv.writer(text, lineterminator="\r\n").writerow([_cell(value) for value in cells])
    return (text.getvalue().removesuffix("\r\n") + "\n").encode(errors="backslashreplace")


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if _is_formula(value) else value
    # The shortest digits of its own type: float32 has fewer than float64.
    return str(value) if isinstance(value, np.generic) else value


def _is_formula(text: str) -> bool:
    # Some spreadsheets skip blanks, and what cannot be seen, at the beginning.
    first = next((each for each in text if each.isprintable() and not each.isspace()), "")
    return first in _FORMULA or text.startswith(("\t", "\r", "\n"))
