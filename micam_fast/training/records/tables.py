"""Tables of data that are not images: rows of a CSV file become samples."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import DataError
from micam_fast.training.records.csv_rows import CsvHeader, good_rows, read_header, text_columns
from micam_fast.training.records.records import LabelledSample


@dataclass(frozen=True, eq=False)
class LabelledTable:
    """A CSV file that was read to learn what its columns are, and how it fills a sample."""

    header: CsvHeader
    height: int
    width: int
    window: bool
    codes: Mapping[int, tuple[str, ...]]
    """For the index of each text column its values; the place of a value is its code."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of the labels."""
    count: int
    """Number of samples."""

    def samples(self) -> Iterator[LabelledSample]:
        """Samples ``(height, width, 1)`` float32 and their classes, in the order of the rows.

        The values of a row fill the sample row-major; the rest is zero. With `window` each of
        `height` consecutive rows fills a row of the sample, which is labelled by the last; the
        next window begins one row later. No window reaches over a broken row, as the rows around it
        do not follow each other.
        """
        codes = {
            index: {value: code for code, value in enumerate(values)}
            for index, values in self.codes.items()
        }
        labels = {name: label for label, name in enumerate(self.classes)}
        return islice(self._samples(codes, labels), self.count)

    def _samples(
        self, codes: Mapping[int, Mapping[str, int]], labels: Mapping[str, int]
    ) -> Iterator[LabelledSample]:
        depth = self.height if self.window else 1
        recent: deque[list[float]] = deque(maxlen=depth)
        features = self.header.features
        for fields in good_rows(self.header, self.codes, skipped=lambda message: recent.clear()):
            recent.append(
                [codes[i][fields[i]] if i in codes else float(fields[i]) for i in features]
            )
            if len(recent) == depth:
                yield self._sample(recent), labels[fields[self.header.label]]

    def describe(self) -> dict[str, Any]:
        """What the records do not say: for the side file."""
        names = self.header.columns
        return {
            "height": self.height,
            "width": self.width,
            "window": self.window,
            "columns": [names[index] for index in self.header.features],
            "codes": {names[index]: list(values) for index, values in self.codes.items()},
            "label": names[self.header.label],
            "classes": list(self.classes),
        }

    def _sample(self, rows: Collection[Sequence[float]]) -> NDArray[np.float32]:
        sample = np.zeros((len(rows), self.height * self.width // len(rows)), np.float32)
        for line, values in zip(sample, rows, strict=True):
            line[: len(values)] = values
        return sample.reshape(self.height, self.width, 1)


def survey_table(
    path: Path,
    *,
    label: str,
    height: int,
    width: int,
    window: bool = False,
    say: Callable[[str], None],
    skipped: Callable[[str], None],
) -> LabelledTable:
    """Read a CSV file to learn its columns, codes and classes; only those are held in memory.

    A column of which at least half of the values are no numbers is a text column: its values, as
    sorted, become the codes 0, 1, 2 .... Labels become class codes in the same way, unless they
    are whole numbers that leave no more than about half of the classes from 0 on empty.

    A sample is made of one row, or of `height` rows with `window`. `say` is told the codes, and
    which classes a training would not see; `skipped`, which row is broken, and how.

    Raises
    ------
    DataError
        If the file cannot be read, has no such column or more than a sample can hold, or not
        enough rows for one sample.
    """
    header = read_header(path, label)
    _check_size(header, height, width, window)
    texts = text_columns(header)
    values: dict[int, set[str]] = {index: set() for index in sorted(texts)}
    depth = height if window else 1
    # Rows that can be used; those of them since the last broken one; samples that they make.
    rows = run = count = 0
    first_sample: dict[str, int] = {}
    labels = set()

    def broken(message: str) -> None:
        nonlocal run
        run = 0
        skipped(message)

    for fields in good_rows(header, texts, skipped=broken):
        for index, found in values.items():
            found.add(fields[index])
        labels.add(fields[header.label])
        rows += 1
        run += 1
        if run >= depth:
            first_sample.setdefault(fields[header.label], count)
            count += 1
    if not count:
        needed = f"a window of --height {height} rows" if window else "one sample"
        if rows >= depth:
            needed += ", as broken ones lie between them"
        raise DataError(f"{path} has {rows} rows that can be used, too few for {needed}")
    codes = {index: tuple(sorted(found)) for index, found in values.items()}
    classes = _class_names(labels)
    for index, names in codes.items():
        say(f"text column {header.columns[index]!r} becomes codes: {_listed(names)}")
    if classes != _whole_numbers(len(classes)):
        say(f"labels {label!r} become class codes: {_listed(classes)}")
    table = LabelledTable(header, height, width, window, codes, classes, count)
    late = [name for name, first in first_sample.items() if first >= int(0.6 * table.count)]
    if late:
        say(
            f"no record of class {', '.join(sorted(late))} among the first 60 %, which are the "
            "training part of a single file" + ("" if window else ": shuffle the table's rows")
        )
    return table


def _check_size(header: CsvHeader, height: int, width: int, window: bool) -> None:
    count = len(header.features)
    room, size = (width, f"--width {width}") if window else (height * width, f"{height} x {width}")
    if count > room:
        values = "" if window else f" = {room} values (--height x --width)"
        raise DataError(
            f"{header.path}: {count} columns beside the label do not fit into {size}{values}"
        )


def _class_names(labels: Collection[str]) -> tuple[str, ...]:
    """Names by label: the whole numbers from 0 to the largest, or what labels there are, sorted."""
    try:
        numbers = {name: float(name) for name in labels}
    except ValueError:
        return tuple(sorted(labels))
    # NaN has no order. Numbers of more than 308 digits are infinite, too.
    if not all(map(math.isfinite, numbers.values())):
        return tuple(sorted(labels))
    # The text decides between equal numbers: a set has another order in each process.
    names = tuple(sorted(labels, key=lambda name: (numbers[name], name)))
    if all(name.isdecimal() and name == str(int(name)) for name in names):
        count = int(names[-1]) + 1
        if count <= 2 * len(names) + 1:
            return _whole_numbers(count)
    return names


def _whole_numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _listed(names: Sequence[str], most: int = 10) -> str:
    listed = ", ".join(f"{name or repr(name)}={code}" for code, name in enumerate(names[:most]))
    return listed + (f" and so on, {len(names)} in all" if len(names) > most else "")
