"""Rows of a CSV file: what its columns are called, and which rows cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from micam_fast.core import csv_reading
from micam_fast.core.errors import DataError
from micam_fast.core.texts import first_of

_MOST_NAMED = 20


@dataclass(frozen=True)
class CsvHeader:
    """Names of the columns; ``NAME#2`` and so on where a name comes again."""

    path: Path
    columns: tuple[str, ...]
    label: int
    """Index of the column that holds the class."""

    @property
    def features(self) -> tuple[int, ...]:
        """Indices of all other columns."""
        return tuple(index for index in range(len(self.columns)) if index != self.label)


def read_header(path: Path, label: str) -> CsvHeader:
    """Read the first row, which names the columns.

    Raises
    ------
    DataError
        If the file cannot be read or is empty, or has not exactly one column `label`, or no other.
    """
    names = csv_reading.read_csv_header(path)
    if label not in names:
        near = difflib.get_close_matches(label, names)
        meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise DataError(
            f"{path} has no column {label!r}{meant} (columns: {first_of(names, _MOST_NAMED)})"
        )
    if names.count(label) > 1:
        raise DataError(f"{path} has {names.count(label)} columns {label!r}, expected is one")
    if len(names) == 1:
        raise DataError(f"{path} has no column but the label {label!r}")
    return CsvHeader(path, csv_reading.number_repeats(names), names.index(label))


def text_columns(header: CsvHeader) -> frozenset[int]:
    """Indices of the features of which at least half of the values are no numbers.

    Values that are missing do not count. In a column that is mostly numbers the others make their
    rows broken.
    """
    numbers = [0] * len(header.columns)
    others = [0] * len(header.columns)
    for row in islice(csv_reading.read_csv_rows(header.path), 1, None):
        if row.fault is None and len(row.fields) == len(header.columns):
            for index in header.features:
                if field := row.fields[index]:
                    (others if csv_reading.parse_field(field) is None else numbers)[index] += 1
    return frozenset(index for index in header.features if others[index] >= numbers[index])


def good_rows(
    header: CsvHeader, texts: Collection[int], *, skipped: Callable[[str], None]
) -> Iterator[list[str]]:
    """Rows that make a sample: all fields, a label, finite numbers where no text is expected.

    `skipped` is told which row is broken, and how.
    """
    numeric = [index for index in header.features if index not in texts]
    for row in islice(csv_reading.read_csv_rows(header.path), 1, None):
        try:
            csv_reading.parse_row(row, header.columns, numeric, label=header.label)
        except DataError as error:
            skipped(f"{header.path}, {row.where}: {error}")
        else:
            yield row.fields
