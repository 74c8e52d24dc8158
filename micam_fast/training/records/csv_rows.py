"""Rows of a CSV file: what its columns are called, and which rows cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from micam_fast.core.csv_reading import number_repeats, parse_field, read_csv_header, read_csv_rows
from micam_fast.core.errors import DataError
from micam_fast.core.texts import first_of

_MOST_NAMED = 20
_LARGEST = float(np.finfo(np.float32).max)


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
    names = read_csv_header(path)
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
    return CsvHeader(path, number_repeats(names), names.index(label))


def text_columns(header: CsvHeader) -> frozenset[int]:
    """Indices of the features of which at least half of the values are no numbers.

    Values that are missing do not count. In a column that is mostly numbers the others make their
    rows broken.
    """
    numbers = [0] * len(header.columns)
    others = [0] * len(header.columns)
    for row in islice(read_csv_rows(header.path), 1, None):
        if row.fault is None and len(row.fields) == len(header.columns):
            for index in header.features:
                if row.fields[index]:
                    (others if parse_field(row.fields[index]) is None else numbers)[index] += 1
    return frozenset(index for index in header.features if others[index] >= numbers[index])


def good_rows(
    header: CsvHeader, texts: Collection[int], *, skipped: Callable[[str], None]
) -> Iterator[list[str]]:
    """Rows that make a sample: all fields, a label, finite numbers where no text is expected.

    Parameters
    ----------
    header, texts
        What the columns are.
    skipped
        Is told which row is broken, and how.
    """
    numeric = [index for index in header.features if index not in texts]
    for row in islice(read_csv_rows(header.path), 1, None):
        fields, fault = row.fields, row.fault
        if fault is not None:
            pass
        elif len(fields) != len(header.columns):
            fault = f"{len(fields)} fields, expected are {len(header.columns)}"
        elif not fields[header.label]:
            fault = f"no label in column {header.columns[header.label]!r}"
        else:
            for index in numeric:
                value = parse_field(fields[index])
                # Written as a comparison that NaN fails, too.
                if value is None or not abs(value) <= _LARGEST:
                    name = header.columns[index]
                    fault = f"{fields[index]!r} in column {name!r}, expected is a finite number"
                    break
        if fault is None:
            yield fields
        else:
            skipped(f"{header.path}, {row.where}: {fault}")
