"""Rows of a CSV file: what its columns are called, and which rows cannot be used."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from micam_fast.errors import DataError

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Header:
    """Names of the columns; ``NAME#2`` and so on where a name comes again."""

    path: Path
    columns: tuple[str, ...]
    label: int
    """Index of the column that holds the class."""

    @property
    def features(self) -> tuple[int, ...]:
        """Indices of all other columns."""
        return tuple(index for index in range(len(self.columns)) if index != self.label)


def read_header(path: Path, label: str) -> Header:
    """Read the first row, which names the columns.

    Raises
    ------
    DataError
        If the file cannot be read or is empty, or has not exactly one column `label`, or no other.
    """
    first = next(_rows(path), None)
    if first is None:
        raise DataError(f"{path} is empty")
    if first.fault is not None:
        raise DataError(f"{path}, {first.where}: {first.fault}")
    names = first.fields
    if label not in names:
        near = difflib.get_close_matches(label, names)
        meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise DataError(f"{path} has no column {label!r}{meant} (columns: {_some(names)})")
    if names.count(label) > 1:
        raise DataError(f"{path} has {names.count(label)} columns {label!r}, expected is one")
    if len(names) == 1:
        raise DataError(f"{path} has no column but the label {label!r}")
    columns: list[str] = []
    for index, name in enumerate(names):
        before = names[:index].count(name)
        columns.append(f"{name}#{before + 1}" if before else name)
    return Header(path, tuple(columns), names.index(label))


def text_columns(header: Header) -> frozenset[int]:
    """Indices of the features of which at least half of the values are no numbers.

    Values that are missing do not count. In a column that is mostly numbers the others make their
    rows broken.
    """
    numbers = [0] * len(header.columns)
    others = [0] * len(header.columns)
    for row in islice(_rows(header.path), 1, None):
        if row.fault is None and len(row.fields) == len(header.columns):
            for index in header.features:
                if row.fields[index]:
                    (others if _number(row.fields[index]) is None else numbers)[index] += 1
    return frozenset(index for index in header.features if others[index] >= numbers[index])


def good_rows(
    header: Header, texts: Collection[int], *, skipped: Callable[[str], None]
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
    for row in islice(_rows(header.path), 1, None):
        fields, fault = row.fields, row.fault
        if fault is not None:
            pass
        elif len(fields) != len(header.columns):
            fault = f"{len(fields)} fields, expected are {len(header.columns)}"
        elif not fields[header.label]:
            fault = f"no label in column {header.columns[header.label]!r}"
        else:
            for index in numeric:
                value = _number(fields[index])
                # Written as a comparison that NaN fails, too.
                if value is None or not abs(value) <= _LARGEST:
                    name = header.columns[index]
                    fault = f"{fields[index]!r} in column {name!r}, expected is a finite number"
                    break
        if fault is None:
            yield fields
        else:
            skipped(f"{header.path}, {row.where}: {fault}")


@dataclass(frozen=True)
class _Row:
    """Fields, and the lines that they come from."""

    where: str
    fields: list[str]
    fault: str | None


def _rows(path: Path) -> Iterator[_Row]:
    """Each row that is not empty.

    The csv module takes an open quote as it comes: the field then goes on to the next quote in the
    file, or to its end. Its strict mode would refuse spaces after a quoted field, too.
    """
    lines: list[str] = []

    def noted(file: Iterable[str]) -> Iterator[str]:
        for line in file:
            lines.append(line)
            yield line

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(noted(file), skipinitialspace=True)
            first = 1
            try:
                for fields in reader:
                    if fields:
                        last = reader.line_num
                        where = f"line {first}" if first == last else f"lines {first} to {last}"
                        fault = _open_quote(first, lines, fields)
                        yield _Row(where, [field.strip() for field in fields], fault)
                    first = reader.line_num + 1
                    lines.clear()
            except csv.Error as error:
                raise DataError(f"{path}, line {first}: {error}: is a quote not closed?") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is no UTF-8 text: 'iconv -f cp1252 -t utf-8' converts the usual other one"
        ) from None


def _open_quote(number: int, lines: list[str], fields: list[str]) -> str | None:
    """What is wrong with a row of which one quote is without another."""
    # Quotes within a text that does not begin with one are none.
    broken_line = any("\n" in field or "\r" in field for field in fields)
    if not broken_line or sum(line.count('"') for line in lines) % 2 == 0:
        return None
    return f"a quote in line {number} is not closed there, and takes in what follows"


def _number(text: str) -> float | None:
    # Python alone reads 1_000 as a number.
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _some(names: list[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
