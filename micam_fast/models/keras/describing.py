"""What the diagram and the maps need to know of each Keras layer, and where its weights are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.layers import Axes, Geometry, Layer, Shape, Tap
from micam_fast.core.texts import free_name
from micam_fast.models.keras.calls import LayerCall
from micam_fast.models.keras.pieces import Stored
from micam_fast.models.onnx.annotations import LayerNote, Weight


class Initializers:
    """Initializers, by name, found by what they hold; one that is missing is added.

    A weight gets none of the names that are taken.

    Attributes
    ----------
    names
        New names for those that were found, by their old ones.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], taken: Iterable[str]) -> None:
        self._arrays = arrays
        self._alike: dict[Any, list[str]] = {}
        for name, array in arrays.items():
            self._alike.setdefault(_likeness(array), []).append(name)
        self._taken = {*taken, *arrays}
        self.names: dict[str, str] = {}

    def find(self, array: NDArray[Any], title: str) -> Weight:
        """The initializer with these values in this order; one is added if there is none."""
        title = free_name(title, self._taken)
        bare = array.squeeze()
        alike = self._alike.setdefault(_likeness(array), [])
        name = next((n for n in alike if np.array_equal(self._arrays[n].squeeze(), bare)), None)
        if name is None:
            name = title
            self._arrays[name] = array
            alike.append(name)
        if name not in self.names:
            self.names[name] = title
            self._taken.add(title)
        return Weight(self.names[name], array.shape)


def _likeness(array: NDArray[Any]) -> Any:
    """What equal arrays have in common, but for axes of size 1, without a copy of them."""
    return array.dtype, array.squeeze().shape, array.flat[:16].tobytes()


def describe(
    calls: Sequence[LayerCall], stored: Mapping[str, Stored], initializers: Initializers
) -> tuple[LayerNote, ...]:
    """Notes of all calls; `stored` tells by a tensor's name where it is in the ONNX graph."""
    channels_first = _channels_first(calls)
    return tuple(
        _describe_call(call, stored, initializers, call.name in channels_first) for call in calls
    )


def _channels_first(calls: Sequence[LayerCall]) -> set[str]:
    """Names of the calls whose activations have their channels before the pixels.

    A layer with a ``data_format`` says it for itself and for the inputs that it reads; the others
    keep what they are given.
    """
    layouts = {call.name: getattr(call.layer, "data_format", None) for call in calls}
    found = {name for name, layout in layouts.items() if layout == "channels_first"}
    fed = {call.name for call in calls if call.layer is None}
    found |= {parent for call in calls if call.name in found for parent in call.parents} & fed
    for call in calls:
        if (
            layouts[call.name] is None
            and not found.isdisjoint(call.parents)
            and call.output.shape.rank == call.inputs[0].shape.rank
        ):
            found.add(call.name)
    return found


def _describe_call(
    call: LayerCall, stored: Mapping[str, Stored], initializers: Initializers, channels_first: bool
) -> LayerNote:
    inner = call.layer
    while (wrapped := _wrapped(inner)) is not None:
        inner = wrapped
    kernel, pointwise, bias = _weights(inner)
    layer = Layer(
        name=call.name,
        op_type="InputLayer" if call.layer is None else type(call.layer).__name__,
        class_label="InputLayer" if call.layer is None else class_label(call.layer),
        inputs=call.parents,
        input_shapes=tuple(_shape(tensor) for tensor in call.inputs),
        output_shape=_shape(call.output),
        kernel_shape=None if kernel is None else kernel.shape,
        bias_shape=None if bias is None else bias.shape,
        activation=_activation_name(inner),
        cluster=call.cluster,
        pointwise_shape=None if pointwise is None else pointwise.shape,
    )
    found = stored[call.output.name]
    shown = None if found.is_keras else found.order
    each_step = _each_step(call.layer)
    mapped = each_step or call.layer
    form: Literal["channels", "distributed", "framed"] = "framed" if call.framed else "channels"
    # What has one list of values for each frame is a sequence; a Dense makes one of it by itself.
    if each_step is not None and all(len(tensor.shape) > 3 for tensor in call.inputs):
        form = "distributed"
    tap = Tap(found.value, Axes(0, _channel_axis(found, channels_first)), form=form, shown=shown)
    in_order = _kernel_order(mapped)
    if in_order is None or kernel is None:
        return LayerNote(layer, tap)
    assert inner is mapped
    read = stored.get(call.inputs[0].name)
    title = call.name
    kernels = [initializers.find(in_order(kernel), f"{title}/kernel")]
    if pointwise is not None:
        turned = _channels_in_front(pointwise)
        kernels.append(initializers.find(turned, f"{title}/pointwise_kernel"))
    tap = replace(
        tap,
        geometry=_geometry(mapped, kernel),
        source=None if read is None else read.value,
        source_channel=1 if read is None else _channel_axis(read, channels_first) or 1,
    )
    found_bias = None if bias is None else initializers.find(bias, f"{title}/bias")
    return LayerNote(layer, tap, tuple(kernels), found_bias)


def class_label(layer: Any) -> str:
    """Class of a layer; a wrapper's with the class of what it wraps: ``TimeDistributed(Dense)``."""
    name = type(layer).__name__
    wrapped = _wrapped(layer)
    return name if wrapped is None else f"{name}({class_label(wrapped)})"


def _wrapped(layer: Any) -> Any:
    import keras

    if isinstance(layer, keras.layers.Bidirectional):
        return layer.forward_layer
    return layer.layer if isinstance(layer, keras.layers.Wrapper) else None


def _each_step(layer: Any) -> Any:
    """The layer, with its channels last, that a wrapper runs on each step; else ``None``."""
    import keras

    wraps = isinstance(layer, keras.layers.TimeDistributed)
    last = wraps and getattr(layer.layer, "data_format", None) != "channels_first"
    return layer.layer if last else None


def _weights(layer: Any) -> tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]:
    """Kernel, second kernel of a separable convolution, and bias, in Keras' order."""
    import keras

    separable = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
    if isinstance(layer, separable):
        return _array(layer.depthwise_kernel), _array(layer.pointwise_kernel), _array(layer.bias)
    # A recurrent layer has its weights in its cell.
    holder = getattr(layer, "cell", layer)
    kernel = _array(getattr(holder, "kernel", None))
    return kernel, None, None if kernel is None else _array(getattr(holder, "bias", None))


def _array(variable: Any) -> NDArray[Any] | None:
    return np.asarray(variable.numpy()) if hasattr(variable, "numpy") else None


def _activation_name(layer: Any) -> str | None:
    import keras

    function = getattr(layer, "activation", None)
    if isinstance(layer, keras.layers.ReLU):
        # The class says what the plain one does.
        limits = layer.max_value, layer.negative_slope, layer.threshold
        known = {(None, 0, 0): None, (6, 0, 0): "relu6"}
        return known.get(limits, "relu with limits")
    if function is None:
        return None
    name = getattr(function, "__name__", None) or getattr(function, "name", None)
    return str(name or type(function).__name__)


def _kernel_order(layer: Any) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    """How the kernel of a convolution is brought to ONNX order; ``None`` for other layers."""
    from keras import layers

    depthwise = (
        layers.DepthwiseConv1D,
        layers.DepthwiseConv2D,
        layers.SeparableConv1D,
        layers.SeparableConv2D,
    )
    if isinstance(layer, depthwise):
        # (*k, J, multiplier) to (J * multiplier, 1, *k)
        return lambda kernel: kernel.transpose((-2, -1, *range(kernel.ndim - 2))).reshape(
            (-1, 1, *kernel.shape[:-2])
        )
    plain = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
    return _channels_in_front if isinstance(layer, plain) or _is_transposed(layer) else None


def _channels_in_front(kernel: NDArray[Any]) -> NDArray[Any]:
    """``(*k, J, C)`` to ``(C, J, *k)``; of a transposed one, ``(*k, C, J)`` to ``(J, C, *k)``."""
    return kernel.transpose((-1, -2, *range(kernel.ndim - 2)))


def _is_transposed(layer: Any) -> bool:
    from keras.layers import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose

    return isinstance(layer, (Conv1DTranspose, Conv2DTranspose, Conv3DTranspose))


def _geometry(layer: Any, kernel: NDArray[Any]) -> Geometry:
    """How the kernel walks. TensorFlow's "same" is ONNX's SAME_UPPER."""
    rank = kernel.ndim - 2
    dilations = _per_axis(layer.dilation_rate, rank)
    pads = [0] * (2 * rank)
    if layer.padding == "causal":
        pads[0] = (kernel.shape[0] - 1) * dilations[0]
    return Geometry(
        transpose=_is_transposed(layer),
        strides=_per_axis(layer.strides, rank),
        dilations=dilations,
        pads=tuple(pads),
        groups=int(getattr(layer, "groups", 1) or 1),
        auto_pad="SAME_UPPER" if layer.padding == "same" else "NOTSET",
        # What Keras adds behind is in the size of the output, by which "same" pads are found.
        output_padding=(0,) * rank,
    )


def _per_axis(value: Any, rank: int) -> tuple[int, ...]:
    return (int(value),) * rank if isinstance(value, int) else tuple(int(each) for each in value)


def _channel_axis(found: Stored, channels_first: bool) -> int | None:
    return None if len(found.order) < 3 else found.order[1 if channels_first else -1]


def _shape(tensor: Any) -> Shape | None:
    if tensor.shape.rank is None:
        return None
    return tuple(None if axis == 0 else size for axis, size in enumerate(tensor.shape))
