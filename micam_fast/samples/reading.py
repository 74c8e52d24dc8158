"""Samples one by one, from whatever files hold them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.choices import ArrayLayout
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import ModelInput
from micam_fast.core.machine import quarter_of_memory
from micam_fast.core.output_files import is_there
from micam_fast.core.texts import count_of, shortened
from micam_fast.samples.array_files import Rows, open_rows, read_archive
from micam_fast.samples.arrays import (
    ARRAY_SUFFIXES,
    cast_sample,
    channel_axis,
    describe_input,
    fill_sample,
    fit_array,
    sample_shape,
)
from micam_fast.samples.csv_tables import CSV_SUFFIX, read_table
from micam_fast.samples.pictures import PixelRules, read_pictures
from micam_fast.samples.record_files import is_record_name, read_records, read_side_file
from micam_fast.samples.sources import expand_paths, match_paths, split_selector

_LONGEST_MESSAGE = 600


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample: an array for each of the model's inputs, or why there is none.

    Attributes
    ----------
    name
        Of its file, and its number there.
    arrays
        By input name, without the batch.
    error
        Why there are none.
    label
        Known class, where the file tells it.
    path
        The file, as it was given or found in a folder; empty where no file but only arrays for
        further inputs were given.
    number
        Its number in the file, from 0; ``None`` where it is alone there, and for an error of the
        file as a whole, unless a number was asked for.
    pixel_rules
        By input name: how the pixels of a picture file became its array; ``None`` for other files.
    """

    name: str
    arrays: Mapping[str, NDArray[Any]]
    error: SampleError | None = None
    label: str | None = None
    path: str = ""
    number: int | None = None
    pixel_rules: Mapping[str, PixelRules] | None = None

    @property
    def given(self) -> Mapping[str, NDArray[Any]] | SampleError:
        """What a stream of samples takes: the arrays, or the error in their place."""
        return self.arrays if self.error is None else self.error


def read_samples(
    paths: Iterable[str],
    inputs: Sequence[ModelInput],
    *,
    layout: ArrayLayout = "auto",
    rules: PixelRules | None = None,
    extra: Mapping[str, Rows] | None = None,
    memory: int | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> Iterator[Sample]:
    """Read samples one by one; what cannot be read comes as a sample with an error.

    Parameters
    ----------
    paths
        ``.npy``, ``.npz``, ``.csv``, TFRecord and picture files, folders of them, and patterns like
        ``data/*.npy``, see `match_paths`; ``FILE:N`` is sample N of a file, from 0.
    inputs
        The model's inputs. A file feeds the first one that `extra` does not; an ``.npz`` may hold
        an array for each input by name.
    layout, rules
        How arrays and pictures are read.
    extra
        Arrays ``(n, ...)`` for further inputs: one sample that serves all, or one for each.
    memory
        Most bytes that one sample may take, and an ``.npz`` file as a whole; by default a quarter
        of the machine's memory.
    say
        Takes once what ``layout="auto"`` decided, how CSV files are taken, and that their columns
        have different names.
    """
    reader = _SampleReader(
        inputs, layout, rules or PixelRules(), dict(extra or {}), memory or quarter_of_memory(), say
    )
    if not reader.fed:
        yield from reader.read_extra()
        return
    for text in paths:
        file, number = split_selector(text)
        for path in expand_paths([file]) if number is None else match_paths(file):
            if isinstance(path, SampleError):
                yield reader.fail(file, path)
            else:
                yield from reader.read(path, number)


@dataclass(frozen=True, eq=False)
class _ReadSample:
    """What a file gave for one sample; or its error, of the sample or of the whole file."""

    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    label: str | None = None
    error: SampleError | None = None
    whole: bool = False
    pixel_rules: Mapping[str, PixelRules] | None = None


@dataclass(eq=False)
class _SampleReader:
    inputs: InitVar[Sequence[ModelInput]]
    layout: ArrayLayout
    rules: PixelRules
    extra: dict[str, Rows]
    memory: int
    say: Callable[[str], None]
    said: set[str] = field(default_factory=set)
    # The first table, until another one has told that it differs.
    columns: tuple[Path, tuple[str, ...]] | None = None
    count: int = 0

    def __post_init__(self, inputs: Sequence[ModelInput]) -> None:
        self.specs = {spec.name: spec for spec in inputs}
        self.fed = [spec for spec in inputs if spec.name not in self.extra]

    def read(self, path: Path, number: int | None) -> Iterator[Sample]:
        """The samples of a file, or the one of a number."""
        found = self._contained(path, number)
        first, second = next(found, None), next(found, None)
        # A sample that is alone in its file goes by the file's name.
        alone = number is None and second is None
        known = (each for each in (first, second) if each is not None)
        for row, each in enumerate(chain(known, found), number or 0):
            unnumbered = alone or each.whole
            name = path.name if unnumbered else f"{path.name}[{row}]"
            yield self._complete(name, each, str(path), number if unnumbered else row)

    def fail(self, path: str, error: SampleError) -> Sample:
        """A sample that stands for all that cannot be read."""
        return self._complete(path, _ReadSample(error=error), path)

    def read_extra(self) -> Iterator[Sample]:
        for row in range(_common_length(self.extra)):
            yield self._complete(f"sample {row}", _ReadSample(), number=row)

    def _complete(
        self, name: str, found: _ReadSample, path: str = "", number: int | None = None
    ) -> Sample:
        """Add the further inputs' arrays of this sample."""
        index = self.count
        self.count += 1
        name = _encodable(name)
        try:
            if found.error is not None:
                raise found.error
            with _any_error(path):
                given = found.arrays | self._extra_of(index)
                arrays = {key: cast_sample(row, self.specs[key]) for key, row in given.items()}
            label = None if found.label is None else _encodable(found.label)
            return Sample(name, arrays, None, label, path, number, found.pixel_rules)
        except SampleError as error:
            # What an error quotes of a file may be of any length.
            shown = SampleError(shortened(_encodable(str(error)), _LONGEST_MESSAGE))
            return Sample(name, {}, shown, None, path, number)

    def _extra_of(self, index: int) -> dict[str, NDArray[Any]]:
        for key, rows in self.extra.items():
            if len(rows) > 1 and index >= len(rows):
                raise SampleError(f"input {key!r} has {len(rows)} samples, this is number {index}")
        return {key: rows[index if len(rows) > 1 else 0] for key, rows in self.extra.items()}

    def _contained(self, path: Path, number: int | None) -> Iterator[_ReadSample]:
        """What a file holds; what is wrong with it as a whole comes in the end."""
        try:
            if number is not None and is_there(path.is_dir):
                raise SampleError(f"{path} is a folder; FILE:N takes a sample of a file")
            with _any_error(str(path)):
                yield from islice(self._found(path, number or 0), None if number is None else 1)
        except SampleError as error:
            yield _ReadSample(error=error, whole=True)

    def _found(self, path: Path, start: int) -> Iterator[_ReadSample]:
        """What a file holds from a number on."""
        spec = self.fed[0]
        if is_record_name(path.name):
            self._check_fed([spec.name])
            yield from self._records(path, start)
        elif path.suffix.lower() == CSV_SUFFIX:
            self._check_fed([spec.name])
            table = read_table(path, spec, start, self.memory)
            self._tell(spec, table.note)
            self._compare_columns(path, table.header, spec)
            for sample in table.samples:
                if isinstance(sample, SampleError):
                    yield _ReadSample(error=sample)
                else:
                    yield _ReadSample({spec.name: sample})
        elif path.suffix.lower() not in ARRAY_SUFFIXES:
            self._check_fed([spec.name])
            for pixels in self._pictures(path, start):
                yield _ReadSample({spec.name: pixels}, pixel_rules={spec.name: self.rules})
        else:
            batches = self._load(path)
            self._check_fed(batches)
            count = _common_length(batches)
            if count == 0:
                raise SampleError(f"{path} holds no sample")
            if start >= count:
                held = count_of(count, "sample")
                raise SampleError(f"{path} holds {held}; there is no number {start}")
            for row in range(start, count):
                yield _ReadSample(
                    {key: rows[row if len(rows) > 1 else 0] for key, rows in batches.items()}
                )

    def _compare_columns(self, path: Path, header: tuple[str, ...], spec: ModelInput) -> None:
        """Tell of the first file whose columns have other names than those of the one before."""
        if self.columns is None:
            self.columns = path, header
        elif self.columns[1] not in (header, ()):
            self._tell(
                spec,
                f"{path} names other columns than {self.columns[0]}; columns are taken in their "
                "order, whatever their names",
            )
            self.columns = path, ()

    def _records(self, path: Path, start: int) -> Iterator[_ReadSample]:
        spec, side, number = self.fed[0], read_side_file(path), None
        for number, record in enumerate(read_records(path, start, self.memory), start):
            if isinstance(record, SampleError):
                yield _ReadSample(error=record)
                continue
            label = None if record.label is None else str(record.label)
            if record.label is not None and 0 <= record.label < len(side.classes):
                label = side.classes[record.label]
            try:
                yield _ReadSample({spec.name: fill_sample(record.values, spec, side.size)}, label)
            except SampleError as error:
                yield _ReadSample(error=SampleError(f"{path}, record {number}: {error}"))
        if number is None:
            raise SampleError(f"{path} holds 0 records")

    def _check_fed(self, names: Collection[str]) -> None:
        missing = [spec.name for spec in self.fed if spec.name not in names]
        if missing:
            raise SampleError(
                f"the model's input {missing[0]!r} has no array (give --input "
                f"{missing[0]}=FILE, or an .npz with the arrays {', '.join(self.specs)})"
            )

    def _load(self, path: Path) -> dict[str, Rows]:
        spec = self.fed[0]
        if path.suffix.lower() == ".npy":
            rows, note = open_rows(path, spec, self.layout, self.memory)
            self._tell_layout(spec, note)
            self._tell_depth(spec, rows.dtype)
            return {spec.name: rows}
        loaded = read_archive(path, self.specs, self.memory)
        if not loaded.keys() & self.specs:
            # The only one that there is, by any name.
            loaded = dict(zip([spec.name], loaded.values(), strict=True))
        return {name: self._fit(path, array, self.specs[name]) for name, array in loaded.items()}

    def _fit(self, path: Path, array: NDArray[Any], spec: ModelInput) -> NDArray[Any]:
        samples, note = fit_array(array, spec, self.layout)
        if len(samples) and not samples.size:
            raise SampleError(f"{path} holds no values: its shape is {array.shape}")
        self._tell_layout(spec, note)
        self._tell_depth(spec, array.dtype)
        return samples

    def _tell_layout(self, spec: ModelInput, note: str) -> None:
        if note and self.layout == "auto":
            self._tell(spec, note)

    def _tell_depth(self, spec: ModelInput, dtype: np.dtype[Any]) -> None:
        """A picture of 16 bits would be scaled, an array is not."""
        if dtype.kind in "iu" and dtype.itemsize == 2 and np.dtype(spec.dtype).kind == "f":
            self._tell(
                spec, f"arrays of {dtype.name} are taken as they are; only pictures are scaled"
            )

    def _tell(self, spec: ModelInput, note: str) -> None:
        """Say once what was decided."""
        if note not in self.said:
            self.said.add(note)
            self.say(f"input {spec.name!r}: {note}")

    def _pictures(self, path: Path, start: int) -> Iterator[NDArray[Any]]:
        spec = self.fed[0]
        expected = sample_shape(spec)
        axis = channel_axis(spec)
        if len(expected) != 3 or axis is None:
            if not is_there(path.exists):
                raise SampleError(f"cannot read {path}: no such file")
            raise SampleError(f"a picture does not fit {describe_input(spec)}; give an array file")
        height, width = (size for each, size in enumerate(expected) if each != axis)
        channels = expected[axis] or 3
        found = read_pictures(
            path, channels, height, width, self.rules, self.memory,
            start=start, say=lambda note: self._tell(spec, note),
        )  # fmt: skip
        for pixels in found:
            whole = np.rint(pixels) if np.dtype(spec.dtype).kind in "iu" else pixels
            yield np.moveaxis(whole, -1, axis)


@contextmanager
def _any_error(path: str) -> Iterator[None]:
    """The last net below what readers check: no file ends a run, whatever a library makes of it."""
    try:
        yield
    except SampleError:
        raise
    except Exception as error:
        raise SampleError(f"{path} cannot be read: {type(error).__name__}: {error}") from None


def _encodable(text: str) -> str:
    """A text that can be written: bytes of a file's name that are no UTF-8 are escaped."""
    return text.encode(errors="backslashreplace").decode()


def _common_length(arrays: Mapping[str, Rows]) -> int:
    counts = {name: len(rows) for name, rows in arrays.items()}
    if len({count for count in counts.values() if count != 1}) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise SampleError(f"the inputs hold different numbers of samples: {listed}")
    return max(counts.values())
