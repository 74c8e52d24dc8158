"""Rows of a CSV file as they stand, and what its fields say."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from micam_fast.errors import DataError


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
                        yield CsvRow(where, [field.strip() for field in fields], fault)
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


def read_csv_header(path: Path) -> list[str]:
    """Fields of the first row.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, or its first row is broken.
    """
    first = next(read_csv_rows(path), None)
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
    # Python alone reads 1_000 as a number.
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def list_some(names: Sequence[str], most: int = 20) -> str:
    """Names for a message, the first ones of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _open_quote(number: int, lines: list[str], fields: list[str]) -> str | None:
    """What is wrong with a row of which one quote is without another."""
    # Quotes within a text that does not begin with one are none.
    broken_line = any("\n" in field or "\r" in field for field in fields)
    if not broken_line or sum(line.count('"') for line in lines) % 2 == 0:
        return None
    return f"a quote in line {number} is not closed there, and takes in what follows"
