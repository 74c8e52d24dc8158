"""What a layer is: plain records that every floor above shares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NUMERIC_TYPES = (
    "float", "float16", "double", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16",
    "uint32", "uint64",
)  # fmt: skip
"""ONNX's names of the element types that NumPy can hold."""

Shape = tuple[int | None, ...]
"""A tensor's shape; ``None`` for the batch and for sizes that the model leaves open."""


@dataclass(frozen=True)
class Layer:
    """One node of the diagram.

    Attributes
    ----------
    name
        Unique in the model: by the module that a person wrote, where the file tells it
        (``layer1.0.conv1``, ``layer1.0.add``). Else `onnx_name`, for a Keras layer Keras' name.
    op_type
        The ONNX operator, ``"Input"`` for a graph input.
    class_label
        What the diagram prints as the layer's class; equals `op_type` for plain ONNX.
    inputs
        Names of the layers whose activations this one reads, without repetition.
    input_shapes, output_shape
        As the model lays them out, ``None`` for the batch and for open sizes; `output_shape` is
        ``None`` where the rank is unknown before a run.
    kernel_shape, bias_shape
        Of the constant kernel and bias, in ONNX order, for a Keras layer in Keras' order; ``None``
        where there is none.
    pointwise_shape
        Of the second kernel of a separable convolution.
    activation
        Name of a built-in activation function, where the layer has one.
    cluster
        Names of the nested models, or paths of the modules, around the layer, outermost first.
    onnx_name
        The ONNX node's name, or its first output's name where that is empty or not unique; ``None``
        for a Keras layer.
    module, module_class
        Path of the module that calls the layer, and its class, where the file tells them.
    cluster_classes
        Of the modules in `cluster`, as far as the file tells them; empty where it tells of none.
    """

    name: str
    op_type: str
    class_label: str
    inputs: tuple[str, ...] = ()
    input_shapes: tuple[Shape | None, ...] = ()
    output_shape: Shape | None = None
    kernel_shape: tuple[int, ...] | None = None
    bias_shape: tuple[int, ...] | None = None
    activation: str | None = None
    cluster: tuple[str, ...] = ()
    pointwise_shape: tuple[int, ...] | None = None
    onnx_name: str | None = None
    module: str | None = None
    module_class: str | None = None
    cluster_classes: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Axes:
    """Where the batch and the channels lie in a value.

    Attributes
    ----------
    batch
        ``None`` for a value without a batch axis.
    channel
        ``None`` if unknown.
    channels_last
        Whether an unknown channel axis of a spatial value is the last one.
    assumed_batch
        Whether nothing says that the batch lies there; then nothing is folded into it.
    """

    batch: int | None
    channel: int | None
    channels_last: bool = False
    assumed_batch: bool = field(default=False, compare=False)

    def fit(self, rank: int) -> bool:
        """Tell whether a value of this rank has these axes; the batch it may do without."""
        return (self.batch or 0) < max(1, rank) and (self.channel or 0) < max(1, rank)

    def completed(self, rank: int) -> Axes:
        """The same axes; an unknown channel axis by SPEC's defaults for a value of this rank.

        ``(T, F)`` for a sequence; more axes as the model lays pictures out; a value of two axes or
        less is flat.
        """
        inner = rank if self.batch is None else rank - 1
        if self.channel is not None or inner < 2:
            return self
        first = 1 if self.batch == 0 else 0
        channel = rank - 1 if inner == 2 or self.channels_last else first
        return Axes(self.batch, channel, assumed_batch=self.assumed_batch)


@dataclass(frozen=True)
class Reason:
    """What says where batch and channels of an activation lie.

    Attributes
    ----------
    channels, batch
        In words; ``None`` where nothing says so, and the axes were assumed.
    contradiction
        Other evidence, which is as strong and says otherwise, and what it says.
    """

    channels: str | None
    batch: str | None
    contradiction: str | None = None

    def doubt(self, channel: int, rank: int) -> str | None:
        """What a label says of channels on this axis of a value, where they may lie elsewhere."""
        place = "last" if channel == rank - 1 else _PLACES[min(channel, len(_PLACES) - 1)]
        if self.channels is None:
            return f"channels assumed {place}"
        return None if self.contradiction is None else f"channels {place}, disputed"


_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth")


@dataclass(frozen=True)
class Geometry:
    """How the kernel of a convolution walks, one entry for each spatial axis.

    ``pads`` holds the begins, then the ends, as in ONNX; it plays no part unless `auto_pad` is
    ``"NOTSET"``. ``output_shape`` is the attribute of that name of a transposed convolution.
    """

    transpose: bool
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    groups: int
    auto_pad: str = "NOTSET"
    output_padding: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()

    def begin_pads(
        self, kernel_size: tuple[int, ...], size: tuple[int, ...], source_size: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Zeros before the first element of each axis, by ONNX's rules for ``auto_pad``.

        They follow from spatial sizes of the kernel, of what it makes and of what it reads.
        """
        if self.auto_pad == "VALID" and not self.output_shape:
            return (0,) * len(size)
        if self.auto_pad == "NOTSET" and not self.output_shape:
            return self.pads[: len(size)]
        begins = []
        for axis, kernel in enumerate(kernel_size):
            stride = self.strides[axis]
            reach = (kernel - 1) * self.dilations[axis] + 1
            if self.transpose:
                extra = self.output_padding[axis]
                total = stride * (source_size[axis] - 1) + extra + reach - size[axis]
            else:
                total = (size[axis] - 1) * stride + reach - source_size[axis]
            total = max(total, 0)
            begins.append(total // 2 if self.auto_pad == "SAME_UPPER" else total - total // 2)
        return tuple(begins)


@dataclass(frozen=True)
class Tap:
    """Where a layer's activation is found in the ONNX graph, and how it becomes a map.

    Attributes
    ----------
    value
        The ONNX value that holds the activation.
    axes
        Its batch and channel axes.
    form
        ``"channels"``: mapped over its channels where it is spatial or a sequence.
        ``"recurrent"``: the ``Y`` of an LSTM, GRU or RNN, directions times hidden as features.
        ``"distributed"``: of a layer that a wrapper runs on each step of the first axis behind the
        batch; mapped as ``"channels"`` step by step, and the mean over the steps.
        ``"framed"``: of a layer of a model that a wrapper runs on each step; the batch axis holds
        the steps of each sample, which are mapped as ``"channels"``.
        ``"flat"``: shown as a flat list of values whatever its rank.
    geometry
        Of a convolution whose kernel is constant, else ``None``.
    source, source_channel
        The ONNX value that the convolution reads, and the axis of its channels (that of the batch
        is the first); its spatial size is the size of the map under ``projection="transposed"``.
    squeezed
        Spatial axis of the convolution that its activation has no more: a 2-D convolution that
        stands for a 1-D one, with its bias behind the Squeeze.
    shown
        For each axis that labels show, the value's axis that holds it: a Keras layer is shown with
        its channels last, and computed with its channels first. ``None`` where they are the same.
    """

    value: str
    axes: Axes
    form: Literal["channels", "recurrent", "distributed", "framed", "flat"] = "channels"
    geometry: Geometry | None = None
    source: str | None = None
    source_channel: int = 1
    squeezed: int | None = None
    shown: tuple[int, ...] | None = None

    @property
    def added_axes(self) -> int:
        """How many axes its values have beside those of the layer: that of the steps, or none."""
        return 1 if self.form == "distributed" else 0

    @property
    def stepped(self) -> bool:
        """Whether a wrapper runs the layer on each step of a sample."""
        return self.form in ("distributed", "framed")


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A layer's activation as a function of another value, element by element.

    It is ``clip(scale[c] * x + shift[c], low, high)`` for an element ``x`` of channel ``c``: what
    batch normalization, a constant factor or summand, ReLU and Clip do, alone or in this order.

    Attributes
    ----------
    source
        The ONNX value that holds ``x``; another layer's activation.
    scale, shift
        ``(C,)`` float32.
    low, high
        Bounds; infinite where there is none.
    """

    source: str
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    low: float
    high: float

    def apply(self, array: NDArray[np.float32], channel: int) -> NDArray[np.float32]:
        """The layer's activation from an array of the source, whose axis `channel` is given."""
        shape = [1] * array.ndim
        shape[channel] = len(self.scale)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = array * self.scale.reshape(shape) + self.shift.reshape(shape)
        return np.asarray(np.clip(scaled, np.float32(self.low), np.float32(self.high)))


@dataclass(frozen=True)
class ModelInput:
    """A value that a caller feeds.

    Attributes
    ----------
    name
        Of the graph's input.
    shape
        With the batch, ``None`` for open sizes.
    axes
        Where batch and channels lie.
    dtype
        NumPy's name of the element type.
    """

    name: str
    shape: Shape
    axes: Axes
    dtype: str


def readers_of(layers: Iterable[Layer]) -> defaultdict[str, list[str]]:
    """By name of a layer: names of the layers that read it, in their order."""
    readers: defaultdict[str, list[str]] = defaultdict(list)
    for layer in layers:
        for name in layer.inputs:
            readers[name].append(layer.name)
    return readers


def fits_shape(shape: Shape, pattern: Shape) -> bool:
    """Tell whether a shape fills in the open sizes of another."""
    return len(shape) == len(pattern) and all(
        wanted in (None, size) for size, wanted in zip(shape, pattern, strict=True)
    )


def fill_shapes(patterns: Sequence[Shape | None], known: Sequence[Shape]) -> list[Shape | None]:
    """Fill in open sizes of what a layer reads from the shapes that its parents have in a run.

    Each pattern takes the first shape that fits it and that none before it took, else the first
    that fits; one that nothing fits stays as it is.
    """
    rest = list(known)
    filled: list[Shape | None] = []
    for pattern in patterns:
        fitting = [] if pattern is None else [s for s in known if fits_shape(s, pattern)]
        unused = [shape for shape in fitting if shape in rest]
        chosen = next(iter(unused or fitting), pattern)
        if unused:
            rest.remove(unused[0])
        filled.append(chosen)
    return filled


def show_shape(shape: Shape | None, *, unknown: str = "None") -> str:
    """A shape as Python writes it, open sizes in a word; ``?`` for an unknown one."""
    if shape is None:
        return "?"
    inner = ", ".join(unknown if size is None else str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"
