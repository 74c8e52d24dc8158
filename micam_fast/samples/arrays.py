"""Arrays of other layouts and element types than the model's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.choices import ArrayLayout
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import ModelInput, Shape, fits_shape, show_shape
from micam_fast.core.texts import first_line_of

ARRAY_SUFFIXES = (".npy", ".npz")

Arrays = Mapping[str, NDArray[Any]]
"""One sample: an array for each of the model's inputs, by name, without the batch."""

_Convert = Callable[[NDArray[Any]], NDArray[Any] | None]


@dataclass(frozen=True)
class Fit:
    """How arrays are brought to the layout of a model's input.

    Attributes
    ----------
    note
        What was decided, in words.
    batch
        Whether the first axis is that of samples; otherwise an array is one sample.
    convert
        Makes an array ``(n, ...)`` one in the model's layout, a view of it.
    """

    note: str
    batch: bool
    convert: _Convert


def fit_array(
    array: NDArray[Any], spec: ModelInput, layout: ArrayLayout = "auto"
) -> tuple[NDArray[Any], str]:
    """Bring an array, one sample or a batch with a leading axis, to a model's input.

    A missing channel axis is added where the model has one channel. The layout says where the
    array's channels are; ``"auto"`` takes the model's own if the shape fits it, else the other one.

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
    fit = find_fit(array.shape, array.dtype, spec, layout)
    converted = fit.convert(array if fit.batch else array[np.newaxis])
    assert converted is not None
    return converted, fit.note


def find_fit(
    shape: tuple[int, ...], dtype: np.dtype[Any], spec: ModelInput, layout: ArrayLayout
) -> Fit:
    """How an array of this shape fits a model's input, see `fit_array`; it need not be in memory.

    Raises
    ------
    SampleError
        If no reading of the shape fits, or the elements are no numbers.
    """
    check_kind(dtype)
    expected = sample_shape(spec)
    stand_in = np.broadcast_to(np.zeros((), dtype), shape)
    for note, convert in _readings(spec, layout):
        for batch, candidate in ((False, stand_in[np.newaxis]), (True, stand_in)):
            converted = convert(candidate)
            if converted is not None and fits_shape(converted.shape[1:], expected):
                return Fit(note, batch, convert)
    assumed = "layout assumed: nchw or nhwc, with or without a leading batch axis"
    if layout != "auto":
        assumed = f"layout assumed: {layout}"
        if layout != own_layout(spec):
            first, last = expected[:1], expected[-1:]
            expected = (*expected[1:], *first) if layout == "nhwc" else (*last, *expected[:-1])
    wanted = show_shape(expected, unknown="any")
    raise SampleError(
        f"shape {shape} does not fit input {spec.name!r} of shape {wanted} ({assumed})"
    )


def check_kind(dtype: np.dtype[Any]) -> None:
    """Make sure that elements are real numbers; a SampleError if not."""
    if dtype.kind not in "biuf":
        raise SampleError(f"an array of {dtype} is no sample; numbers are expected")


def fit_sample(
    sample: Any, inputs: Sequence[ModelInput], *, remedy: str
) -> dict[str, NDArray[Any]]:
    """One sample in a model's own layout and element types, by input name.

    It is given as an array for a model with one input, or as a mapping by input name; a batch axis
    of 1 is taken. The remedy says what to do with a batch, to end the error's sentence.

    Raises
    ------
    SampleError
        If it does not fit.
    """
    arrays = sample if isinstance(sample, Mapping) else {inputs[0].name: sample}
    names = [spec.name for spec in inputs]
    if set(arrays) != set(names):
        given = f"a sample for the inputs {', '.join(arrays)} was given"
        raise SampleError(f"{given}; the model's inputs are {', '.join(names)}")
    fitted = {}
    for spec in inputs:
        try:
            array = as_array(arrays[spec.name])
        except ValueError as error:
            raise SampleError(f"a sample is no array: {error}") from None
        rows, _ = fit_array(array, spec, own_layout(spec))
        if len(rows) != 1:
            raise batch_error(len(rows), remedy)
        fitted[spec.name] = cast_sample(rows[0], spec)
    return fitted


def batch_error(count: int, remedy: str) -> SampleError:
    """What is said of a batch in the place of a sample, and what to do with it."""
    return SampleError(f"a batch of {count} samples was given as one sample; {remedy}")


def as_array(value: Any) -> NDArray[Any]:
    """A value as an array; a PyTorch tensor of any device, with or without a gradient, too.

    Raises
    ------
    ValueError
        If it is no array.
    """
    try:
        if hasattr(value, "detach") and hasattr(value, "cpu"):
            value = value.detach().cpu()
            # NumPy does not know it.
            value = value.float() if str(value.dtype) == "torch.bfloat16" else value
        return np.asarray(value)
    except (TypeError, RuntimeError) as error:
        # A tensor that holds no values, or none that NumPy knows.
        raise ValueError(first_line_of(error)) from None


def cast_sample(array: NDArray[Any], spec: ModelInput) -> NDArray[Any]:
    """One sample as a contiguous array of the model's element type.

    Raises
    ------
    SampleError
        If its type cannot hold the values.
    """
    dtype = np.dtype(spec.dtype)
    if dtype.kind in "iu" and array.size:
        limits = np.iinfo(dtype)
        whole = array.dtype.kind != "f" or bool((array == np.rint(array)).all())
        low, high = array.min(), array.max()
        if not whole or low < limits.min or high > limits.max:
            raise SampleError(
                f"input {spec.name!r} takes {dtype}; the sample has values from {low:g} to "
                f"{high:g}{'' if whole else ', with fractions'}"
            )
    try:
        with np.errstate(over="raise", invalid="ignore"):
            # `ascontiguousarray` would give a single number an axis.
            return np.asarray(array, dtype, order="C")
    except FloatingPointError:
        raise SampleError(
            f"input {spec.name!r} takes {dtype}; the sample has values beyond its largest, "
            f"{np.finfo(dtype).max:g}"
        ) from None


def sample_shape(spec: ModelInput) -> Shape:
    """Shape of one sample, ``None`` for sizes that the model leaves open."""
    return tuple(size for axis, size in enumerate(spec.shape) if axis != spec.axes.batch)


def describe_input(spec: ModelInput) -> str:
    """A model's input in a message."""
    return f"input {spec.name!r} of shape {show_shape(sample_shape(spec), unknown='any')}"


def channel_axis(spec: ModelInput) -> int | None:
    """Axis of the channels in one sample; ``None`` for a flat one."""
    channel, batch = spec.axes.channel, spec.axes.batch
    if channel is None or len(sample_shape(spec)) < 2:
        return None
    return channel - 1 if batch is not None and batch < channel else channel


def channel_count(spec: ModelInput) -> int | None:
    """Number of channels that the model takes, where it is known."""
    axis = channel_axis(spec)
    return None if axis is None else sample_shape(spec)[axis]


def own_layout(spec: ModelInput) -> ArrayLayout:
    """Layout in which the model itself takes arrays."""
    return "nhwc" if channel_axis(spec) == len(sample_shape(spec)) - 1 else "nchw"


def channels_last_shape(spec: ModelInput) -> Shape:
    """Shape of one sample with its channels behind the other axes."""
    shape, axis = sample_shape(spec), channel_axis(spec)
    return shape if axis is None else (*shape[:axis], *shape[axis + 1 :], shape[axis])


def fill_sample(
    values: NDArray[Any], spec: ModelInput, size: tuple[int, int] | None = None
) -> NDArray[Any]:
    """One sample in the model's layout from its values in the order height, width, channels.

    The row-major order of the values counts, whatever their shape. A sequence has its steps for
    rows and its features for columns. The sample's height and width are given where they are known.

    Raises
    ------
    SampleError
        If the values do not fit.
    """
    expected = channels_last_shape(spec)
    count = values.size
    if not count:
        raise SampleError("it holds no values")
    shape: list[int | None] = list(expected)
    if size is not None and len(shape) == 3:
        shape = [*size, count // max(1, size[0] * size[1])]
    elif size is not None and len(shape) == 2:
        shape = list(size)
    elif shape.count(None) == 1:
        others = math.prod(each for each in shape if each is not None)
        shape[shape.index(None)] = count // max(1, others)
    sizes = tuple(each for each in shape if each is not None)
    if len(sizes) < len(shape):
        wanted = show_shape(sample_shape(spec), unknown="any")
        raise SampleError(
            f"the sizes that input {spec.name!r} leaves open, of shape {wanted}, cannot be told "
            f"from {count} values"
        )
    if not fits_shape(sizes, expected) or math.prod(sizes) != count:
        given = f"{count} values"
        if size is not None:
            given = f"{size[0]} x {size[1]}{f' x {sizes[2]}' if len(sizes) > 2 else ''} values"
        raise SampleError(f"{given} do not fit {describe_input(spec)}")
    filled = values.reshape(sizes)
    axis = channel_axis(spec)
    return filled if axis is None else np.moveaxis(filled, -1, axis)


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
