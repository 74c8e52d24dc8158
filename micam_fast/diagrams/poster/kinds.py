"""The kind of a layer: what a poster says below its thumbnail, in a letter or two.

The kind follows from the layer's operator or class, and from the shapes of its kernel and its
channels; names of layers tell nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from micam_fast.core.layers import Layer
from micam_fast.diagrams.nodes import Node


@dataclass(frozen=True)
class Kind:
    """A kind of layer.

    Attributes
    ----------
    word
        What the legend calls it.
    letter
        What stands below the thumbnail; the font has all characters of it.
    has_kernel
        Whether such a layer computes with weights across positions or channels.
    """

    word: str
    letter: str
    has_kernel: bool = False


INPUT = Kind("input", "in")
CONVOLUTION = Kind("convolution", "c", has_kernel=True)
DEPTHWISE = Kind("depthwise", "d", has_kernel=True)
DENSE = Kind("dense", "f", has_kernel=True)
RECURRENT = Kind("recurrent", "r", has_kernel=True)
ATTENTION = Kind("attention", "*", has_kernel=True)
EMBEDDING = Kind("embedding", "e", has_kernel=True)
NORMALIZATION = Kind("normalization", "n")
ACTIVATION = Kind("activation", "a")
ADD = Kind("add", "+")
SUBTRACT = Kind("subtract", "-")
MULTIPLY = Kind("multiply", "x")
DIVIDE = Kind("divide", "/")
CONCAT = Kind("concat", "||")
PRODUCT = Kind("matrix product", "@")
JOIN = Kind("other join", "&")
POOL = Kind("pool", "p")
PAD = Kind("pad", "°")
CUT = Kind("split or slice", "s")
RESIZE = Kind("resize", "^")
SHAPE = Kind("reshape", "~")
COPY = Kind("copy", "·")
FUNCTION = Kind("function", "=")
MODULE = Kind("module", "m")
OTHER = Kind("other", "o")

KINDS = (
    INPUT, CONVOLUTION, DEPTHWISE, DENSE, RECURRENT, ATTENTION, EMBEDDING, NORMALIZATION,
    ACTIVATION, ADD, SUBTRACT, MULTIPLY, DIVIDE, CONCAT, PRODUCT, JOIN, POOL, PAD, CUT, RESIZE,
    SHAPE, COPY, FUNCTION, MODULE, OTHER,
)  # fmt: skip
"""All kinds, in the order of the legend."""


def kind_of(node: Node) -> Kind:
    """The kind of a node; one that stands for several layers is a module."""
    return MODULE if node.module is not None else layer_kind(node.layer)


def kernel_size(layer: Layer) -> tuple[int, ...] | None:
    """The kernel's size along each axis of space; Keras has these first, ONNX last."""
    shape = layer.kernel_shape
    if shape is None:
        return None
    return shape[:-2] if layer.onnx_name is None else shape[2:]


def layer_kind(layer: Layer) -> Kind:
    """The kind of a layer; `OTHER` where its operator or class tells none."""
    name = _innermost(layer.class_label).casefold()
    kind = _KIND_OF.get(name) or _KIND_OF.get(_without_rank(name)) or _by_words(layer.class_label)
    if kind is CONVOLUTION and _is_depthwise(layer, is_onnx=name in _ONNX_CONVOLUTIONS):
        return DEPTHWISE
    if kind is PRODUCT and layer.kernel_shape is not None:
        return DENSE
    if (
        name in _OVER_AXES
        and len(layer.inputs) == 1
        and layer.input_shapes != (layer.output_shape,)
    ):
        return POOL
    return kind


_WRAPPED = re.compile(r"\(([^()]+)\)*$")
_RANK = re.compile(r"[0-9]+d|[0-9]+$")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def _innermost(label: str) -> str:
    """The class that wrappers hold: ``Dense`` of ``TimeDistributed(Dense)``."""
    found = _WRAPPED.search(label)
    return label if found is None else found[1]


def _without_rank(name: str) -> str:
    """``conv2dtranspose`` and ``relu6`` without the number of axes, or of another limit."""
    return _RANK.sub("", name)


def _by_words(label: str) -> Kind:
    """What the last words of a class say that a person wrote: ``GlobalResponseNorm``."""
    for word in reversed(_WORD.findall(_innermost(label))):
        kind = _WORDS.get(word.casefold())
        if kind is not None:
            return kind
    return OTHER


def _is_depthwise(layer: Layer, *, is_onnx: bool) -> bool:
    """Tell whether each channel of a convolution reads one channel alone, of several.

    ONNX keeps a kernel as ``(out, in of a group, ...)``, that of a transposed one as ``(in, out of
    a group, ...)``, Keras as ``(..., in of a group, out)``. What is not known is not depthwise.
    """
    kernel, given = layer.kernel_shape, layer.output_shape
    read = layer.input_shapes[0] if layer.input_shapes else None
    if kernel is None or read is None or given is None or len(read) != len(given):
        return False
    if len(kernel) < 3 or len(read) < 3:
        return False
    if not is_onnx:
        # The channels lie behind the batch or last: wherever as many come out as the kernel makes.
        axes = [axis for axis in (1, -1) if given[axis] == kernel[-1]]
        return kernel[-2] == 1 and bool(axes) and all((read[axis] or 1) > 1 for axis in axes)
    axis = -1 if layer.op_type.startswith("Nhwc") else 1
    if kernel[1] != 1:
        return False
    if layer.op_type == "ConvTranspose":
        return kernel[0] > 1 and given[axis] == kernel[0]
    return (read[axis] or 1) > 1


_ONNX_CONVOLUTIONS = frozenset(
    {
        "conv", "convinteger", "convtranspose", "deformconv", "fusedconv", "nhwcconv",
        "nhwcfusedconv", "qlinearconv",
    }
)  # fmt: skip
# ONNX's operators, ONNX Runtime's, Keras' layers and operations, PyTorch's modules.
_NAMES: dict[Kind, str] = {
    INPUT: "input inputlayer",
    CONVOLUTION: """
        conv convinteger convtranspose convolution convolutiontranspose deformconv fusedconv
        nhwcconv nhwcfusedconv qlinearconv separableconv separableconvolution""",
    DEPTHWISE: "depthwiseconv",
    DENSE: """
        dense dynamicquantizematmul einsumdense fusedgemm linear matmulbnb4 matmulnbits qgemm""",
    # A dense layer where one factor is a constant kernel.
    PRODUCT: """
        bilinear dot dotproduct einsum fusedmatmul fusedmatmulactivation gemm inner matmul
        matmulinteger matmulinteger16 matmulintegertofloat outer qlinearmatmul tensordot
        transposematmul vdot""",
    RECURRENT: """
        bidirectional convlstm dynamicquantizelstm gru lstm rnn simplernn""",
    ATTENTION: """
        additiveattention attention decodermaskedmultiheadattention dotproductattention
        groupqueryattention multiheadattention qattention""",
    EMBEDDING: "embedding reversibleembedding",
    NORMALIZATION: """
        batchnorm batchnormalization embedlayernormalization groupnorm groupnormalization
        instancenorm instancenormalization layernorm layernormalization localresponsenorm
        lpnormalization lrn meanvariancenormalization normalization normalize rescaling rmsnorm
        rmsnormalization simplifiedlayernormalization skiplayernormalization
        skipsimplifiedlayernormalization spectralnormalization unitnormalization""",
    ACTIVATION: """
        activation biasgelu celu clip elu fastgelu gelu glu hardmax hardshrink hardsigmoid hardsilu
        hardswish hardtanh leakyrelu logsigmoid logsoftmax mish prelu qlinearleakyrelu
        qlinearsigmoid qlinearsoftmax quickgelu relu rrelu selu shrink sigmoid silu softmax softmin
        softplus softshrink softsign sparsemax squareplus swish tanh tanhshrink threshold
        thresholdedrelu""",
    ADD: "add qlinearadd sum",
    SUBTRACT: "sub subtract",
    MULTIPLY: "mul multiply qlinearmul",
    DIVIDE: "div divide dividenonan truedivide",
    CONCAT: "concat concatenate hstack qlinearconcat stack vstack",
    # Also where all but one of what is compared or chosen from are constants.
    JOIN: """
        and average bitwiseand bitwiseor bitwisexor equal greater greaterequal greaterorequal if
        less lessequal lessorequal logicaland logicalor logicalxor max maximum mean min minimum
        notequal or qlinearwhere where xor""",
    POOL: """
        adaptiveaveragepool adaptiveaveragepooling adaptiveavgpool adaptivemaxpool
        adaptivemaxpooling amax amin argmax argmin averagepool averagepooling avgpool
        globalaveragepool globalaveragepooling globalavgpool globallppool globalmaxpool
        globalmaxpooling lppool maxpool maxpooling maxunpool nhwcmaxpool qlinearaveragepool
        qlinearglobalaveragepool reducel1 reducel2 reducelogsum reducelogsumexp reducemax reducemean
        reducemin reduceprod reducesum reducesumsquare roialign""",
    PAD: "pad zeropad zeropadding",
    CUT: """
        centercrop cropping gather gatherelements gathernd getitem slice split take takealongaxis
        topk""",
    RESIZE: """
        depthtospace gridsample pixelshuffle pixelunshuffle resize resizing spacetodepth upsample
        upsampling""",
    SHAPE: """
        broadcastto col2im expand expanddims flatten flip moveaxis permute repeat repeatvector
        reshape reversesequence squeeze swapaxes tile transpose unflatten unfold unsqueeze""",
    COPY: """
        activityregularization alphadropout cast castlike dequantizelinear dropout
        dynamicquantizelinear featurealphadropout gaussiandropout gaussiannoise identity masking
        optionalgetelement quantizelinear spatialdropout""",
    FUNCTION: """
        abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh
        bitshift bitwisenot ceil cos cosh cumsum erf exp expm1 floor isinf isnan log log1p mod
        neg negative not pow power reciprocal round rsqrt sign sin sinh sqrt square tan tril trilu
        triu""",
}  # fmt: skip
# Of ONNX they join values, of Keras they reduce one.
_OVER_AXES = frozenset({"max", "mean", "min", "sum"})
_KIND_OF = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_WORDS = {
    "conv": CONVOLUTION, "linear": DENSE, "dense": DENSE, "attention": ATTENTION,
    "norm": NORMALIZATION, "normalization": NORMALIZATION, "act": ACTIVATION,
    "activation": ACTIVATION, "relu": ACTIVATION, "swish": ACTIVATION, "sigmoid": ACTIVATION,
    "pool": POOL, "pooling": POOL, "pad": PAD, "padding": PAD, "dropout": COPY,
    "scale": MULTIPLY, "upsample": RESIZE, "shuffle": SHAPE,
}  # fmt: skip
