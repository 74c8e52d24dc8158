"""Maps of Keras models by the naive oracle, fed by Keras' own activations.

It knows Keras and ``tests/reference.py``, and nothing of what it judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.helpers import reference
from tests.helpers.models import Array


def shake_weights(model: Any, seed: int = 0) -> None:
    """Biases that are not zero and normalizations that do something, as after a training."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        name = variable.name
        if name in ("bias", "beta", "moving_mean"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
        elif name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.7, 1.3, variable.shape))


@dataclass(frozen=True)
class Run:
    """What Keras says of one call of a layer, for one sample.

    Attributes
    ----------
    layer
        The Keras layer or operation.
    activation
        Its first output, without the batch.
    input_shape
        Of the first tensor that it reads, without the batch.
    """

    layer: Any
    activation: Array
    input_shape: tuple[int, ...]


def run_layers(model: Any, *feeds: Array, prefix: str = "") -> dict[str, Run]:
    """Every call's activation by a Keras model of its own, nested models in place of themselves.

    Parameters
    ----------
    model
        Functional or sequential.
    feeds
        A sample for each of its inputs, in order, without the batch.
    prefix
        Names of the models around it, by SPEC section 1.
    """
    import keras

    calls = list(_calls(model, prefix))
    wanted = [
        list(node.input_tensors if isinstance(each, keras.Model) else node.output_tensors[:1])
        for _, each, node in calls
    ]
    batches = [feed[np.newaxis] for feed in feeds]
    ends = [tensor for tensors in wanted for tensor in tensors]
    found = iter(keras.Model(model.inputs, ends)(batches, training=False))
    runs: dict[str, Run] = {}
    for (name, each, node), tensors in zip(calls, wanted, strict=True):
        arrays = [np.asarray(next(found))[0] for _ in tensors]
        if isinstance(each, keras.Model):
            runs |= run_layers(each, *arrays, prefix=f"{name}/")
        else:
            read = (node.input_tensors or node.output_tensors)[0]
            runs[name] = Run(each, arrays[0], tuple(read.shape[1:]))
    return runs


def keras_edges(model: Any) -> dict[str, tuple[str, ...]]:
    """Parents of each call in Keras' own graph, in the order in which Keras lists the layers."""
    edges, _ = _edges(model, "", [])
    return edges


def _edges(model: Any, prefix: str, fed: list[str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Edges within a model, and the makers of its outputs."""
    import keras

    makers = {id(tensor): name for tensor, name in zip(model.inputs, fed, strict=False)}
    edges: dict[str, tuple[str, ...]] = {}
    for name, each, node in _calls(model, prefix):
        if isinstance(each, keras.Model):
            makers |= {id(tensor): f"{name}/" for tensor in node.output_tensors}
        else:
            makers |= {id(tensor): name for tensor in node.output_tensors}
    for name, each, node in _calls(model, prefix):
        read = [makers[id(t)] for t in node.input_tensors if id(t) in makers]
        if isinstance(each, keras.Model):
            inner, ends = _edges(each, f"{name}/", read)
            edges |= inner
            makers |= {id(t): end for t, end in zip(node.output_tensors, ends, strict=True)}
        elif type(each).__name__ == "InputLayer":
            place = [id(tensor) for tensor in model.inputs].index(id(node.output_tensors[0]))
            edges[name] = tuple(fed[place : place + 1])
        else:
            edges[name] = tuple(dict.fromkeys(read))
    return edges, [makers[id(tensor)] for tensor in model.outputs]


def _calls(model: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Name, layer and node of each call, as Keras lists the layers; a model's inputs first."""
    if hasattr(model, "operations"):
        each_once = list(model.operations)
    else:
        # A sequential model does not list its input.
        first = [tensor._keras_history.operation for tensor in model.inputs]
        each_once = [*([] if prefix else first), *model.layers]
    # A sequential model that grew layer by layer has nodes of its younger days, too.
    depths = getattr(model, "_functional", model)._nodes_by_depth
    own = {id(node) for nodes in depths.values() for node in nodes}
    masks = _mask_tensors(each_once)
    for each in each_once:
        nodes = [node for node in each._inbound_nodes if id(node) in own]
        if all(id(tensor) in masks for node in nodes for tensor in node.output_tensors):
            continue
        for number, node in enumerate(nodes):
            yield f"{prefix}{each.name}{f'#{number + 1}' if number else ''}", each, node


def _mask_tensors(operations: list[Any]) -> set[int]:
    """Tensors that are made for masks only, which Keras hands on beside the activations."""
    nodes = [node for each in operations for node in each._inbound_nodes]
    masks = {
        id(node.arguments.kwargs["mask"])
        for node in nodes
        if node.arguments.kwargs.get("mask") is not None
    }
    fresh = masks
    while fresh:
        makers = [n for n in nodes if any(id(t) in fresh for t in n.output_tensors)]
        others = [n for n in nodes if not any(id(t) in masks for t in n.output_tensors)]
        read = {id(t) for n in others for t in n.input_tensors}
        fresh = {id(t) for n in makers for t in n.input_tensors} - read - masks
        masks |= fresh
    return masks


def expected_map(
    layer: Any,
    activation: Array,
    input_size: tuple[int, int],
    *,
    channels_first: bool = False,
) -> Array:
    """The map of a layer by SPEC section 2, ``projection="published"``."""
    import keras

    layers = keras.layers
    if channels_first and activation.ndim > 1:
        activation = np.moveaxis(activation, 0, -1)
    if isinstance(layer, layers.TimeDistributed) and hasattr(layer.layer, "kernel_size"):
        steps = [expected_map(layer.layer, step, input_size) for step in activation]
        return np.asarray(np.mean(steps, axis=0))
    if activation.ndim < 2 or activation.ndim > 4:
        return reference.flat_map(activation, *input_size)
    bias = None if getattr(layer, "bias", None) is None else np.asarray(layer.bias)
    if isinstance(layer, (layers.SeparableConv1D, layers.SeparableConv2D)):
        depthwise, pointwise = (
            np.asarray(kernel) for kernel in (layer.depthwise_kernel, layer.pointwise_kernel)
        )
        kernel = reference.separable_kernel(depthwise, pointwise)
        return reference.published_conv(activation, kernel, bias)
    if isinstance(layer, (layers.DepthwiseConv1D, layers.DepthwiseConv2D)):
        kernel = reference.depthwise_kernel(np.asarray(layer.kernel))
        return reference.published_conv(activation, kernel, bias)
    transposed = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
    if isinstance(layer, transposed):
        kernel = np.moveaxis(np.asarray(layer.kernel), (-1, -2), (0, 1))
        return reference.published_conv_transpose(activation, kernel, bias)
    if isinstance(layer, (layers.Conv1D, layers.Conv2D, layers.Conv3D)):
        return reference.published_conv(activation, np.asarray(layer.kernel), bias)
    return reference.mean_map(activation)


def adjoint_by_tape(
    layer: Any,
    activation: Array,
    input_shape: tuple[int, ...],
    *,
    channels_first: bool = False,
) -> Array:
    """The map of a convolution by SPEC section 2, ``projection="transposed"``.

    TensorFlow's own vector-Jacobian product of the layer without bias and activation function, at
    ``s_c * A_c``.
    """
    import tensorflow as tf

    if hasattr(layer, "layer"):
        steps = [adjoint_by_tape(layer.layer, step, input_shape[1:]) for step in activation]
        return np.asarray(np.mean(steps, axis=0))
    config = {**layer.get_config(), "use_bias": False, "activation": None}
    if channels_first:
        config["data_format"] = "channels_last"
        activation = np.moveaxis(activation, 0, -1)
        input_shape = (*input_shape[1:], input_shape[0])
    linear = type(layer).from_config(config)
    linear.build((1, *input_shape))
    for empty, full in zip(linear.weights, layer.weights, strict=False):
        assert empty.name == full.name
        empty.assign(full)
    bias = None if getattr(layer, "bias", None) is None else np.asarray(layer.bias)
    scaled = activation * reference.channel_weights(bias, activation.shape[-1])
    x = tf.zeros((1, *input_shape))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = linear(x)
    (back,) = tape.gradient(y, x, tf.constant(scaled[np.newaxis], tf.float32))
    summed = np.asarray(back, np.float64).sum(axis=-1)
    if summed.ndim == 1:
        return np.asarray(summed[np.newaxis])
    return np.asarray(summed.mean(axis=0)) if summed.ndim == 3 else summed
