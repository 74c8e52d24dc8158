"""Rows of the operators that ONNX Runtime adds.

Most are what it makes of ONNX's own when it optimizes a model, or quantizes it.
"""

from __future__ import annotations

from micam_fast.models.onnx.operator_row import EVERY, KEPT, LOST, MICROSOFT, Kernel, Operator

# fmt: off
MICROSOFT_OPERATORS = (
    # Kernels, products and recurrences.
    Operator("Attention", MICROSOFT, channels="last", cost="attention"),
    Operator("DecoderMaskedMultiHeadAttention", MICROSOFT, channels="last", cost="unknown"),
    Operator("DynamicQuantizeLSTM", MICROSOFT, channels="recurrent",
             kernel=Kernel(1, 3, scale=8, zero=9), codes=(1, 2), field="recurrent",
             cost="recurrent", bits=LOST),
    Operator("DynamicQuantizeMatMul", MICROSOFT, channels="dense",
             kernel=Kernel(1, 4, scale=2, zero=3, axes=1), codes=(1,), field="product",
             cost="product", bits=LOST),
    Operator("FusedConv", MICROSOFT, channels="second", kernel=Kernel(1, 2), field="convolution",
             cost="convolution"),
    Operator("FusedGemm", MICROSOFT, flat=True, kernel=Kernel(1, 2, axes=2), field="gemm",
             cost="gemm"),
    Operator("FusedMatMul", MICROSOFT, channels="dense", kernel=Kernel(1, axes=1), field="product",
             cost="product"),
    Operator("FusedMatMulActivation", MICROSOFT, channels="dense", kernel=Kernel(1, axes=1),
             cost="product"),
    Operator("GroupQueryAttention", MICROSOFT, channels="last", cost="unknown"),
    Operator("MatMulBnb4", MICROSOFT, channels="dense", codes=(1,), cost="packed product"),
    Operator("MatMulInteger16", MICROSOFT, channels="dense", codes=(0, 1), cost="product"),
    Operator("MatMulIntegerToFloat", MICROSOFT, channels="dense",
             kernel=Kernel(1, 6, scale=3, zero=5, axes=1), codes=(0, 1), field="product",
             cost="product"),
    Operator("MatMulNBits", MICROSOFT, channels="dense", codes=(1,), cost="packed product"),
    Operator("MultiHeadAttention", MICROSOFT, channels="last", cost="attention"),
    Operator("NhwcConv", MICROSOFT, channels="last", kernel=Kernel(1, 2), cost="convolution"),
    Operator("NhwcFusedConv", MICROSOFT, channels="last", kernel=Kernel(1, 2), cost="convolution"),
    Operator("QAttention", MICROSOFT, channels="last", codes=(1,), cost="attention"),
    Operator("QGemm", MICROSOFT, flat=True, factors=(0, 3), units=(7, 8),
             kernel=Kernel(3, 6, scale=4, zero=5, input_scale=1, axes=2), codes=(3, 6),
             field="gemm", cost="quantized gemm", bits=KEPT),
    Operator("QLinearConv", MICROSOFT, channels="second", codes=(3, 8), units=(6, 7),
             kernel=Kernel(3, 8, scale=4, zero=5, input_scale=1), field="convolution",
             cost="convolution", bits=KEPT),
    Operator("TransposeMatMul", MICROSOFT, channels="dense", kernel=Kernel(1, axes=1),
             cost="product"),
    # Pools and normalizations.
    Operator("EmbedLayerNormalization", MICROSOFT, channels="last"),
    Operator("NhwcMaxPool", MICROSOFT, channels="last", field="pool", bits=KEPT),
    Operator("QLinearAveragePool", MICROSOFT, channels="second", units=(3, 4), field="pool",
             settings=EVERY, bits=KEPT),
    Operator("QLinearGlobalAveragePool", MICROSOFT, channels="second", flat=True, units=(3, 4),
             field="global pool", settings=EVERY, bits=KEPT),
    Operator("QLinearSoftmax", MICROSOFT, since=13, units=(3, 4), field="along axis",
             settings=EVERY),
    Operator("SkipLayerNormalization", MICROSOFT, field="layer norm"),
    Operator("SkipSimplifiedLayerNormalization", MICROSOFT, field="layer norm"),
    # Element by element.
    Operator("BiasGelu", MICROSOFT, field="elementwise"),
    Operator("DequantizeLinear", MICROSOFT, role="bookkeeping", codes=(0,), field="elementwise",
             settings=(1, 2)),
    Operator("FastGelu", MICROSOFT, field="elementwise"),
    Operator("Gelu", MICROSOFT, field="elementwise"),
    Operator("QLinearAdd", MICROSOFT, units=(6, 7), field="elementwise", bits=KEPT),
    Operator("QLinearLeakyRelu", MICROSOFT, units=(3, 4), field="elementwise", bits=KEPT),
    Operator("QLinearMul", MICROSOFT, units=(6, 7), field="elementwise", bits=KEPT),
    Operator("QLinearSigmoid", MICROSOFT, units=(3, 4), field="elementwise", bits=KEPT),
    Operator("QLinearWhere", MICROSOFT, units=(7, 8), field="elementwise", bits=KEPT),
    Operator("QuantizeLinear", MICROSOFT, role="bookkeeping", units=(1, 2), field="elementwise",
             settings=EVERY),
    Operator("QuickGelu", MICROSOFT, field="elementwise"),
    Operator("Trilu", MICROSOFT, field="elementwise"),
    # Others.
    Operator("GridSample", MICROSOFT, channels="second"),
    Operator("Pad", MICROSOFT, field="pad", settings=EVERY),
    Operator("QLinearConcat", MICROSOFT, units=(0, 1), field="concat", bits=KEPT),
    Operator("Range", MICROSOFT, settings=EVERY),
)
# fmt: on
"""All rows, by kind."""
