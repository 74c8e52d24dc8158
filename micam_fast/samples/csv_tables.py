"""CSV files as samples: a table of numbers below a row of names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from micam_fast.core import csv_reading
from micam_fast.core.errors import DataError, SampleError
from micam_fast.core.layers import ModelInput
from micam_fast.samples.arrays import channels_last_shape, describe_input, fill_sample
from micam_fast.samples.bounds import check_memory

CSV_SUFFIX = ".csv"
_VALUE_BYTES = 32
"""What a number takes in a list."""
_SURPLUS = 100_000
"""Rows beyond those of one sample that are still counted, for the error."""
_TEXT_REMEDY = " ('micam-fast tfrecord table' makes records of tables with text)"
_ONE = "CSV file taken as one sample of rows x columns"
_EACH = "each row of a CSV file taken as a sample"


@dataclass(frozen=True, eq=False)
class SampleTable:
    """A CSV file.

    Attributes
    ----------
    header
        Names of its columns.
    note
        What was decided, in words.
    samples
        In the model's layout, without the batch; an error in the place of a row with one. They
        raise a SampleError if the file is no such table.
    """

    header: tuple[str, ...]
    note: str
    samples: Iterator[NDArray[np.float64] | SampleError]


def read_table(path: Path, spec: ModelInput, start: int, memory: int) -> SampleTable:
    """The samples of a CSV file, from the one of number `start` on.

    The file is one sample where its columns are those of an input of rows and columns with one
    channel, or the features of a sequence. Each row is a sample where its fields are all values
    of one: those of a flat input, or of another one in the order height, width, channels.

    Raises
    ------
    SampleError
        If the file cannot be read, has no row of names, or its columns do not fit the input.
        From the samples, if one takes more than `memory` bytes.
    """
    rows = _rows(path)
    header = _header(path, rows)
    if not _is_one_sample(path, header, spec):
        return SampleTable(header, _EACH, _each_row(path, header, rows, spec, start))
    if start:
        raise SampleError(f"{path} is one sample; there is no number {start}")
    return SampleTable(header, _ONE, _one_sample(path, header, rows, spec, memory))


def column_names(path: Path, spec: ModelInput, width: int | None) -> tuple[str, ...] | None:
    """The names that a CSV file gives to the input's columns, of which there are `width`.

    ``None`` where one has no name, or the file names other things: the features of a sequence, or
    single cells.

    Raises
    ------
    SampleError
        As `read_table` does.
    """
    header = _header(path, _rows(path))
    one = _is_one_sample(path, header, spec)
    features = one and len(channels_last_shape(spec)) == 2
    return None if features or "" in header or width not in (None, len(header)) else header


def _rows(path: Path) -> Iterator[csv_reading.CsvRow]:
    try:
        yield from csv_reading.read_csv_rows(path)
    except DataError as error:
        raise SampleError(str(error)) from None


def _header(path: Path, rows: Iterator[csv_reading.CsvRow]) -> tuple[str, ...]:
    try:
        names = csv_reading.read_csv_header(path, rows)
    except DataError as error:
        raise SampleError(str(error)) from None
    if all(csv_reading.parse_field(field) is not None for field in names):
        raise SampleError(f"{path} begins with numbers; put a row of column names before them")
    return csv_reading.number_repeats(names)


def _is_one_sample(path: Path, header: tuple[str, ...], spec: ModelInput) -> bool:
    """Whether a file of these columns is one sample, and not one a row; an error if neither."""
    columns = len(header)
    found = _taken_as_one(columns, spec)
    if found is None:
        hint = ""
        if _taken_as_one(columns - 1, spec) is not None:
            hint = "; with one column less they would: " + (
                f"column {header.index('') + 1} has no name, is it an index?"
                if "" in header
                else "leave out the label's"
            )
        for other in ";\t":
            if columns == 1 and other in header[0]:
                hint = f"; fields seem to be separated by {other!r}, expected is ','"
        raise SampleError(
            f"{path}: {columns} columns fit {describe_input(spec)} neither as one "
            f"table of rows x columns nor with a sample in each row{hint}"
        )
    return found


def _taken_as_one(columns: int, spec: ModelInput) -> bool | None:
    """The same; ``None`` for neither."""
    shape = channels_last_shape(spec)
    known = [size for size in shape if size is not None]
    if shape == (None,) or (len(known) == len(shape) and math.prod(known) == columns):
        return False
    channels = shape[2:] or (1,)
    if len(shape) in (2, 3) and channels[0] in (1, None) and shape[1] in (columns, None):
        return True
    return None


def _one_sample(
    path: Path,
    header: tuple[str, ...],
    rows: Iterator[csv_reading.CsvRow],
    spec: ModelInput,
    memory: int,
) -> Iterator[NDArray[np.float64]]:
    height = channels_last_shape(spec)[0]
    kept, count, more = [], 0, ""
    for row in rows:
        values = _numbers(path, header, row)
        count += 1
        # Of a longer file only the number of rows is wanted, for the error.
        if height is None or count <= height:
            kept.append(values)
            check_memory(path, "one sample", count * len(header) * _VALUE_BYTES, memory)
        elif count == height + _SURPLUS:
            more = "more than "
            break
    if not kept or height not in (count, None):
        raise SampleError(
            f"{path}: {more}{count} rows of {len(header)} columns do not fit {describe_input(spec)}"
        )
    yield fill_sample(np.array(kept), spec, (len(kept), len(header)))


def _each_row(
    path: Path,
    header: tuple[str, ...],
    rows: Iterator[csv_reading.CsvRow],
    spec: ModelInput,
    start: int,
) -> Iterator[NDArray[np.float64] | SampleError]:
    count = sum(1 for _ in islice(rows, start))
    for row in rows:
        count += 1
        try:
            yield fill_sample(np.array(_numbers(path, header, row)), spec)
        except SampleError as error:
            yield error
    if count <= start:
        rows_of = f"{path} holds {count} rows below its names"
        raise SampleError(f"{rows_of}; there is no number {start}" if start else rows_of)


def _numbers(path: Path, header: tuple[str, ...], row: csv_reading.CsvRow) -> list[float]:
    """The values of a row, if it is not broken, each a finite float32."""
    try:
        return csv_reading.parse_row(row, header, range(len(header)), remedy=_TEXT_REMEDY)
    except DataError as error:
        raise SampleError(f"{path}, {row.where}: {error}") from None
