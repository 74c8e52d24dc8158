"""Rows of a CSV file as they stand, and what its fields say."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from micam_fast.core.errors import DataError, os_errors_as
from micam_fast.core.input_files import open_input

_LONGEST_ROW = 2**24
"""In characters: a million columns; a quote that is not closed could take in the whole file."""
_LARGEST = float(np.finfo(np.float32).max)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_NUL = "a NUL character: is it a text in UTF-16, or none at all?"


@dataclass(frozen=True)
class CsvRow:
    """Fields, stripped, and the lines that they come from; `fault` says what is wrong with them."""

    where: str
    fields: list[str]
    fault: str | None


def read_csv_rows(path: Path) -> Iterator[CsvRow]:
    """Each row that is not empty, one by one; UTF-8, with or without a byte order mark.

    The csv module takes an open quote as it comes: the field then goes on to the next quote in the
    file, or to its end. Its strict mode would refuse spaces after a quoted field, too.

    Raises
    ------
    DataError
        If the file cannot be read, or is no CSV in UTF-8.
    """
    lines: list[str] = []
    length = 0

    def noted(file: io.TextIOWrapper) -> Iterator[str]:
        nonlocal length
        while line := file.readline(_LONGEST_ROW + 1):
            lines.append(line)
            length += len(line)
            if length > _LONGEST_ROW:
                raise csv.Error(f"a row of more than {_LONGEST_ROW} characters")
            yield line

    try:
        with (
            os_errors_as(DataError, f"cannot read {path}"),
            open_input(path) as binary,
            io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as file,
        ):
            start = binary.read(2)
            binary.seek(0)
            if start in _UTF_16:
                raise DataError(f"{path} is text in UTF-16: 'iconv -f utf-16 -t utf-8' converts it")
            reader = csv.reader(noted(file), skipinitialspace=True)
            first = 1
            try:
                for fields in reader:
                    if fields:
                        last = reader.line_num
                        where = f"line {first}" if first == last else f"lines {first} to {last}"
                        nul = _NUL if "\0" in "".join(lines) else None
                        fault = _open_quote(first, lines, fields) or nul
                        yield CsvRow(where, [field.strip() for field in fields], fault)
                    first = reader.line_num + 1
                    lines.clear()
                    length = 0
            except csv.Error as error:
                raise DataError(f"{path}, line {first}: {error}: is a quote not closed?") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is no UTF-8 text: 'iconv -f cp1252 -t utf-8' converts the usual other one"
        ) from None


def read_csv_header(path: Path, rows: Iterator[CsvRow] | None = None) -> list[str]:
    """Fields of the first row; `rows` go on behind it.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, or its first row is broken.
    """
    first = next(read_csv_rows(path) if rows is None else rows, None)
    if first is None:
        raise DataError(f"{path} is empty")
    if first.fault is not None:
        raise DataError(f"{path}, {first.where}: {first.fault}")
    return first.fields


def number_repeats(names: Sequence[str]) -> tuple[str, ...]:
    """Names that differ: ``NAME#2`` and so on where a name comes again."""
    taken = set(names)
    counts: dict[str, int] = {}
    numbered = []
    for name in names:
        count = counts.get(name, 0) + 1
        while count > 1 and f"{name}#{count}" in taken:
            count += 1
        counts[name] = count
        numbered.append(f"{name}#{count}" if count > 1 else name)
    return tuple(numbered)


def parse_field(text: str) -> float | None:
    """The number that a field holds; ``None`` if it holds none."""
    # Python alone reads 1_000 as a number, and digits of all scripts.
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def parse_row(
    row: CsvRow,
    columns: Sequence[str],
    numeric: Iterable[int],
    *,
    label: int | None = None,
    remedy: str = "",
) -> list[float]:
    """The numbers in the `numeric` fields of a row; `remedy` ends the error of a text among them.

    Raises
    ------
    DataError
        If the row is broken, has not a field for each column or none for the `label`, or if a
        number is missing or is not one that float32 can hold.
    """
    fields = row.fields
    if row.fault is not None:
        raise DataError(row.fault)
    if len(fields) != len(columns):
        raise DataError(f"{len(fields)} fields, expected are {len(columns)}")
    if label is not None and not fields[label]:
        raise DataError(f"no label in column {columns[label]!r}")
    numbers = []
    for index in numeric:
        value = parse_field(fields[index])
        # Written as a comparison that NaN fails, too.
        if value is None or not abs(value) <= _LARGEST:
            raise DataError(
                f"{fields[index]!r} in column {columns[index]!r}, expected is a finite number"
                f"{remedy if value is None and fields[index] else ''}"
            )
        numbers.append(value)
    return numbers


def _open_quote(number: int, lines: list[str], fields: list[str]) -> str | None:
    """What is wrong with a row of which one quote is without another."""
    # Quotes within a text that does not begin with one are none.
    broken_line = any("\n" in field or "\r" in field for field in fields)
    if not broken_line or sum(line.count('"') for line in lines) % 2 == 0:
        return None
    return f"a quote in line {number} is not closed there, and takes in what follows"
