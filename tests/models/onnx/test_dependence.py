"""Receptive fields of random graphs, and of each operator, against changes of each input cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, reject, settings, strategies as st
from onnx import helper

import micam_fast
from micam_fast.analyses.features import receptive_fields
from micam_fast.analyses.features.features import FeatureFinder
from micam_fast.analyses.features.receptive_fields import LayerField
from micam_fast.core.choices import PROJECTIONS, Projection
from micam_fast.models.onnx import open_model
from micam_fast.models.onnx.dependence import cells, follow, input_dependence, terms
from micam_fast.models.onnx.graph import Graph
from tests.helpers.field_oracle import check_fields, check_model, positive
from tests.helpers.models import Array, if_branches, make_model

SHAPE = (4, 7, 9)
both = pytest.mark.parametrize("projection", PROJECTIONS)


class Chain:
    """Nodes one after the other, on a value ``(1, C, H, W)``."""

    def __init__(self, shape: Sequence[int] = SHAPE) -> None:
        self.input_shape = self.shape = tuple(shape)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.value = "x"
        self.opset = 18

    def __repr__(self) -> str:
        """For failures."""
        return f"{self.input_shape} " + onnx.printer.to_text(self.model().graph)

    def add(self, op_type: str, *inputs: Array | str, **given: Any) -> Chain:
        """A node on the last value, or on the values named; arrays are constants."""
        name = f"n{len(self.nodes)}"
        read = [] if any(isinstance(each, str) for each in inputs) else [self.value]
        for place, each in enumerate(inputs):
            if isinstance(each, str):
                read.append(each)
            else:
                read.append(f"{name}.{place}")
                self.constants[read[-1]] = each
        made = [f"{name}:{i}" for i in range(given.pop("outputs", 1))]
        self.nodes.append(helper.make_node(op_type, read, made, name=name, **given))
        self.value = made[0]
        return self

    def conv(self, channels: int, kernel: Sequence[int], **given: Any) -> Chain:
        """A convolution with positive weights."""
        read = self.size()[1] // given.get("group", 1)
        seed = len(self.nodes)
        weights = positive(seed, channels, read, *kernel), positive(seed + 1, channels)
        return self.add("Conv", *weights, **given)

    def size(self) -> tuple[int, ...]:
        """Shape of the last value."""
        if self.value == "x":
            return 1, *self.input_shape
        inferred = onnx.shape_inference.infer_shapes(self.model(), strict_mode=True, data_prop=True)
        dims = inferred.graph.output[0].type.tensor_type.shape.dim
        return tuple(dim.dim_value for dim in dims)

    def model(self) -> onnx.ModelProto:
        """All of it."""
        shapes = {"x": [1, *self.input_shape]}
        return make_model(self.nodes, shapes, [self.value], self.constants, opset=self.opset)

    def check(self, projection: Projection = "published", **how: Any) -> dict[str, LayerField]:
        """Compare with brute force."""
        return check_fields(self.model(), self.input_shape, projection=projection, **how)


# --- Random graphs ----------------------------------------------------------------------------


def _convolve(draw: st.DrawFn, chain: Chain) -> None:
    kernel = draw(st.lists(st.integers(1, 3), min_size=2, max_size=2))
    given: dict[str, Any] = {
        "strides": draw(st.lists(st.integers(1, 2), min_size=2, max_size=2)),
        "group": draw(st.sampled_from([1, 2, 4])),
    }
    if draw(st.booleans()):
        given["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    else:
        given["pads"] = draw(st.lists(st.integers(0, 2), min_size=4, max_size=4))
        given["dilations"] = draw(st.lists(st.integers(1, 3), min_size=2, max_size=2))
    chain.conv(4, kernel, **given)


def _transposed_convolve(draw: st.DrawFn, chain: Chain) -> None:
    group = draw(st.sampled_from([1, 2]))
    strides = draw(st.lists(st.integers(1, 3), min_size=2, max_size=2))
    kernel = positive(
        len(chain.nodes), 4, 4 // group, draw(st.integers(1, 3)), draw(st.integers(1, 3))
    )
    given: dict[str, Any] = {"strides": strides, "group": group}
    if draw(st.booleans()):
        given["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER"]))
    else:
        given["dilations"] = draw(st.lists(st.integers(1, 2), min_size=2, max_size=2))
        given["output_padding"] = [draw(st.integers(0, stride - 1)) for stride in strides]
        given["pads"] = draw(st.lists(st.integers(0, 1), min_size=4, max_size=4))
    chain.add("ConvTranspose", kernel, positive(1, 4), **given)


def _pool(draw: st.DrawFn, chain: Chain) -> None:
    op_type = draw(st.sampled_from(["MaxPool", "AveragePool", "LpPool"]))
    kernel = draw(st.lists(st.integers(1, 3), min_size=2, max_size=2))
    given: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": draw(st.lists(st.integers(1, 3), min_size=2, max_size=2)),
    }
    if draw(st.booleans()):
        given["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        given["strides"] = [min(pair) for pair in zip(given["strides"], kernel, strict=True)]
    else:
        given["pads"] = [draw(st.integers(0, size - 1)) for size in kernel * 2]
        if op_type != "LpPool":
            given["ceil_mode"] = draw(st.integers(0, 1))
        if op_type == "MaxPool":
            given["dilations"] = draw(st.lists(st.integers(1, 2), min_size=2, max_size=2))
    chain.add(op_type, **given)


def _pad(draw: st.DrawFn, chain: Chain) -> None:
    mode = draw(st.sampled_from(["constant", "reflect", "edge", "wrap"]))
    lowest = -1 if mode == "constant" else 0
    amounts = draw(st.lists(st.integers(lowest, 2), min_size=4, max_size=4))
    begins, ends = amounts[:2], amounts[2:]
    if mode in ("reflect", "wrap") and min(chain.size()[2:]) < 4:
        return
    pads = np.array([0, 0, *begins, 0, 0, *ends])
    chain.opset = 19
    # Not zero, which would hide the other factor of a product.
    chain.add("Pad", pads, *([ONE] if mode == "constant" else []), mode=mode)


def _resize(draw: st.DrawFn, chain: Chain) -> None:
    # A cubic has negative weights, which a MaxPool behind it would hide.
    mode = draw(st.sampled_from(["nearest", "linear"]))
    scales = [
        1,
        1,
        *draw(st.lists(st.sampled_from([0.5, 0.7, 1, 1.5, 2, 3]), min_size=2, max_size=2)),
    ]
    given: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": draw(
            st.sampled_from(["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
        ),
    }
    if mode == "nearest":
        given["nearest_mode"] = draw(
            st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
        )
    nothing = np.zeros(0, np.float32)
    chain.add("Resize", nothing, np.array(scales, np.float32), **given)


def _slice(draw: st.DrawFn, chain: Chain) -> None:
    sizes = chain.size()[2:]
    starts = [draw(st.integers(-size, size - 1)) for size in sizes]
    stops = [draw(st.sampled_from([2**31, -1, -(2**31), size // 2])) for size in sizes]
    steps = draw(st.lists(st.sampled_from([1, 2, -1, -2]), min_size=2, max_size=2))
    chain.add("Slice", np.array(starts), np.array(stops), np.array([2, -1]), np.array(steps))


def _branch(draw: st.DrawFn, chain: Chain) -> None:
    """A second way around, added, or joined along any axis."""
    before = chain.value
    chain.conv(4, draw(st.sampled_from([(3, 1), (1, 3), (3, 3)])), auto_pad="SAME_UPPER")
    how = draw(st.sampled_from(["Add", "Mul", "channels", "rows", "columns"]))
    if how in ("Add", "Mul"):
        chain.add(how, before, chain.value)
    else:
        axis = {"channels": 1, "rows": 2, "columns": 3}[how]
        chain.add("Concat", before, chain.value, axis=axis)
        if axis == 1 and draw(st.booleans()):
            chain.conv(4, (1, 1), group=draw(st.sampled_from([1, 2, 4])))
        elif axis == 1:
            # Every second channel, from both.
            chain.add("Slice", np.array([0]), np.array([8]), np.array([1]), np.array([2]))


def _turn(draw: st.DrawFn, chain: Chain) -> None:
    chain.add("Transpose", perm=[0, 1, 3, 2])


def _shuffle(draw: st.DrawFn, chain: Chain) -> None:
    _, channels, height, width = chain.size()
    chain.add("Reshape", np.array([0, 2, channels // 2, height, width]))
    chain.add("Transpose", perm=[0, 2, 1, 3, 4])
    chain.add("Reshape", np.array([0, channels, height, width]))


def _blocks(draw: st.DrawFn, chain: Chain) -> None:
    _, _, height, width = chain.size()
    if height % 2 == width % 2 == 0 and draw(st.booleans()):
        chain.add("SpaceToDepth", blocksize=2).conv(4, (1, 1), group=draw(st.sampled_from([1, 4])))
    else:
        mode = draw(st.sampled_from(["DCR", "CRD"]))
        chain.add("DepthToSpace", blocksize=2, mode=mode).add("Tile", np.array([1, 4, 1, 1]))


def _tokens(draw: st.DrawFn, chain: Chain) -> None:
    """Cells in one axis and back, as transformers have them."""
    _, channels, height, width = chain.size()
    chain.add("Reshape", np.array([0, channels, -1])).add("Transpose", perm=[0, 2, 1])
    chain.add("MatMul", positive(3, channels, channels)).add("Transpose", perm=[0, 2, 1])
    chain.add("Reshape", np.array([0, channels, height, width]))


def _squeeze(draw: st.DrawFn, chain: Chain) -> None:
    """Squeeze and excite: a factor of each channel that depends on everything."""
    before = chain.value
    chain.add("ReduceMean", np.array([2, 3])).add("Mul", before, chain.value)


BLOCKS: Sequence[Callable[[st.DrawFn, Chain], None]] = (
    _convolve, _convolve, _transposed_convolve, _pool, _pad, _resize, _slice, _branch, _turn,
    _shuffle, _blocks, _tokens, _squeeze,
)  # fmt: skip


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """Up to four blocks that give something, and not too much."""
    chain = Chain((4, draw(st.integers(4, 8)), draw(st.integers(4, 8))))
    for block in draw(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=4)):
        before = list(chain.nodes), chain.value
        try:
            block(draw, chain)
            size = chain.size()
            fits = len(size) == 4 and size[1] == 4 and min(size) > 0 and np.prod(size[2:]) < 400
        except onnx.shape_inference.InferenceError:
            fits = False
        if not fits:
            chain.nodes, chain.value = before
    names = {name for node in chain.nodes for name in node.input}
    chain.constants = {name: value for name, value in chain.constants.items() if name in names}
    return chain if chain.nodes else chain.add("Relu")


@settings(max_examples=60, deadline=None)
@given(chain=chains(), projection=st.sampled_from(PROJECTIONS))
def test_random_graphs(chain: Chain, projection: Projection) -> None:
    model = micam_fast.load_model(chain.model(), threads=1)
    sample = positive(7, *chain.input_shape)
    try:
        model.explain(sample)
    except micam_fast.SampleError as error:
        # Some pads and strides are none that ONNX Runtime takes.
        assert "onnxruntime cannot run" in str(error)  # noqa: PT017
        reject()
    check_model(model, sample, (1, 2), projection)


# --- Each operator ----------------------------------------------------------------------------


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


NOTHING = np.zeros(0, np.float32)
ONE = np.array(1, np.float32)
OPERATORS: Mapping[str, Chain] = {
    "reduce_rows": Chain().add("ReduceMean", ints(2)),
    "reduce_columns_away": Chain().add("ReduceSum", ints(-1), keepdims=0),
    "reduce_all": Chain().add("ReduceMax").add("Add", "x", "n0:0"),
    "reduce_channels": Chain().conv(3, (2, 3)).add("ReduceL2", ints(1)),
    "reduce_nothing": Chain().add("ReduceSum", ints(), noop_with_empty_axes=1),
    "top": Chain().add("TopK", ints(3), axis=2, outputs=2),
    "running_sum": Chain().add("CumSum", np.array(2)),
    "running_sum_back": Chain().add("CumSum", np.array(-1), reverse=1),
    "batch_norm": Chain().conv(4, (2, 2)).add(
        "BatchNormalization", *(positive(seed, 4) for seed in range(4))
    ),
    "where": Chain().add("Where", np.array(True), "x", "x"),
    "gemm_away": Chain().add("Flatten").add("Gemm", positive(1, 252, 6)),
    "dense_on_channels": Chain().add("Transpose", perm=[0, 2, 3, 1])
    .add("MatMul", positive(1, 4, 5)).add("Transpose", perm=[0, 3, 1, 2]),
    # A product says itself that its columns or rows are channels; convolutions around it disagree.
    "product_over_rows": Chain().conv(4, (1, 1)).add("MatMul", positive(1, 4, 5, 7), "n0:0")
    .add("Relu").conv(3, (1, 2)),
    "product_over_columns": Chain().conv(4, (1, 1)).add("MatMul", positive(1, 9, 3))
    .add("Relu").conv(3, (2, 1)),
    "attention": Chain().add("Transpose", perm=[0, 1, 3, 2]).add("MatMul", "x", "n0:0"),
    "einsum": Chain().add("Einsum", positive(1, 7, 5), equation="ncrl,rs->nscl"),
    "einsum_of_two": Chain().add("Einsum", "x", "x", equation="nchw,ncuw->nchu"),
    "gather_columns": Chain().add("Gather", ints(3, 0, -1), axis=3),
    "gather_a_row": Chain().add("Gather", np.array(2), axis=2),
    "split_columns": Chain().add("Split", ints(2, 4, 3), axis=3, outputs=3),
    "split_channels": Chain().conv(4, (2, 2)).add("Concat", "n0:0", "n0:0", axis=1)
    .add("Split", ints(4, 4), axis=1, outputs=2),
    "expand": Chain((4, 1, 9)).add("Expand", ints(1, 4, 5, 9)),
    "tile": Chain((4, 3, 5)).add("Tile", ints(1, 1, 2, 3)),
    "pad_one_axis": Chain().add("Pad", ints(2, 1), ONE, ints(3), mode="constant"),
    "crop": Chain().add("Pad", ints(0, 0, -2, 0, 0, 0, 0, -3)),
    "pad_reflect": Chain().add("Pad", ints(0, 0, 3, 0, 0, 0, 2, 4), mode="reflect"),
    "pad_edge": Chain().add("Pad", ints(0, 0, 1, 2, 0, 0, 0, 3), mode="edge"),
    "blocks_to_space": Chain().conv(4, (1, 2), group=4).add("DepthToSpace", blocksize=2)
    .add("Tile", ints(1, 4, 1, 1)),
    "columns_to_space": Chain().add("DepthToSpace", blocksize=2, mode="CRD")
    .add("Tile", ints(1, 4, 1, 1)),
    "space_to_depth": Chain((4, 6, 8)).add("SpaceToDepth", blocksize=2)
    .conv(4, (2, 1), group=4),
    "reverse_columns": Chain().add("Transpose", perm=[3, 0, 1, 2])
    .add("ReverseSequence", ints(9)).add("Transpose", perm=[1, 2, 3, 0]),
    "gemm_turned": Chain().add("Reshape", ints(28, 9)).add("Gemm", positive(1, 28, 5), transA=1)
    .add("Reshape", ints(1, 1, 9, 5)).add("Relu"),
    "gemm_of_the_right": Chain().add("Reshape", ints(28, 9))
    .add("Gemm", "n0.w", "n0:0", "n0.c").add("Reshape", ints(1, 1, 3, 9)).add("Relu"),
    "resize_to_sizes": Chain().add("Resize", NOTHING, NOTHING, ints(1, 4, 4, 21)),
    "resize_one_axis": Chain().add("Resize", NOTHING, floats(1.7), axes=[2], mode="linear"),
    "resize_up_cubic": Chain().add("Resize", NOTHING, floats(1, 1, 2, 1.5), mode="cubic"),
    "resize_cubic_inside": Chain().add(
        "Resize", NOTHING, floats(1, 1, 1.6, 0.7), mode="cubic", exclude_outside=1
    ),
    "resize_cubic_asymmetric": Chain().add(
        "Resize", NOTHING, floats(1, 1, 2, 3), mode="cubic",
        coordinate_transformation_mode="asymmetric",
    ),
    "resize_for_nn": Chain().add(
        "Resize", NOTHING, floats(1, 1, 2.5, 0.6), nearest_mode="floor",
        coordinate_transformation_mode="tf_half_pixel_for_nn",
    ),
    "transposed_to_a_size": Chain().add(
        "ConvTranspose", positive(1, 4, 2, 3, 2), output_shape=[15, 18], strides=[2, 2]
    ),
    "dropout": Chain().add("Dropout", outputs=2),
    "quantized": Chain()
    .add("QuantizeLinear", np.array(1, np.float32), np.array(3, np.uint8))
    .add(
        "QLinearConv", np.array(1, np.float32), np.array(3, np.uint8),
        np.full((2, 4, 2, 1), 2, np.uint8), np.array(0.5, np.float32), np.array(0, np.uint8),
        np.array(9, np.float32), np.array(0, np.uint8), pads=[1, 0, 0, 0],
    )
    .add("DequantizeLinear", np.array(9, np.float32)),
    "max_pool_1d": Chain().add("Reshape", ints(1, 4, 63))
    .add("MaxPool", kernel_shape=[4], strides=[3]),
    "conv_3d": Chain().add("Reshape", ints(1, 1, 4, 7, 9)).add("Conv", positive(1, 2, 1, 2, 3, 2)),
    "flatten_and_back": Chain().conv(3, (2, 2)).add("Flatten").add("Relu")
    .add("Reshape", ints(1, 3, 6, 8)),
}  # fmt: skip


OPERATORS["gemm_of_the_right"].constants |= {
    "n0.w": positive(1, 3, 28),
    "n0.c": positive(2, 1, 9),
}


@both
@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str, projection: Projection) -> None:
    OPERATORS[name].check(projection, by=100.0)


@both
def test_products_and_normalizations_of_the_last_axis_keep_pixels_apart(
    projection: Projection,
) -> None:
    """They say themselves that the channels lie there."""
    chain = Chain((7, 9, 4)).add("MatMul", positive(1, 4, 3))
    chain.add("LayerNormalization", positive(2, 3))
    fields = chain.check(projection, axes=(0, 1), by=0.3)
    assert [layer.size for layer in fields.values()] == [(7, 9)] * 3


LARGE: Mapping[str, Chain] = {
    "joined_axes": Chain().add("Reshape", ints(1, 4, 63)),
    "turned_and_added": Chain((4, 8, 8)).add("Transpose", perm=[0, 1, 3, 2])
    .add("Add", "x", "n0:0"),
    "padded_and_joined": Chain((4, 2, 3)).add("Pad", ints(0, 0, 1, 1, 0, 0, 1, 0), ONE)
    .add("Reshape", ints(1, 4, 16)).add("Relu"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "limit"), [*zip(LARGE, (60, 60, 30), strict=True)])
def test_sets_that_take_too_much_memory_are_told_at_most(
    name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = LARGE[name].nodes[-1].name
    assert LARGE[name].check()[last].cell(0, 1).exact
    monkeypatch.setattr(terms, "MOST_BYTES", limit)
    assert not LARGE[name].check(exact=False)[last].cell(0, 1).exact


def test_too_many_parts_are_told_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain().conv(4, (3, 1), auto_pad="SAME_UPPER").add("Concat", "x", "n0:0", axis=3)
    chain.add("Concat", "n1:0", "n1:0", axis=2).conv(2, (1, 1))
    assert all(layer.cell(0, 0).exact for layer in chain.check().values())
    monkeypatch.setattr(cells, "_MOST_TERMS", 1)
    fields = chain.check(exact=False)
    assert not fields["n2"].cell(0, 0).exact
    assert fields["n0"].cell(0, 0).exact


def test_too_many_parts_stay_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_MOST_TERMS", 1)
    chain = Chain().conv(4, (3, 1), auto_pad="SAME_UPPER").add("Concat", "x", "n0:0", axis=3)
    field = chain.add("Relu").conv(2, (1, 1)).check(exact=False)["n2"].cell(3, 4)
    assert not field.exact
    assert (field.row_ranges, field.column_ranges) == (((2, 4),), ((4, 4),))


END = ints(2**62)
"""Beyond every axis."""


def wrapped(chain: Chain, axis: int, size: int = 1) -> Chain:
    """Circular padding as PyTorch exports it: the end, all and the begin, joined."""
    value, count = chain.value, len(chain.nodes)
    chain.add("Slice", value, ints(-size), END, ints(axis))
    chain.add("Slice", value, ints(0), ints(size), ints(axis))
    return chain.add("Concat", f"n{count}:0", value, f"n{count + 1}:0", axis=axis)


def rolled(chain: Chain, axis: int, by: int) -> Chain:
    """The begin behind the end, as windows are shifted."""
    value, count = chain.value, len(chain.nodes)
    chain.add("Slice", value, ints(by), END, ints(axis))
    chain.add("Slice", value, ints(0), ints(by), ints(axis))
    return chain.add("Concat", f"n{count}:0", f"n{count + 1}:0", axis=axis)


def circular_blocks(count: int, shape: Sequence[int]) -> Chain:
    """Residual blocks of two convolutions, each with circular padding of both axes."""
    chain = Chain(shape)
    for _ in range(count):
        start = chain.value
        wrapped(wrapped(chain, 3), 2).conv(shape[0], (3, 3)).add("Relu")
        wrapped(wrapped(chain, 3), 2).conv(shape[0], (3, 3))
        chain.add("Add", chain.value, start)
    return chain


WRAPPED: Mapping[str, Chain] = {
    "residual_blocks": circular_blocks(2, (2, 7, 9)),
    "one_axis_and_zeros": wrapped(wrapped(Chain(), 3).conv(2, (3, 3), pads=[1, 0, 1, 0]), 3)
    .conv(2, (3, 3), pads=[1, 0, 1, 0]),
    "strides": wrapped(wrapped(wrapped(wrapped(Chain(), 3, 2), 2, 2).conv(2, (5, 5), strides=[2, 2])
    .add("Relu"), 2), 3).conv(3, (3, 3)),
    "two_rows": wrapped(wrapped(Chain((2, 2, 5)), 2), 3).conv(2, (3, 3)),
    "rolled": rolled(rolled(Chain().conv(4, (3, 3)), 2, 2), 3, 3).conv(2, (1, 2)),
    "rolled_halves": rolled(Chain((2, 2, 2)).conv(2, (1, 1)), 3, 1).add("Add", "n3:0", "x"),
    "joined_channels": wrapped(Chain().conv(4, (1, 3), auto_pad="SAME_UPPER")
    .add("Concat", "x", "n0:0", axis=1), 3).conv(2, (1, 2)),
    "after_a_mean": wrapped(Chain().add("ReduceMean", ints(3)), 2).conv(2, (3, 1)),
}  # fmt: skip


@both
@pytest.mark.parametrize("name", WRAPPED)
def test_circular_padding(name: str, projection: Projection) -> None:
    WRAPPED[name].check(projection)


def test_circular_padding_stays_one_term_in_deep_networks() -> None:
    """Each padding has nine parts, which would multiply from layer to layer."""
    chain = circular_blocks(8, (1, 40, 60))
    inferred = onnx.shape_inference.infer_shapes(chain.model(), strict_mode=True, data_prop=True)
    shapes: dict[str, tuple[int, ...]] = {"x": (1, 1, 40, 60)}
    for value in [*inferred.graph.value_info, *inferred.graph.output]:
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    cells = {"x": input_dependence((1, 1, 40, 60), (40, 60), 2, 3)}
    found = follow(Graph(open_model(chain.model())), cells, shapes, {}, [chain.value])[chain.value]
    assert len(found.terms) == 1
    rows, columns, exact = found.at(np.array([[0, 0, 0, 30]]))
    # Sixteen convolutions see sixteen cells on each side, around the border.
    assert [*np.flatnonzero(np.unpackbits(rows[0], count=40))] == [*range(17), *range(24, 40)]
    assert [*np.flatnonzero(np.unpackbits(columns[0], count=60))] == [*range(14, 47)]
    assert exact.all()


def test_scales_of_dynamic_quantization_are_bookkeeping() -> None:
    """As in the diagram; by the numbers, each value depends on the largest of all."""
    chain = Chain().add("DynamicQuantizeLinear", outputs=3)
    weights = np.full((2, 4, 2, 2), 2, np.uint8)
    chain.add("ConvInteger", "n0:0", weights).add("Cast", to=onnx.TensorProto.FLOAT)
    chain.add("Mul", "n2:0", "n0:1")
    model = micam_fast.load_model(chain.model())
    sample = positive(1, *SHAPE)
    fields = FeatureFinder(model, "transposed").fields(
        model.explain(sample, projection="transposed"), sample
    )
    # The product's layer has its Cast and Mul; its map lies on its input's grid, a tap further.
    layer = fields.layer("n1")
    assert layer is not None
    field = layer.cell(3, 4)
    assert (field.row_ranges, field.column_ranges, field.exact) == (((2, 4),), ((3, 5),), True)


def test_sequences_depend_on_all_that_goes_into_them_at_most() -> None:
    chain = Chain().add("SplitToSequence", ints(3, 4), axis=2)
    chain.add("SequenceAt", np.array(1)).conv(2, (2, 2))
    fields = chain.check(exact=False)
    assert not fields["n2"].cell(0, 0).exact


# Their values do not grow with their input, or saturate: smaller changes.
NORMALIZATIONS: Mapping[str, Chain] = {
    "softmax_of_columns": Chain().add("Softmax", axis=3),
    # The mean of a softmax over the channels is the same whatever they are.
    "log_softmax_of_channels": Chain().conv(3, (3, 2)).add("LogSoftmax", axis=1),
    "layer_norm": Chain().conv(4, (1, 1)).add("LayerNormalization", positive(1, 9))
    .add("Sigmoid").conv(3, (2, 1)),
    "layer_norm_of_plane": Chain().add("LayerNormalization", positive(1, 7, 9), axis=-2),
    "instance_norm": Chain().conv(4, (2, 3), group=4).add(
        "InstanceNormalization", positive(1, 4), positive(2, 4)
    ),
    "lp_norm": Chain().add("LpNormalization", axis=2),
    "mean_variance": Chain().add("MeanVarianceNormalization", axes=[2]),
    "response_norm": Chain().conv(4, (2, 3)).add("LRN", size=3, alpha=1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalizations(name: str) -> None:
    NORMALIZATIONS[name].check(by=0.3)


def test_group_normalization() -> None:
    chain = Chain()
    chain.opset = 21
    chain.add("GroupNormalization", positive(1, 4), positive(2, 4), num_groups=2).check(by=0.3)


def test_softmax_before_opset_13_is_over_all_axes_from_one_on() -> None:
    chain = Chain()
    chain.opset = 12
    chain.add("Softmax", axis=3).check(by=0.3)
    chain = Chain()
    chain.opset = 12
    chain.add("Softmax", axis=2).check(by=0.3)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("op_type", "scales"),
    [
        ("Upsample", (2, 3)),
        ("Upsample", (1.7, 1)),
        ("Resize", (2, 3)),
        ("Resize", (0.5, 0.6)),
        ("Resize", (1.7, 1)),
    ],
)
def test_resizes_of_old_opsets(op_type: str, scales: tuple[float, float], mode: str) -> None:
    chain = Chain()
    chain.opset = 9 if op_type == "Upsample" else 10
    chain.add(op_type, floats(1, 1, *scales), mode=mode).check()


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("op_type", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent_layers(op_type: str, gates: int, direction: str) -> None:
    directions = 2 if direction == "bidirectional" else 1
    weights = {
        "w": positive(1, directions, gates * 2, 3) * 0.1,
        "r": positive(2, directions, gates * 2, 2) * 0.3,
        "flat": ints(0, 0, -1),
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2]),
        helper.make_node(
            op_type, ["turned", "w", "r"], ["y", "last"], name="rnn", hidden_size=2,
            direction=direction,
        ),
        helper.make_node("Transpose", ["y"], ["back"], perm=[2, 0, 1, 3]),
        helper.make_node("Reshape", ["back", "flat"], ["z"], name="joined"),
        helper.make_node("Sigmoid", ["z"], ["end"], name="end"),
    ]  # fmt: skip
    model = make_model(nodes, {"x": [1, 5, 3]}, ["end"], weights, opset=14)
    fields = check_fields(model, (5, 3), axes=(None, 0), by=0.5)
    assert "rnn" in fields
    seen = [tuple(fields["rnn"].cell(0, t).column_ranges) for t in range(5)]
    ways = {
        "forward": [((0, t),) for t in range(5)],
        "reverse": [((t, 4),) for t in range(5)],
        "bidirectional": [((0, 4),)] * 5,
    }
    assert seen == ways[direction]


# --- What is told at most ---------------------------------------------------------------------


def fields_at_most(chain: Chain, layer: str, **how: Any) -> LayerField:
    """A layer's fields, of which some are too large; none is too small."""
    return chain.check(exact=False, **how)[layer]


def test_unknown_operators_depend_on_all_that_they_read_at_most() -> None:
    # A window of the input, then a Col2Im, for which there is no rule.
    chain = Chain((4, 6, 6)).add("Slice", ints(1), ints(4), ints(2)).add("Reshape", ints(1, 12, 6))
    chain.add("Col2Im", ints(3, 4), ints(1, 2), strides=[1, 2])
    field = fields_at_most(chain, "n2").cell(0, 0)
    assert not field.exact
    assert field.row_ranges == ((1, 3),)
    assert field.column_ranges == ((0, 5),)


def test_branches_of_an_if_are_not_followed() -> None:
    nodes = [
        helper.make_node("Slice", ["x", "from", "to", "axis"], ["part"], name="part"),
        helper.make_node("If", ["condition"], ["y"], name="if", **if_branches("part")),
    ]
    constants = {"from": ints(2), "to": ints(5), "axis": ints(3), "condition": np.array(True)}
    model = make_model(nodes, {"x": [1, 4, 5, 7]}, ["y"], constants)
    fields = check_fields(model, (4, 5, 7), exact=False)
    field = fields["if"].cell(1, 1)
    assert not field.exact
    assert (field.row_ranges, field.column_ranges) == (((0, 4),), ((2, 4),))


AT_MOST: Mapping[str, Chain] = {
    "keep_aspect_ratio": Chain().add(
        "Resize", NOTHING, NOTHING, ints(9, 9), axes=[2, 3], keep_aspect_ratio_policy="not_larger"
    ),
    "crop_and_resize": Chain().add(
        "Resize", floats(0, 0, 0.2, 0, 1, 1, 0.8, 1), NOTHING, ints(1, 4, 5, 9), mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize",
    ),
    "symmetric": Chain().add(
        "Resize", NOTHING, floats(1, 1, 2, 2), coordinate_transformation_mode="half_pixel_symmetric"
    ),
    "exclusive_sum": Chain().add("CumSum", np.array(3), exclusive=1),
    "product_with_a_vector": Chain().conv(4, (1, 1)).add("MatMul", positive(1, 9))
    .add("Unsqueeze", ints(3))
    .add("Relu"),
    "einsum_of_any": Chain().add("Einsum", positive(1, 7, 3), equation="...rc,rs->...sc"),
    "einsum_of_a_diagonal": Chain((4, 6, 6)).add("Einsum", equation="ncrr->ncr")
    .add("Unsqueeze", ints(3)).add("Relu"),
    "lp_pool": Chain((4, 6, 6)).add(
        "LpPool", kernel_shape=[1, 1], strides=[3, 3], auto_pad="SAME_UPPER"
    ),
    "reverse_in_part": Chain().add("Transpose", perm=[3, 0, 1, 2])
    .add("ReverseSequence", ints(4)).add("Transpose", perm=[1, 2, 3, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_MOST)
def test_what_rules_cannot_tell_is_told_at_most(name: str) -> None:
    chain = AT_MOST[name]
    layer = fields_at_most(chain, chain.nodes[-1].name, by=100.0)
    assert not any(layer.cell(*place).exact for place in np.ndindex(*layer.size))


def test_operators_of_other_domains_are_unknown() -> None:
    """A FusedConv of ONNX Runtime's is known; a Conv of somebody else's would not be."""
    fused = helper.make_node(
        "FusedConv", ["x", "w", "", "z"], ["y"], name="fused", domain="com.microsoft",
        activation="Relu", pads=[0, 2, 0, 0],
    )  # fmt: skip
    branch = helper.make_node("Conv", ["x", "u"], ["z"], name="branch", pads=[2, 0, 0, 0])
    constants = {"w": positive(1, 2, 4, 1, 3), "u": positive(2, 2, 4, 3, 1)}
    model = make_model([branch], {"x": [1, *SHAPE]}, ["z"], constants)
    model.graph.node.append(fused)
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, *SHAPE[1:]])
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert "fused" in check_fields(model, SHAPE)
    graph = Graph(open_model(model))
    shapes = {"x": (1, *SHAPE), "z": (1, 2, *SHAPE[1:]), "y": (1, 2, *SHAPE[1:])}
    cells = {"x": input_dependence((1, *SHAPE), SHAPE[1:], 2, 3)}
    known = follow(graph, cells, shapes, {}, ["y"])["y"]
    graph.nodes[-1].domain = "somebody"
    unknown = follow(graph, cells, shapes, {}, ["y"])["y"]
    place = np.array([[0, 0, 3, 3]])
    assert known.at(place)[2].all()
    assert not unknown.at(place)[2].any()


def test_shapes_that_inference_gets_wrong_are_told_by_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain = Chain().conv(3, (2, 3)).add("MaxPool", kernel_shape=[2, 2])
    wrong = {"n0:0": (1, 3, 6, 6), "n1:0": (1, 3, 5, 5)}
    monkeypatch.setattr(receptive_fields, "_known_shapes", lambda graph: wrong)
    assert "n1" in chain.check()


def test_what_follows_from_too_large_a_set_is_too_large() -> None:
    chain = Chain().add("Resize", NOTHING, floats(1, 1, 0.5, 0.5), mode="linear", antialias=1)
    field = fields_at_most(chain.add("Relu").conv(2, (1, 1)), "n2").cell(0, 0)
    assert not field.exact
    assert field.row_ranges == ((0, 6),)


def test_a_grid_of_very_many_columns_is_not_followed() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    model = make_model([node], {"x": [1, 1, 40_000]}, ["y"], {"w": positive(1, 1, 1, 3)})
    opened = micam_fast.load_model(model)
    sample = positive(1, 1, 40_000)
    fields = FeatureFinder(opened).fields(opened.explain(sample), sample)
    layer = fields.layer("conv")
    assert layer is not None
    field = layer.cell(0, 7)
    assert not field.exact
    assert field.column_ranges == ((0, 39_999),)


def test_weights_that_depend_on_the_input_go_in_whole() -> None:
    """A convolution's kernel made of the input."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1, name="mean"),
        helper.make_node("Slice", ["mean", "from", "to", "axis"], ["w"], name="w"),
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv"),
    ]
    constants = {"from": ints(0, 0), "to": ints(2, 2), "axis": ints(2, 3)}
    model = make_model(nodes, {"x": [1, 3, 6, 7]}, ["y"], constants)
    field = check_fields(model, (3, 6, 7), by=1.0, exact=False)["conv"].cell(4, 5)
    assert not field.exact
    assert field.rows[[0, 1]].all()


# --- Values, shapes and inputs ----------------------------------------------------------------


def test_what_only_a_run_can_tell_of_shapes_is_told_by_a_run() -> None:
    """A crop to half of the size, whose ends are computed from a Shape."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "last"], ["width"], axis=0),
        helper.make_node("Div", ["width", "two"], ["half"]),
        helper.make_node("Slice", ["x", "one", "half", "three"], ["y"], name="crop"),
        helper.make_node("NonZero", ["y"], ["places"]),
        helper.make_node("Shape", ["places"], ["count"]),
        helper.make_node("Slice", ["count", "one", "two", "zero"], ["number"]),
        helper.make_node("Div", ["number", "sixty"], ["begin"]),
        helper.make_node("Slice", ["y", "begin", "many", "three"], ["z"], name="again"),
    ]
    constants = {
        "last": ints(3), "two": ints(2), "one": ints(1), "three": ints(3), "zero": ints(0),
        "sixty": ints(60), "many": ints(99),
    }  # fmt: skip
    model = make_model(nodes, {"x": ["N", 4, "H", "W"]}, ["z"], constants)
    fields = check_fields(model, (4, 5, 10))
    # 60 values are not zero, so the second crop begins at 1.
    assert fields["crop"].cell(0, 0).column_ranges == ((1, 1),)
    assert fields["again"].cell(0, 0).column_ranges == ((2, 2),)


def test_several_inputs_of_one_size_share_the_grid() -> None:
    nodes = [
        helper.make_node("Conv", ["left", "w"], ["a"], name="a"),
        helper.make_node("Conv", ["right", "w"], ["b"], name="b"),
        helper.make_node("ReduceMean", ["other"], ["mean"], axes=[1, 2, 3], name="mean"),
        helper.make_node("Concat", ["a", "b"], ["both"], axis=2, name="both"),
        helper.make_node("Mul", ["both", "mean"], ["end"], name="end"),
    ]
    inputs = {"left": [1, 1, 5, 6], "right": [1, 1, 5, 6], "other": [1, 1, 3, 3]}
    model = make_model(nodes, inputs, ["end"], {"w": positive(1, 1, 1, 2, 2)})
    opened = micam_fast.load_model(model)
    sample = {name: positive(1, *shape[1:]) for name, shape in inputs.items()}
    explanation = opened.explain(sample)
    fields = FeatureFinder(opened).fields(explanation, sample)
    layers = {name: fields.layer(name) for name in explanation.cams}
    found = {name: layer.cell(0, 0) for name, layer in layers.items() if layer is not None}
    # A kernel of two rows on four: the circular tap reads the last one, too.
    assert found["a"].row_ranges == found["b"].row_ranges == ((0, 1), (3, 4))
    assert found["end"].row_ranges == ((0, 1),)
    assert not found["other"].rows.any()
    assert found["other"].exact


def test_a_flat_input_is_a_row_of_columns() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["plane"], name="plane"),
        helper.make_node("Conv", ["plane", "w"], ["y"], name="conv"),
    ]
    constants = {"shape": ints(1, 1, 3, 4), "w": positive(1, 1, 1, 2, 2)}
    model = make_model(nodes, {"x": [1, 12]}, ["y"], constants)
    fields = check_fields(model, (12,), axes=(None, 0), projection="transposed")
    # Cells of the last row and column are read by no tap but the last.
    assert fields["plane"].cell(2, 3).column_ranges == ((11, 11),)


def test_an_input_of_many_axes_is_a_row_of_columns() -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["part"], axes=[1, 3], keepdims=0, name="part"),
        helper.make_node("Relu", ["part"], ["y"], name="relu"),
    ]
    model = make_model(nodes, {"x": [1, 2, 3, 2, 1, 2]}, ["y"])
    opened = micam_fast.load_model(model)
    sample = positive(1, 2, 3, 2, 1, 2)
    layer = FeatureFinder(opened).fields(opened.explain(sample), sample).layer("relu")
    assert layer is not None
    # All channels, that is all of the last axis, of the first of three rows.
    field = layer.cell(0, 0)
    assert field.exact
    assert len(field.columns) == 24
    assert 0 < field.columns.sum() < 24


def test_a_batch_that_the_model_fixes() -> None:
    chain = Chain().conv(3, (2, 2))
    model = chain.model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    check_fields(model, SHAPE)


@both
def test_pictures_with_their_channels_last(projection: Projection) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"], name="conv", strides=[2, 1]),
        helper.make_node("Transpose", ["c"], ["back"], perm=[0, 2, 3, 1]),
        helper.make_node("Relu", ["back"], ["y"], name="relu"),
    ]
    model = make_model(nodes, {"x": [1, 7, 6, 3]}, ["y"], {"w": positive(1, 2, 3, 3, 2)})
    fields = check_fields(model, (7, 6, 3), axes=(0, 1), projection=projection)
    assert set(fields) == {"x", "conv", "relu"}
