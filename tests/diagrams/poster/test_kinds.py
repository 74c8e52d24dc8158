"""The kind of a layer, from its operator or class and its shapes."""

from __future__ import annotations

import pytest

from micam_fast.core.layers import Layer, Shape
from micam_fast.diagrams.encoders.fonts import drawable
from micam_fast.diagrams.nodes import Holding, Node
from micam_fast.diagrams.poster import kinds
from micam_fast.diagrams.poster.kinds import KINDS, kind_of, layer_kind
from micam_fast.models.onnx.operators import OPERATORS
from micam_fast.models.onnx.patterns.table import PATTERNS
from tests.helpers.network_layers import network_layers, network_names

# They make values from no activation, or run a graph within: nothing of a poster's legend.
OTHERS = {
    "Bernoulli", "Constant", "ConstantOfShape", "Loop", "Multinomial", "NonMaxSuppression",
    "NonZero", "OneHot", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "Range", "Scan", "Shape", "Size",
}  # fmt: skip


def layer(
    label: str,
    read: Shape | None = None,
    made: Shape | None = None,
    kernel: tuple[int, ...] | None = None,
) -> Layer:
    return Layer("any", label.partition("(")[0], label, ("x",), (read,), made, kernel)


@pytest.mark.parametrize("name", sorted({row.name for row in OPERATORS}))
def test_every_operator_has_a_kind(name: str) -> None:
    assert (layer_kind(layer(name)) is kinds.OTHER) == (name in OTHERS)


@pytest.mark.parametrize("name", sorted({row.operation for row in PATTERNS} | {"SiLU"}))
def test_every_merged_operation_has_a_kind(name: str) -> None:
    kind = layer_kind(layer(name))
    wanted = kinds.NORMALIZATION if name.endswith("Normalization") else kinds.ACTIVATION
    assert kind is wanted


def test_operators_of_one_rule_are_of_one_kind() -> None:
    wanted = {
        "convolution": {kinds.CONVOLUTION}, "recurrent": {kinds.RECURRENT},
        "batch norm": {kinds.NORMALIZATION}, "layer norm": {kinds.NORMALIZATION},
        "pool": {kinds.POOL}, "global pool": {kinds.POOL}, "reduction": {kinds.POOL},
        "concat": {kinds.CONCAT}, "pad": {kinds.PAD}, "resize": {kinds.RESIZE},
        "split": {kinds.CUT}, "slice": {kinds.CUT}, "reshape": {kinds.SHAPE},
        "transpose": {kinds.SHAPE}, "gemm": {kinds.DENSE}, "product": {kinds.DENSE},
    }  # fmt: skip
    found: dict[str, set[kinds.Kind]] = {}
    for row in OPERATORS:
        if row.field in wanted:
            kernel = (8, 8) if row.field in ("gemm", "product") else None
            kind = layer_kind(layer(row.name, kernel=kernel))
            found.setdefault(row.field, set()).add(kind)
    assert found == wanted


@pytest.mark.parametrize("name", network_names())
def test_layers_of_known_networks_have_kinds(name: str) -> None:
    assert kinds.OTHER not in map(layer_kind, network_layers(name))


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("InputLayer", kinds.INPUT), ("Conv2D", kinds.CONVOLUTION),
        ("Conv2DTranspose", kinds.CONVOLUTION), ("SeparableConv1D", kinds.CONVOLUTION),
        ("DepthwiseConv2D", kinds.DEPTHWISE), ("Dense", kinds.DENSE),
        ("TimeDistributed(Dense)", kinds.DENSE), ("Bidirectional(LSTM)", kinds.RECURRENT),
        ("ConvLSTM2D", kinds.RECURRENT), ("MultiHeadAttention", kinds.ATTENTION),
        ("Embedding", kinds.EMBEDDING), ("GlobalAveragePooling2D", kinds.POOL),
        ("ZeroPadding2D", kinds.PAD), ("UpSampling2D", kinds.RESIZE), ("Cropping2D", kinds.CUT),
        ("Concatenate", kinds.CONCAT), ("Maximum", kinds.JOIN), ("Average", kinds.JOIN),
        ("SpatialDropout2D", kinds.COPY), ("Rescaling", kinds.NORMALIZATION),
        ("PReLU", kinds.ACTIVATION), ("Softmax", kinds.ACTIVATION), ("ReLU", kinds.ACTIVATION),
        ("GetItem", kinds.CUT), ("Permute", kinds.SHAPE),
        # Modules of PyTorch, and those that people write.
        ("Hardswish", kinds.ACTIVATION), ("ReLU6", kinds.ACTIVATION), ("SiLU", kinds.ACTIVATION),
        ("LocalResponseNorm", kinds.NORMALIZATION), ("LayerNorm2d", kinds.NORMALIZATION),
        ("GlobalResponseNorm", kinds.NORMALIZATION), ("GammaAct", kinds.ACTIVATION),
        ("LayerScale", kinds.MULTIPLY), ("Strange", kinds.OTHER),
    ],
)  # fmt: skip
def test_classes_of_frameworks(label: str, kind: kinds.Kind) -> None:
    assert layer_kind(layer(label)) is kind


FEATURES = (None, 6, 9, 9)


@pytest.mark.parametrize(
    ("label", "read", "made", "kernel", "depthwise"),
    [
        ("Conv", FEATURES, FEATURES, (6, 1, 3, 3), True),
        ("Conv", FEATURES, (None, 12, 9, 9), (12, 1, 3, 3), True),
        ("Conv", FEATURES, FEATURES, (6, 2, 3, 3), False),
        ("Conv", (None, 1, 9, 9), FEATURES, (6, 1, 3, 3), False),
        ("Conv", (None, None, 9, 9), FEATURES, (6, 1, 3, 3), False),
        ("Conv", (None, 6, 9), (None, 6, 7), (6, 1, 3), True),
        ("QLinearConv", FEATURES, FEATURES, (6, 1, 3, 3), True),
        ("NhwcConv", (None, 9, 9, 6), (None, 9, 9, 6), (6, 1, 3, 3), True),
        ("NhwcConv", (None, 9, 9, 1), (None, 9, 9, 6), (6, 1, 3, 3), False),
        ("ConvTranspose", FEATURES, (None, 6, 18, 18), (6, 1, 2, 2), True),
        ("ConvTranspose", FEATURES, (None, 1, 18, 18), (6, 1, 2, 2), False),
        ("Conv2D", (None, 9, 9, 6), (None, 9, 9, 12), (3, 3, 1, 12), True),
        ("Conv2D", (None, None, None, 6), (None, None, None, 12), (3, 3, 1, 12), True),
        ("Conv2D", (None, 6, 9, 9), (None, 12, 9, 9), (3, 3, 1, 12), True),
        ("Conv2D", (None, 9, 9, 1), (None, 9, 9, 12), (3, 3, 1, 12), False),
        ("Conv2D", (None, 9, 9, 6), (None, 9, 9, 12), (3, 3, 6, 12), False),
        ("Conv", None, FEATURES, (6, 1, 3, 3), False),
        ("Conv", FEATURES, FEATURES, None, False),
    ],
)
def test_depthwise_by_shapes(
    label: str, read: Shape, made: Shape, kernel: tuple[int, ...], depthwise: bool
) -> None:
    found = layer_kind(layer(label, read, made, kernel))
    assert found is (kinds.DEPTHWISE if depthwise else kinds.CONVOLUTION)


@pytest.mark.parametrize("name", ["MatMul", "Gemm", "Einsum"])
def test_product_of_two_activations_is_no_dense_layer(name: str) -> None:
    assert layer_kind(layer(name)) is kinds.PRODUCT
    assert layer_kind(layer(name, kernel=(8, 4))) is kinds.DENSE


@pytest.mark.parametrize("name", ["Mean", "Max", "Min", "Sum"])
def test_what_makes_one_value_smaller_pools_it(name: str) -> None:
    read = (None, 9, 9, 6)
    assert layer_kind(layer(name, read, (None, 6))) is kinds.POOL
    assert layer_kind(layer(name, read, read)) is not kinds.POOL


def test_node_of_several_layers_is_a_module() -> None:
    node = Node(layer("Relu"), 0)
    assert kind_of(node) is kinds.ACTIVATION
    held = Holding("block", None, 3, 1)
    assert kind_of(Node(layer("Relu"), 0, module=held)) is kinds.MODULE


def test_letters_are_short_and_differ() -> None:
    letters = [kind.letter for kind in KINDS]
    assert len(set(letters)) == len(KINDS) == len({kind.word for kind in KINDS})
    assert all(1 <= len(letter) <= 2 for letter in letters)
    assert [drawable(letter) for letter in letters] == letters


def test_poster_legend() -> None:
    """The letters that the design names."""
    wanted = {
        "convolution": "c", "depthwise": "d", "normalization": "n", "activation": "a",
        "add": "+", "multiply": "x", "concat": "||", "pool": "p", "dense": "f", "input": "in",
    }  # fmt: skip
    found = {kind.word: kind.letter for kind in KINDS}
    assert wanted.items() <= found.items()
    carriers = {kind.word for kind in KINDS if kind.has_kernel}
    assert carriers == {
        "attention", "convolution", "dense", "depthwise", "embedding", "recurrent"
    }  # fmt: skip
