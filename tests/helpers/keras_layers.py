"""Small Keras models, one for each layer that the export or the maps have a rule for.

TensorFlow is imported when a model is built, so collecting the tests that use it stays quick.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers.keras_oracle import shake_weights

needs_tensorflow = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tensorflow", "tf2onnx")),
    reason="TensorFlow or tf2onnx is not installed: pip install 'micam-fast[tensorflow]'",
)

Make = Callable[[Any], Any]

PICTURE = (7, 6, 4)
SERIES = (9, 4)
VOLUME = (5, 4, 6, 2)

# By name: shape of a sample, and the layer, made of ``keras.layers``.
CONVOLUTIONS: dict[str, tuple[tuple[int, ...], Make]] = {
    "conv2d": (PICTURE, lambda k: k.Conv2D(3, (3, 2))),
    "conv2d_same_relu": (PICTURE, lambda k: k.Conv2D(3, (2, 3), padding="same", activation="relu")),
    "conv2d_strided": (PICTURE, lambda k: k.Conv2D(3, (3, 2), strides=(2, 2), padding="same")),
    "conv2d_strided_valid": (PICTURE, lambda k: k.Conv2D(3, 2, strides=3)),
    "conv2d_dilated": (PICTURE, lambda k: k.Conv2D(3, (3, 2), dilation_rate=(2, 3))),
    "conv2d_dilated_same": (PICTURE, lambda k: k.Conv2D(3, 3, dilation_rate=2, padding="same")),
    "conv2d_grouped": (PICTURE, lambda k: k.Conv2D(6, (3, 2), groups=2, padding="same")),
    "conv2d_without_bias": (PICTURE, lambda k: k.Conv2D(3, 3, use_bias=False)),
    "conv2d_larger_than_grid": ((3, 2, 4), lambda k: k.Conv2D(3, 5, padding="same")),
    "conv2d_softmax": (PICTURE, lambda k: k.Conv2D(3, 3, activation="softmax")),
    "depthwise2d": (PICTURE, lambda k: k.DepthwiseConv2D((3, 2), depth_multiplier=2)),
    "depthwise2d_strided": (
        PICTURE,
        lambda k: k.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same"),
    ),
    "depthwise2d_dilated": (
        PICTURE,
        lambda k: k.DepthwiseConv2D(2, dilation_rate=2, padding="same", activation="tanh"),
    ),
    "separable2d": (PICTURE, lambda k: k.SeparableConv2D(3, (3, 2), depth_multiplier=2)),
    "separable2d_strided": (
        PICTURE,
        lambda k: k.SeparableConv2D(5, 3, strides=2, padding="same", activation="relu"),
    ),
    "separable2d_dilated": (
        PICTURE,
        lambda k: k.SeparableConv2D(3, 2, dilation_rate=2, depth_multiplier=2),
    ),
    "transpose2d": (PICTURE, lambda k: k.Conv2DTranspose(3, (3, 2))),
    "transpose2d_strided": (PICTURE, lambda k: k.Conv2DTranspose(3, (3, 4), strides=(2, 3))),
    "transpose2d_gaps": (PICTURE, lambda k: k.Conv2DTranspose(3, (3, 2), strides=(2, 3))),
    "transpose2d_same": (
        PICTURE,
        lambda k: k.Conv2DTranspose(3, (3, 4), strides=2, padding="same", activation="relu"),
    ),
    "transpose2d_padded": (
        PICTURE,
        lambda k: k.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=1),
    ),
    "transpose2d_unpadded": (
        PICTURE,
        lambda k: k.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=0),
    ),
    "conv1d": (SERIES, lambda k: k.Conv1D(3, 4)),
    "conv1d_same": (SERIES, lambda k: k.Conv1D(3, 4, strides=2, padding="same")),
    "conv1d_causal": (SERIES, lambda k: k.Conv1D(3, 3, padding="causal")),
    "conv1d_causal_dilated": (
        SERIES,
        lambda k: k.Conv1D(3, 3, dilation_rate=2, padding="causal", activation="relu"),
    ),
    "conv1d_grouped": (SERIES, lambda k: k.Conv1D(4, 3, groups=2)),
    "depthwise1d": (SERIES, lambda k: k.DepthwiseConv1D(3, depth_multiplier=2)),
    "separable1d": (SERIES, lambda k: k.SeparableConv1D(3, 3, depth_multiplier=2)),
    "separable1d_same": (
        SERIES,
        lambda k: k.SeparableConv1D(3, 4, strides=2, depth_multiplier=2, padding="same"),
    ),
    "transpose1d": (SERIES, lambda k: k.Conv1DTranspose(3, 3, strides=2)),
    "transpose1d_same": (SERIES, lambda k: k.Conv1DTranspose(3, 4, strides=2, padding="same")),
    "conv3d": (VOLUME, lambda k: k.Conv3D(3, (2, 3, 2))),
    "conv3d_same": (VOLUME, lambda k: k.Conv3D(3, (3, 2, 3), strides=2, padding="same")),
    "conv3d_dilated": (VOLUME, lambda k: k.Conv3D(3, 2, dilation_rate=2, activation="relu")),
    "transpose3d": (VOLUME, lambda k: k.Conv3DTranspose(2, (2, 3, 2), strides=2)),
    "transpose3d_same": (
        VOLUME,
        lambda k: k.Conv3DTranspose(2, 3, strides=2, padding="same"),
    ),
}

OTHERS: dict[str, tuple[tuple[int, ...], Make]] = {
    "max_pool": (PICTURE, lambda k: k.MaxPooling2D((2, 3))),
    "max_pool_same": (PICTURE, lambda k: k.MaxPooling2D(3, strides=2, padding="same")),
    "average_pool_same": (PICTURE, lambda k: k.AveragePooling2D(3, strides=2, padding="same")),
    "global_average": (PICTURE, lambda k: k.GlobalAveragePooling2D()),
    "global_average_kept": (PICTURE, lambda k: k.GlobalAveragePooling2D(keepdims=True)),
    "global_max": (PICTURE, lambda k: k.GlobalMaxPooling2D()),
    "up_nearest": (PICTURE, lambda k: k.UpSampling2D((2, 3))),
    "up_bilinear": (PICTURE, lambda k: k.UpSampling2D(2, interpolation="bilinear")),
    "resizing": (PICTURE, lambda k: k.Resizing(9, 5)),
    "zero_padding": (PICTURE, lambda k: k.ZeroPadding2D(((1, 0), (2, 3)))),
    "cropping": (PICTURE, lambda k: k.Cropping2D(((1, 0), (2, 1)))),
    "permute": (PICTURE, lambda k: k.Permute((2, 3, 1))),
    "permute_channels_first": (PICTURE, lambda k: k.Permute((3, 1, 2))),
    "reshape": (PICTURE, lambda k: k.Reshape((14, 4, 3))),
    "reshape_to_series": (PICTURE, lambda k: k.Reshape((42, 4))),
    "flatten": (PICTURE, lambda k: k.Flatten()),
    "dense_on_picture": (PICTURE, lambda k: k.Dense(5, activation="relu")),
    "batch_norm": (PICTURE, lambda k: k.BatchNormalization()),
    "layer_norm": (PICTURE, lambda k: k.LayerNormalization()),
    "layer_norm_axes": (PICTURE, lambda k: k.LayerNormalization(axis=(1, 2))),
    "group_norm": (PICTURE, lambda k: k.GroupNormalization(groups=2)),
    "unit_norm": (PICTURE, lambda k: k.UnitNormalization()),
    "dropout": (PICTURE, lambda k: k.Dropout(0.5)),
    "spatial_dropout": (PICTURE, lambda k: k.SpatialDropout2D(0.5)),
    "noise": (PICTURE, lambda k: k.GaussianNoise(0.5)),
    "linear": (PICTURE, lambda k: k.Activation("linear")),
    "swish": (PICTURE, lambda k: k.Activation("swish")),
    "gelu": (PICTURE, lambda k: k.Activation("gelu")),
    "hard_sigmoid": (PICTURE, lambda k: k.Activation("hard_sigmoid")),
    "relu6": (PICTURE, lambda k: k.ReLU(6.0)),
    "relu_with_limits": (PICTURE, lambda k: k.ReLU(6.0, negative_slope=0.1)),
    "leaky_relu": (PICTURE, lambda k: k.LeakyReLU(0.2)),
    "prelu": (PICTURE, lambda k: k.PReLU(alpha_initializer="random_normal")),
    "prelu_shared": (
        PICTURE,
        lambda k: k.PReLU(alpha_initializer="random_normal", shared_axes=[1, 2]),
    ),
    "elu": (PICTURE, lambda k: k.ELU(0.7)),
    "softmax": (PICTURE, lambda k: k.Softmax()),
    "rescaling": (PICTURE, lambda k: k.Rescaling(0.5, offset=-1.0)),
    "normalization": (PICTURE, lambda k: k.Normalization(mean=0.3, variance=2.0)),
    "random_flip": (PICTURE, lambda k: k.RandomFlip()),
    "max_pool1d": (SERIES, lambda k: k.MaxPooling1D(2)),
    "global_average1d": (SERIES, lambda k: k.GlobalAveragePooling1D()),
    "up1d": (SERIES, lambda k: k.UpSampling1D(2)),
    "zero_padding1d": (SERIES, lambda k: k.ZeroPadding1D((2, 1))),
    "cropping1d": (SERIES, lambda k: k.Cropping1D((2, 1))),
    "lstm": (SERIES, lambda k: k.LSTM(5)),
    "lstm_sequences": (SERIES, lambda k: k.LSTM(5, return_sequences=True)),
    "lstm_backwards": (
        SERIES,
        lambda k: k.LSTM(5, return_sequences=True, go_backwards=True),
    ),
    "gru": (SERIES, lambda k: k.GRU(5)),
    "gru_sequences": (SERIES, lambda k: k.GRU(5, return_sequences=True)),
    "gru_reset_before": (
        SERIES,
        lambda k: k.GRU(5, return_sequences=True, reset_after=False),
    ),
    "simple_rnn": (SERIES, lambda k: k.SimpleRNN(5, return_sequences=True)),
    "rnn_of_cells": (SERIES, lambda k: k.RNN([k.LSTMCell(3), k.GRUCell(2)])),
    "bidirectional": (SERIES, lambda k: k.Bidirectional(k.LSTM(3, return_sequences=True))),
    "bidirectional_last": (SERIES, lambda k: k.Bidirectional(k.GRU(3), merge_mode="sum")),
    "conv_lstm": ((3, 5, 5, 2), lambda k: k.ConvLSTM2D(2, 3, padding="same")),
    "time_distributed": ((3, 5, 4, 2), lambda k: k.TimeDistributed(k.Conv2D(3, 2))),
    "time_distributed_strided": (
        (3, 7, 6, 2),
        lambda k: k.TimeDistributed(k.Conv2D(3, 3, strides=2, padding="same", activation="relu")),
    ),
    "time_distributed_1d": ((4, 9, 2), lambda k: k.TimeDistributed(k.Conv1D(3, 4))),
    "time_distributed_separable": (
        (3, 6, 5, 2),
        lambda k: k.TimeDistributed(k.SeparableConv2D(4, (3, 2), depth_multiplier=2)),
    ),
    "time_distributed_transpose": (
        (2, 4, 3, 2),
        lambda k: k.TimeDistributed(k.Conv2DTranspose(3, 3, strides=2, padding="same")),
    ),
    "time_distributed_pool": (
        (3, 6, 4, 2),
        lambda k: k.TimeDistributed(k.MaxPooling2D()),
    ),
    "spectral_norm": (PICTURE, lambda k: k.SpectralNormalization(k.Conv2D(3, 3))),
    "repeat_vector": ((5,), lambda k: k.RepeatVector(3)),
    "dense": ((5,), lambda k: k.Dense(12, activation="softmax")),
    "dense_of_one": ((5,), lambda k: k.Dense(1)),
    "max_pool3d": (VOLUME, lambda k: k.MaxPooling3D((1, 2, 2))),
    "global_average3d": (VOLUME, lambda k: k.GlobalAveragePooling3D()),
    "up3d": (VOLUME, lambda k: k.UpSampling3D((1, 2, 2))),
    "zero_padding3d": (VOLUME, lambda k: k.ZeroPadding3D(1)),
    "lambda": (PICTURE, lambda k: k.Lambda(lambda x: x * 2 + 1)),
}


def layer_model(name: str) -> Any:
    """A layer that reads the model's input, and one more of its kind behind a convolution.

    The first reads Keras' layout; what the second reads may lie in ONNX's own.
    """
    import keras

    shape, make = (CONVOLUTIONS | OTHERS)[name]
    keras.utils.set_random_seed(7)
    x = keras.Input(shape, name="x")
    outputs = [make(keras.layers)(x)]
    if len(shape) > 1:
        before = getattr(keras.layers, f"Conv{len(shape) - 1}D")
        outputs.append(make(keras.layers)(before(shape[-1], 1, name="before")(x)))
    model = keras.Model(x, outputs, name="net")
    shake_weights(model)
    return model
