"""What is known of each operator: one row of one table.

A row names its rules, which are functions where they are used: those of receptive fields in
`dependence`, of costs in `costs`, of conditions in `invariance`. A new operator takes a row, and a
builder in ``tests/helpers/operator_models.py``: with it tests hold the row against ONNX Runtime.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import onnx

from micam_fast.models.onnx.microsoft_operators import MICROSOFT_OPERATORS
from micam_fast.models.onnx.operator_row import (
    EVERY,
    KEPT,
    LOST,
    MICROSOFT,
    ONNX_DOMAINS,
    RESIZED,
    SAFE,
    SUMMED,
    UNSAFE,
    WALKED,
    Bits,
    Kernel,
    Operator,
)


def find_operator(node: onnx.NodeProto) -> Operator:
    """The row of a node's operator; an empty one, without a name, for one that has none."""
    row = _ROWS.get((node.domain, node.op_type), _STRANGE)
    # An attribute of ONNX Runtime's own operators.
    if row.domain == MICROSOFT and any(
        each.name == "channels_last" and each.i for each in node.attribute
    ):
        return _with_channels_last(row)
    return row


@functools.cache
def _with_channels_last(row: Operator) -> Operator:
    return replace(row, channels="last")


def onnx_opset(proto: onnx.ModelProto) -> int:
    """Version of ONNX's own operators that a model imports, 0 if it imports none."""
    versions = {each.domain: each.version for each in proto.opset_import}
    return next((versions[each] for each in ONNX_DOMAINS if each in versions), 0)


# The bits of a row that says nothing of them are unknown.
# fmt: off
_ONNX_OPERATORS = (
    # Kernels, products and recurrences.
    Operator("Conv", channels="second", kernel=Kernel(1, 2), field="convolution",
             cost="convolution", bits=Bits(SAFE, SAFE, threads_if="blocked")),
    Operator("ConvInteger", channels="second", kernel=Kernel(1, zero=3), codes=(1,),
             field="convolution", cost="convolution", bits=KEPT),
    Operator("ConvTranspose", channels="second", kernel=Kernel(1, 2), field="convolution",
             cost="convolution", bits=Bits(SAFE, UNSAFE)),
    Operator("Einsum", channels="unknown", field="einsum", cost="einsum", bits=LOST),
    Operator("GRU", channels="recurrent", kernel=Kernel(1, 3), field="recurrent", cost="recurrent",
             bits=WALKED),
    Operator("Gemm", flat=True, kernel=Kernel(1, 2, axes=2), field="gemm", cost="gemm",
             bits=Bits(SAFE, SAFE, batch_if="factor kept")),
    Operator("LSTM", channels="recurrent", kernel=Kernel(1, 3), field="recurrent", cost="recurrent",
             bits=WALKED),
    Operator("MatMul", channels="dense", kernel=Kernel(1, axes=1), field="product", cost="product",
             bits=Bits(SAFE, SAFE, batch_if="factor kept or stacked", threads_if="factor kept")),
    Operator("MatMulInteger", channels="dense", kernel=Kernel(1, zero=3, axes=1), codes=(0, 1),
             field="product", cost="product", bits=KEPT),
    Operator("QLinearConv", channels="second", kernel=Kernel(3, 8, scale=4, zero=5, input_scale=1),
             codes=(3, 8), units=(6, 7), field="convolution", cost="convolution", bits=KEPT),
    Operator("QLinearMatMul", channels="dense", kernel=Kernel(3, scale=4, zero=5, axes=1),
             codes=(0, 3), factors=(0, 3), units=(6, 7), field="product", cost="product",
             bits=KEPT),
    Operator("RNN", channels="recurrent", kernel=Kernel(1, 3), field="recurrent", cost="recurrent",
             bits=LOST),
    # Pools and reductions.
    Operator("ArgMax", channels="reduced", field="place of largest", bits=KEPT),
    Operator("ArgMin", channels="reduced", field="place of largest", bits=KEPT),
    Operator("AveragePool", channels="second", field="pool", bits=KEPT),
    Operator("CumSum", field="running sum"),
    Operator("GlobalAveragePool", channels="second", flat=True, field="global pool", bits=KEPT),
    Operator("GlobalLpPool", channels="second", flat=True, field="global pool"),
    Operator("GlobalMaxPool", channels="second", flat=True, field="global pool", bits=KEPT),
    Operator("LpPool", channels="second", field="pool"),
    Operator("MaxPool", channels="second", field="pool", bits=KEPT),
    Operator("ReduceL1", channels="reduced", field="reduction"),
    Operator("ReduceL2", channels="reduced", field="reduction"),
    Operator("ReduceLogSum", channels="reduced", field="reduction"),
    Operator("ReduceLogSumExp", channels="reduced", field="reduction"),
    Operator("ReduceMax", channels="reduced", field="reduction", bits=KEPT),
    Operator("ReduceMean", channels="reduced", field="reduction", bits=SUMMED),
    Operator("ReduceMin", channels="reduced", field="reduction", bits=KEPT),
    Operator("ReduceProd", channels="reduced", field="reduction"),
    Operator("ReduceSum", channels="reduced", field="reduction", bits=SUMMED),
    Operator("ReduceSumSquare", channels="reduced", field="reduction"),
    Operator("TopK", channels="unknown", field="largest", bits=KEPT),
    # Normalizations.
    Operator("BatchNormalization", channels="second", field="batch norm", affine="normalization",
             bits=KEPT),
    Operator("GroupNormalization", channels="second", field="group norm"),
    Operator("Hardmax", since=13, field="along axis", bits=KEPT),
    Operator("InstanceNormalization", channels="second", field="instance norm", bits=KEPT),
    Operator("LRN", channels="second", field="response norm", bits=LOST),
    Operator("LayerNormalization", field="layer norm", bits=KEPT),
    Operator("LogSoftmax", since=13, field="along axis", bits=KEPT),
    Operator("LpNormalization", field="along axis"),
    Operator("MeanVarianceNormalization", field="mean variance"),
    Operator("RMSNormalization", field="layer norm"),
    Operator("SimplifiedLayerNormalization", field="layer norm"),
    Operator("Softmax", since=13, field="along axis", bits=KEPT),
    # Element by element.
    Operator("Abs", field="elementwise", bits=KEPT),
    Operator("Acos", field="elementwise", bits=LOST),
    Operator("Acosh", field="elementwise"),
    Operator("Add", field="elementwise", affine="summand", bits=KEPT),
    Operator("And", field="elementwise", bits=KEPT),
    Operator("Asin", field="elementwise", bits=LOST),
    Operator("Asinh", field="elementwise"),
    Operator("Atan", field="elementwise", bits=LOST),
    Operator("Atanh", field="elementwise"),
    Operator("BitShift", field="elementwise", bits=KEPT),
    Operator("BitwiseAnd", field="elementwise", bits=KEPT),
    Operator("BitwiseNot", field="elementwise", bits=KEPT),
    Operator("BitwiseOr", field="elementwise", bits=KEPT),
    Operator("BitwiseXor", field="elementwise", bits=KEPT),
    Operator("Cast", role="bookkeeping", field="elementwise", bits=KEPT),
    Operator("CastLike", role="bookkeeping", field="first input", bits=KEPT),
    Operator("Ceil", field="elementwise", bits=KEPT),
    Operator("Celu", field="elementwise", bits=LOST),
    Operator("Clip", field="elementwise", settings=EVERY, affine="bounds", bits=KEPT),
    Operator("Cos", field="elementwise", bits=LOST),
    Operator("Cosh", field="elementwise"),
    Operator("DequantizeLinear", role="bookkeeping", codes=(0,), field="elementwise",
             settings=(1, 2), bits=KEPT),
    Operator("Div", field="elementwise", affine="factor", bits=KEPT),
    Operator("Dropout", field="elementwise", random="training",
             bits=Bits(SAFE, SAFE, batch_if="not training")),
    Operator("DynamicQuantizeLinear", role="bookkeeping", field="dynamic quantization", bits=LOST),
    Operator("Elu", field="elementwise", bits=LOST),
    Operator("Equal", field="elementwise", bits=KEPT),
    Operator("Erf", field="elementwise", bits=KEPT),
    Operator("Exp", field="elementwise", bits=KEPT),
    Operator("Floor", field="elementwise", bits=KEPT),
    Operator("Gelu", field="elementwise", bits=KEPT),
    Operator("Greater", field="elementwise", bits=KEPT),
    Operator("GreaterOrEqual", field="elementwise", bits=KEPT),
    Operator("HardSigmoid", field="elementwise", bits=KEPT),
    Operator("HardSwish", field="elementwise", bits=KEPT),
    Operator("Identity", role="bookkeeping", hands_on=True, field="elementwise", bits=KEPT),
    Operator("IsInf", field="elementwise", bits=KEPT),
    Operator("IsNaN", field="elementwise", bits=KEPT),
    Operator("LeakyRelu", field="elementwise", bits=KEPT),
    Operator("Less", field="elementwise", bits=KEPT),
    Operator("LessOrEqual", field="elementwise", bits=KEPT),
    Operator("Log", field="elementwise", bits=LOST),
    Operator("Max", field="elementwise", bits=KEPT),
    Operator("Mean", field="elementwise", bits=KEPT),
    Operator("Min", field="elementwise", bits=KEPT),
    Operator("Mish", field="elementwise", bits=LOST),
    Operator("Mod", field="elementwise", bits=KEPT),
    Operator("Mul", field="elementwise", affine="factor", bits=KEPT),
    Operator("Neg", field="elementwise", bits=KEPT),
    Operator("Not", field="elementwise", bits=KEPT),
    Operator("Or", field="elementwise", bits=KEPT),
    Operator("PRelu", field="elementwise", bits=KEPT),
    Operator("Pow", field="elementwise", bits=KEPT),
    Operator("QuantizeLinear", role="bookkeeping", field="elementwise", settings=EVERY, bits=KEPT),
    Operator("Reciprocal", field="elementwise", bits=KEPT),
    Operator("Relu", field="elementwise", affine="bounds", bits=KEPT),
    Operator("Round", field="elementwise", bits=KEPT),
    Operator("Selu", field="elementwise", bits=LOST),
    Operator("Shrink", field="elementwise", bits=KEPT),
    Operator("Sigmoid", field="elementwise", bits=KEPT),
    Operator("Sign", field="elementwise", bits=KEPT),
    Operator("Sin", field="elementwise", bits=LOST),
    Operator("Sinh", field="elementwise"),
    Operator("Softplus", field="elementwise", bits=LOST),
    Operator("Softsign", field="elementwise", bits=KEPT),
    Operator("Sqrt", field="elementwise", bits=KEPT),
    Operator("Sub", field="elementwise", affine="summand", bits=KEPT),
    Operator("Sum", field="elementwise", bits=KEPT),
    Operator("Swish", field="elementwise"),
    Operator("Tan", field="elementwise"),
    Operator("Tanh", field="elementwise", bits=KEPT),
    Operator("ThresholdedRelu", field="elementwise", bits=KEPT),
    Operator("Trilu", field="elementwise"),
    Operator("Where", field="elementwise", bits=KEPT),
    Operator("Xor", field="elementwise", bits=KEPT),
    # Moves, and makes anew in other places.
    Operator("Concat", field="concat", bits=KEPT),
    Operator("DepthToSpace", channels="second", field="depth to space", bits=KEPT),
    Operator("Expand", field="expand", settings=(1,), sizes=1, bits=KEPT),
    Operator("Flatten", role="layout", channels="reshaped", flat=True, field="reshape", bits=KEPT),
    Operator("Gather", channels="gathered", field="gather", bits=KEPT),
    Operator("Pad", field="pad", settings=EVERY, bits=KEPT),
    Operator("Reshape", role="layout", channels="reshaped", hands_on=True, field="reshape",
             settings=(1,), sizes=1, bits=KEPT),
    Operator("Resize", since=11, field="resize", settings=EVERY, bits=RESIZED),
    Operator("ReverseSequence", field="reverse"),
    Operator("Slice", field="slice", settings=(1, 2, 3, 4), bits=KEPT),
    Operator("SpaceToDepth", channels="second", field="space to depth", bits=KEPT),
    Operator("Split", field="split", bits=KEPT),
    Operator("Squeeze", role="bookkeeping", channels="squeezed", hands_on=True, field="reshape",
             bits=KEPT),
    Operator("Tile", field="tile", settings=(1,), sizes=1, bits=KEPT),
    Operator("Transpose", role="layout", channels="permuted", hands_on=True, field="transpose",
             bits=KEPT),
    Operator("Unsqueeze", role="bookkeeping", channels="unsqueezed", hands_on=True, field="reshape",
             bits=KEPT),
    Operator("Upsample", until=9, field="resize", settings=EVERY, bits=RESIZED),
    # Others.
    Operator("Bernoulli", random="always"),
    Operator("Col2Im", channels="second"),
    Operator("Constant"),
    Operator("ConstantOfShape", sizes=0, bits=KEPT),
    Operator("DeformConv", channels="second"),
    Operator("GatherElements", bits=KEPT),
    Operator("GatherND", bits=KEPT),
    Operator("GridSample", channels="second"),
    Operator("If", channels="unknown"),
    Operator("Loop", channels="unknown"),
    Operator("MaxUnpool", channels="second"),
    Operator("Multinomial", random="always"),
    Operator("NonMaxSuppression", channels="listed", settings=EVERY),
    Operator("NonZero", channels="listed"),
    Operator("OneHot", channels="unknown", settings=EVERY),
    Operator("OptionalGetElement", role="bookkeeping"),
    Operator("RandomNormal", random="always"),
    Operator("RandomNormalLike", random="always"),
    Operator("RandomUniform", random="always"),
    Operator("RandomUniformLike", random="always"),
    Operator("Range", settings=EVERY, bits=KEPT),
    Operator("RoiAlign", settings=EVERY),
    Operator("Scan", channels="unknown"),
    Operator("Shape", measures=True, bits=KEPT),
    Operator("Size", measures=True, bits=KEPT),
)
# fmt: on

OPERATORS = (*_ONNX_OPERATORS, *MICROSOFT_OPERATORS)
"""All rows, by kind."""

# Nothing is known of it: neither where its channels lie nor that it takes element by element.
_STRANGE = Operator("", channels="unknown")
_ROWS = {
    (domain, row.name): row
    for row in OPERATORS
    for domain in (ONNX_DOMAINS if row.domain == "" else (row.domain,))
}
