"""Samples one by one, from whatever files hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.choices import ArrayLayout
from micam_fast.errors import SampleError
from micam_fast.layers import ModelInput, show_shape
from micam_fast.samples.arrays import (
    ARRAY_SUFFIXES,
    cast_sample,
    channel_axis,
    fit_array,
    load_array,
    sample_shape,
)
from micam_fast.samples.pictures import IMAGE_SUFFIXES, PixelRules, read_picture


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample: an array for each of the model's inputs, or why there is none."""

    name: str
    arrays: Mapping[str, NDArray[Any]]
    error: SampleError | None = None


def read_samples(
    paths: Iterable[str],
    inputs: Sequence[ModelInput],
    *,
    layout: ArrayLayout = "auto",
    rules: PixelRules | None = None,
    extra: Mapping[str, NDArray[Any]] | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> Iterator[Sample]:
    """Read samples one by one; what cannot be read comes as a sample with an error.

    Parameters
    ----------
    paths
        ``.npy``, ``.npz`` and picture files, and folders of them.
    inputs
        The model's inputs. A file feeds the first one that `extra` does not; an ``.npz`` may hold
        an array for each input by name.
    layout, rules
        How arrays and pictures are read.
    extra
        Arrays ``(n, ...)`` for further inputs: one sample that serves all, or one for each.
    say
        Is told once what ``layout="auto"`` decided.
    """
    reader = _Reader(inputs, layout, rules or PixelRules(), dict(extra or {}), say)
    if not reader.fed:
        yield from reader.read_extra()
        return
    for path in expand_paths(paths):
        yield from reader.read(path)


def expand_paths(paths: Iterable[str]) -> Iterator[Path]:
    """Files, with folders replaced by the samples in them, sorted by name."""
    for text in paths:
        path = Path(text)
        if path.is_dir():
            yield from sorted(
                each
                for each in path.iterdir()
                if each.suffix.lower() in (*ARRAY_SUFFIXES, *IMAGE_SUFFIXES)
            )
        else:
            yield path


class _Reader:
    def __init__(
        self,
        inputs: Sequence[ModelInput],
        layout: ArrayLayout,
        rules: PixelRules,
        extra: dict[str, NDArray[Any]],
        say: Callable[[str], None],
    ) -> None:
        self._specs = {spec.name: spec for spec in inputs}
        self._layout = layout
        self._rules = rules
        self._extra = extra
        self._say = say
        self._said: set[str] = set()
        self._count = 0
        self.fed = [spec for spec in inputs if spec.name not in extra]

    def read(self, path: Path) -> Iterator[Sample]:
        try:
            batches = self._load(path)
            missing = [spec.name for spec in self.fed if spec.name not in batches]
            if missing:
                raise SampleError(
                    f"the model's input {missing[0]!r} has no array (give --input "
                    f"{missing[0]}=FILE, or an .npz with the arrays {', '.join(self._specs)})"
                )
            count = _common_length(batches)
        except SampleError as error:
            self._count += 1
            yield Sample(path.name, {}, error)
            return
        for row in range(count):
            name = path.name if count == 1 else f"{path.name}[{row}]"
            yield self._complete(
                name, {key: rows[row if len(rows) > 1 else 0] for key, rows in batches.items()}
            )

    def read_extra(self) -> Iterator[Sample]:
        for row in range(_common_length(self._extra)):
            yield self._complete(f"sample {row}", {})

    def _complete(self, name: str, arrays: dict[str, NDArray[Any]]) -> Sample:
        """Add the further inputs' arrays of this sample."""
        index = self._count
        self._count += 1
        for key, rows in self._extra.items():
            if len(rows) > 1 and index >= len(rows):
                error = SampleError(
                    f"input {key!r} has {len(rows)} samples, this is number {index}"
                )
                return Sample(name, {}, error)
            arrays[key] = rows[index if len(rows) > 1 else 0]
        try:
            return Sample(
                name, {key: cast_sample(row, self._specs[key]) for key, row in arrays.items()}
            )
        except SampleError as error:
            return Sample(name, {}, error)

    def _load(self, path: Path) -> dict[str, NDArray[Any]]:
        if path.suffix.lower() not in ARRAY_SUFFIXES:
            return {self.fed[0].name: self._read_picture(path)}
        loaded = load_array(path)
        if isinstance(loaded, dict):
            known = {name: loaded[name] for name in self._specs if name in loaded}
            if not known and len(loaded) == 1:
                known = {self.fed[0].name: next(iter(loaded.values()))}
            if not loaded:
                raise SampleError(f"{path.name} holds no array")
            if not known:
                raise SampleError(
                    f"{path.name} holds the arrays {', '.join(loaded)}; the model's inputs are "
                    f"{', '.join(self._specs)}"
                )
        else:
            known = {self.fed[0].name: loaded}
        return {name: self._fit(array, self._specs[name]) for name, array in known.items()}

    def _fit(self, array: NDArray[Any], spec: ModelInput) -> NDArray[Any]:
        samples, note = fit_array(array, spec, self._layout)
        if note and self._layout == "auto" and note not in self._said:
            self._said.add(note)
            self._say(f"input {spec.name!r}: {note}")
        return samples

    def _read_picture(self, path: Path) -> NDArray[Any]:
        spec = self.fed[0]
        expected = sample_shape(spec)
        axis = channel_axis(spec)
        if len(expected) != 3 or axis is None:
            wanted = show_shape(expected, unknown="any")
            raise SampleError(
                f"a picture does not fit input {spec.name!r} of shape {wanted}; give an array file"
            )
        height, width = (size for each, size in enumerate(expected) if each != axis)
        channels = expected[axis] or 3
        pixels = read_picture(path, channels, height, width, self._rules)
        if np.dtype(spec.dtype).kind in "iu":
            pixels = np.rint(pixels)
        return np.moveaxis(pixels, -1, axis)[np.newaxis]


def _common_length(arrays: Mapping[str, NDArray[Any]]) -> int:
    counts = {name: len(rows) for name, rows in arrays.items()}
    if len({count for count in counts.values() if count != 1}) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise SampleError(f"the inputs hold different numbers of samples: {listed}")
    return max(counts.values())
