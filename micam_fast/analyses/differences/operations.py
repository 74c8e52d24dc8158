"""What a layer does, whoever names it: its operation, and its kernel's size in one order."""

from __future__ import annotations

import re

from micam_fast.core.layers import Layer

_PREFIXES = re.compile(r"^(QLinear|DynamicQuantize|Fused|Nhwc)")
_SUFFIXES = re.compile(r"(Integer|Integer16|IntegerToFloat)$")
_ALIKE = {
    "Gemm": "MatMul", "QGemm": "MatMul", "Flatten": "Reshape", "QAttention": "Attention",
}  # fmt: skip
_OF_RANKS = {
    "Conv": "Conv", "MaxPooling": "MaxPool", "AveragePooling": "AveragePool",
    "GlobalMaxPooling": "GlobalMaxPool", "GlobalAveragePooling": "GlobalAveragePool",
    "ZeroPadding": "Pad", "UpSampling": "Resize", "SpatialDropout": "Dropout",
}  # fmt: skip
_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
_OF_KERAS = {
    **{f"{name}{rank}D": known for name, known in _OF_RANKS.items() for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": "ConvTranspose" for rank in (1, 2, 3)},
    **dict.fromkeys(_DEPTHWISE, "Conv"),
    "Dense": "MatMul", "InputLayer": "Input", "ReLU": "Relu", "LeakyReLU": "LeakyRelu",
    "PReLU": "PRelu", "ELU": "Elu", "Concatenate": "Concat", "Multiply": "Mul",
    "Subtract": "Sub", "Maximum": "Max", "Minimum": "Min", "Permute": "Transpose",
    "SimpleRNN": "RNN",
}  # fmt: skip
"""Classes of Keras by ONNX' or this project's names of the operations."""
_FUNCTIONS = {
    "elu": "Elu", "exponential": "Exp", "gelu": "GELU", "hard_sigmoid": "HardSigmoid",
    "hard_silu": "HardSwish", "hard_swish": "HardSwish", "leaky_relu": "LeakyRelu",
    "log_softmax": "LogSoftmax", "mish": "Mish", "relu": "Relu", "relu6": "Clip", "selu": "Selu",
    "sigmoid": "Sigmoid", "silu": "SiLU", "softmax": "Softmax", "softplus": "Softplus",
    "softsign": "Softsign", "swish": "SiLU", "tanh": "Tanh",
}  # fmt: skip
"""Activation functions of Keras likewise. What is cut off at 6 is a Clip with other exporters."""
WITHIN = {
    "Activation", "BatchNormalization", "Clip", "Dropout", "Elu", "GELU", "HardSigmoid",
    "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Selu", "SiLU", "Sigmoid", "Softplus",
    "Swish", "Tanh",
}  # fmt: skip
"""Operations that other files hold within the layer before."""


def family(layer: Layer) -> str:
    """The operation, whatever it is computed with: a ``QLinearConv`` is a ``Conv``.

    Keras' class ``Activation`` is the function that it applies; of one that nobody knows it stays
    ``Activation``.
    """
    if layer.op_type in ("Activation", "ReLU") and layer.activation is not None:
        return function_of(layer) or "Activation"
    name = _OF_KERAS.get(layer.op_type, _ALIKE.get(layer.op_type, layer.op_type))
    name = _SUFFIXES.sub("", _PREFIXES.sub("", name))
    return _ALIKE.get(name, name)


def function_of(layer: Layer) -> str | None:
    """The operation of the activation function that a layer has; ``None`` where nobody knows."""
    return _FUNCTIONS.get(layer.activation or "")


def kernel_size(layer: Layer) -> tuple[int, ...] | None:
    """The kernel's shape in ONNX order, whatever the layer's own order.

    A dense layer's may be stored in either order, and is sorted. The class tells the order of a
    convolution's: Keras has the spatial axes first.
    """
    kernel = layer.kernel_shape
    if kernel is None:
        return None
    if family(layer) == "MatMul":
        return tuple(sorted(kernel))
    if layer.op_type in _DEPTHWISE:
        *space, channels, multiplier = kernel
        return (channels * multiplier, 1, *space)
    if _OF_KERAS.get(layer.op_type) in ("Conv", "ConvTranspose"):
        return (kernel[-1], kernel[-2], *kernel[:-2])
    if family(layer) in ("Conv", "ConvTranspose") and layer.output_shape is not None:
        return _of_rank(kernel, len(layer.output_shape))
    return kernel


def _of_rank(kernel: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Without the spatial axis of size 1 by which a 2-D convolution stands for a 1-D one."""
    if len(kernel) == rank + 1 and 1 in kernel[2:]:
        gone = kernel.index(1, 2)
        return kernel[:gone] + kernel[gone + 1 :]
    return kernel
