"""Samples: arrays and pictures from files, brought to the shape that the model's input has."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from micam_fast.errors import SampleError
from micam_fast.layers import ModelInput, Shape

ArrayLayout = Literal["auto", "nchw", "nhwc"]
ARRAY_LAYOUTS: tuple[ArrayLayout, ...] = ("auto", "nchw", "nhwc")
CHANNEL_ORDERS = ("rgb", "bgr")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
ARRAY_SUFFIXES = (".npy", ".npz")


@dataclass(frozen=True)
class PixelRules:
    """How a pixel 0..255 becomes an input value: ``(pixel * scale - mean) / std``, per channel."""

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channel_order: str = "rgb"


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample: an array for each of the model's inputs, or why there is none."""

    name: str
    arrays: Mapping[str, NDArray[Any]]
    error: SampleError | None = None


def fit_array(
    array: NDArray[Any], spec: ModelInput, layout: ArrayLayout = "auto"
) -> tuple[NDArray[Any], str]:
    """Bring an array to the layout of a model's input.

    Parameters
    ----------
    array
        One sample, or a batch with a leading axis. A missing channel axis is added where the model
        has one channel.
    spec
        The input.
    layout
        Where the array's channels are; ``"auto"`` takes the model's own layout if the shape fits
        it, else the other one.

    Returns
    -------
    samples
        ``(n, ...)`` in the model's layout, a view of `array`.
    note
        What was decided, in words.

    Raises
    ------
    SampleError
        If no reading of the shape fits.
    """
    expected = sample_shape(spec)
    if array.dtype.kind not in "biuf":
        raise SampleError(f"an array of {array.dtype} is no sample; numbers are expected")
    for note, convert in _readings(spec, layout):
        for candidate in (array[np.newaxis], array):
            converted = convert(candidate)
            if converted is not None and _fits(converted.shape[1:], expected):
                return converted, note
    assumed = layout if layout != "auto" else "any layout, nchw or nhwc, with or without a batch"
    raise SampleError(
        f"shape {array.shape} does not fit input {spec.name!r} of shape {_open(expected)} "
        f"(layout assumed: {assumed})"
    )


def sample_shape(spec: ModelInput) -> Shape:
    """Shape of one sample, ``None`` for sizes that the model leaves open."""
    return tuple(size for axis, size in enumerate(spec.shape) if axis != spec.axes.batch)


def channel_axis(spec: ModelInput) -> int | None:
    """Axis of the channels in one sample; ``None`` for a flat one."""
    channel, batch = spec.axes.channel, spec.axes.batch
    if channel is None or len(spec.shape) < 3:
        return None
    return channel - 1 if batch < channel else channel


def own_layout(spec: ModelInput) -> ArrayLayout:
    """Layout in which the model itself takes arrays."""
    return "nhwc" if channel_axis(spec) == len(sample_shape(spec)) - 1 else "nchw"


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


def load_array(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """The array of an ``.npy`` file, or all arrays of an ``.npz``; nothing is unpickled.

    Raises
    ------
    SampleError
        If the file cannot be read or holds Python objects.
    """
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise SampleError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        if "Object arrays" in str(error) or "pickle" in str(error):
            raise SampleError(
                f"{path} holds Python objects, which are never unpickled; save numbers"
            ) from None
        raise SampleError(f"{path} is no readable array file: {error}") from None
    return array


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
        return Sample(
            name,
            {key: np.ascontiguousarray(row, self._specs[key].dtype) for key, row in arrays.items()},
        )

    def _load(self, path: Path) -> dict[str, NDArray[Any]]:
        if path.suffix.lower() not in ARRAY_SUFFIXES:
            return {self.fed[0].name: self._read_image(path)}
        loaded = load_array(path)
        if isinstance(loaded, dict):
            known = {name: loaded[name] for name in self._specs if name in loaded}
            if not known and len(loaded) == 1:
                known = {self.fed[0].name: next(iter(loaded.values()))}
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

    def _read_image(self, path: Path) -> NDArray[Any]:
        spec = self.fed[0]
        expected = sample_shape(spec)
        axis = channel_axis(spec)
        if len(expected) != 3 or axis is None:
            raise SampleError(
                f"a picture does not fit input {spec.name!r} of shape {_open(expected)}; give an "
                "array file"
            )
        height, width = (size for each, size in enumerate(expected) if each != axis)
        channels = expected[axis] or 3
        pixels = read_image(path, channels, height, width, self._rules)
        return np.moveaxis(pixels, -1, axis)[np.newaxis]


def read_image(
    path: Path, channels: int, height: int | None, width: int | None, rules: PixelRules
) -> NDArray[np.float32]:
    """A picture as ``(height, width, channels)`` float32, resized bilinearly where sizes are given.

    Raises
    ------
    SampleError
        If the file is no picture that Pillow can read, is truncated or absurdly large, or the
        model takes another number of channels than 1, 3 or 4.
    """
    from PIL import Image, UnidentifiedImageError

    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if channels not in modes:
        raise SampleError(f"a picture has 1, 3 or 4 channels, the model's input {channels}")
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            deep = image.mode.startswith(("I", "F"))
            picture = image.convert("F" if deep else modes[channels])
            if height is not None and width is not None and picture.size != (width, height):
                picture = picture.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(picture, np.float32)
    except UnidentifiedImageError:
        raise SampleError(f"{path} is no picture that can be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SampleError(f"{path} is too large a picture: {error}") from None
    except OSError as error:
        raise SampleError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        raise SampleError(f"{path} is a broken picture: {error}") from None
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], channels, axis=-1)
    if rules.channel_order == "bgr" and channels >= 3:
        pixels = pixels[..., [2, 1, 0, *range(3, channels)]]
    for name, values in (("mean", rules.mean), ("std", rules.std)):
        if len(values) not in (1, channels):
            raise SampleError(f"--{name} has {len(values)} values for {channels} channels")
    scaled = (pixels * rules.scale - np.array(rules.mean)) / np.array(rules.std)
    return np.asarray(scaled, np.float32)


_Convert = Callable[[NDArray[Any]], NDArray[Any] | None]


def _readings(spec: ModelInput, layout: ArrayLayout) -> Iterator[tuple[str, _Convert]]:
    """Ways to read an array ``(n, ...)``, each with its note, the likeliest first."""
    expected = sample_shape(spec)
    channel = channel_axis(spec)
    rank = len(expected)
    if channel is None or channel not in (0, rank - 1):
        yield "", lambda array: array if array.ndim == rank + 1 else None
        return
    own = own_layout(spec)
    other = "nhwc" if own == "nchw" else "nchw"
    source, target = (rank, 1) if channel == 0 else (1, rank)
    if layout in ("auto", own):
        yield f"taken as {own}", lambda array: array if array.ndim == rank + 1 else None
    if layout in ("auto", other):
        yield (
            f"taken as {other}, moved to the model's {own}",
            lambda array: np.moveaxis(array, source, target) if array.ndim == rank + 1 else None,
        )
    if expected[channel] == 1:
        yield (
            "channel axis added",
            lambda array: np.expand_dims(array, channel + 1) if array.ndim == rank else None,
        )


def _fits(shape: tuple[int, ...], expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        size is None or size == found for found, size in zip(shape, expected, strict=True)
    )


def _common_length(arrays: Mapping[str, NDArray[Any]]) -> int:
    counts = {name: len(rows) for name, rows in arrays.items()}
    if len({count for count in counts.values() if count != 1}) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise SampleError(f"the inputs hold different numbers of samples: {listed}")
    return max(counts.values())


def _open(shape: Shape) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
