"""Maps of Keras models by the naive oracle, fed by Keras' own activations.

It knows Keras and ``tests/reference.py``, and nothing of what it judges.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests import reference
from tests.models import Array


def shake_weights(model: Any, seed: int = 0) -> None:
    """Biases that are not zero and normalizations that do something, as after a training."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        name = variable.name
        if name in ("bias", "beta", "moving_mean"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
        elif name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.7, 1.3, variable.shape))


def keras_activations(model: Any, sample: Array) -> dict[str, Array]:
    """The first output of each layer of a functional model, without the batch, by layer name."""
    import keras

    def first(output: Any) -> Any:
        return output[0] if isinstance(output, (list, tuple)) else output

    outputs = [first(layer.output) for layer in model.layers]
    found = keras.Model(model.inputs, outputs)(sample[np.newaxis], training=False)
    return {
        layer.name: np.asarray(array)[0]
        for layer, array in zip(model.layers, found, strict=True)
    }


def expected_map(layer: Any, activation: Array, input_size: tuple[int, int]) -> Array:
    """The map of a layer by SPEC section 2, ``projection="published"``."""
    import keras

    layers = keras.layers
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


def adjoint_by_tape(layer: Any, activation: Array, input_shape: tuple[int, ...]) -> Array:
    """The map of a convolution by SPEC section 2, ``projection="transposed"``.

    TensorFlow's own vector-Jacobian product of the layer without bias and activation function, at
    ``s_c * A_c``.
    """
    import tensorflow as tf

    config = {**layer.get_config(), "use_bias": False, "activation": None}
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
        return summed[np.newaxis]
    return np.asarray(summed.mean(axis=0)) if summed.ndim == 3 else summed
