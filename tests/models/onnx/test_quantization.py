"""QDQ models: what a layer shows, and that ONNX Runtime still computes with integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings, strategies as st
from onnx import helper, numpy_helper

import micam_fast
from micam_fast import SampleError
from micam_fast.core.layers import Axes
from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.merging import find_scalings
from micam_fast.models.onnx.quantization import PairsBehind, find_signed, write_unsigned
from tests.helpers.activations import copies
from tests.helpers.chains import CONV, SAMPLE, build, op, per_channel
from tests.helpers.models import Array, conv_net, if_branches, random_array
from tests.helpers.plain_runtime import run
from tests.helpers.quantized_models import STYLES, pairs_net, quantize, residual_net, samples

CODES = [("uint8", "least"), ("int8", "least"), ("uint8", "middle"), ("int8", "middle")]
RELU = op("Relu", "conv", "relu")
STATIC: dict[str, dict[str, Any]] = {
    "codes without a sign": {},
    "codes with a sign": {"activations": "QInt8"},
    "16 bits": {"activations": "QUInt16", "extra_options": {"UseQDQContribOps": True}},
    "by channel": {"per_channel": True},
    "around 0": {"activations": "QInt8", "extra_options": {"ActivationSymmetric": True}},
    "convolutions alone": {"op_types_to_quantize": ["Conv"]},
    "some real": {"nodes_to_exclude": ["c1a_node", "a2_node", "g_node", "logits_node"]},
    "a pair for each": {"activations": "QInt8", "extra_options": {"DedicatedQDQPair": True}},
    "pairs of weights": {"activations": "QInt8", "extra_options": {"AddQDQPairToWeight": True}},
}


def all_activations(model: micam_fast.Model, sample: Array) -> dict[str, Array]:
    (found,) = model.activations([sample], copies)
    assert not isinstance(found, SampleError)
    return found


def check_prediction(proto: onnx.ModelProto) -> None:
    """The output has the bits that ONNX Runtime gives, alone and in a batch."""
    model = micam_fast.load_model(proto)
    batch = samples()
    for sample, found in zip(batch, model.explain_many(batch, batch_size=3), strict=True):
        (expected,) = run(proto, {"x": sample[np.newaxis]}, "y", optimized=True)
        np.testing.assert_array_equal(found.output, expected[0])


def check_slices(proto: onnx.ModelProto, *, least: int) -> None:
    """Each layer has the same bits in slices, of which there are so many."""
    whole, cut = (micam_fast.load_model(proto, memory=memory) for memory in (None, 2000))
    for sample in samples(3):
        expected, found = all_activations(whole, sample), all_activations(cut, sample)
        assert list(found) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)
        np.testing.assert_array_equal(cut.explain(sample).output, whole.explain(sample).output)
    opened = cut.pipeline("published").sessions._opened
    assert max(map(len, dict.values(opened))) >= least


# --- The model's own numbers ---------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "zero"), CODES)
@pytest.mark.parametrize("style", STYLES)
def test_the_prediction_is_onnx_runtimes_own(style: str, dtype: str, zero: str) -> None:
    check_prediction(pairs_net(style, dtype=dtype, zero=zero))


@pytest.mark.parametrize(("dtype", "zero"), CODES)
@pytest.mark.parametrize("style", STYLES)
def test_slices_keep_the_bits(style: str, dtype: str, zero: str) -> None:
    check_slices(pairs_net(style, dtype=dtype, zero=zero), least=4)


@pytest.mark.parametrize("name", STATIC)
def test_what_the_tool_of_onnx_runtime_writes(tmp_path: Path, name: str) -> None:
    model = quantize(residual_net(), tmp_path, "QDQ", **STATIC[name])
    check_prediction(model)
    # Shapes of operators that ONNX does not know are not known before a run.
    check_slices(model, least=1 if name == "16 bits" else 2)


@pytest.mark.parametrize("way", ["QOperator", "dynamic"])
def test_other_forms_of_quantized_models(tmp_path: Path, way: str) -> None:
    model = quantize(residual_net(), tmp_path, way)
    check_prediction(model)
    check_slices(model, least=1)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_real_numbers_of_half_precision(dtype: str) -> None:
    limits = np.iinfo(dtype)
    nodes = [
        op("Cast", "x", "half", to=onnx.TensorProto.FLOAT16),
        op("Conv", "half w", "conv", pads=[1] * 4),
        RELU,
        op("QuantizeLinear", "relu scale least", "codes"),
        op("DequantizeLinear", "codes scale least", "back"),
        op("Cast", "back", "real", to=onnx.TensorProto.FLOAT),
        op("GlobalAveragePool", "real", "y"),
    ]
    held: dict[str, Any] = {
        "w": random_array(0, 5, 3, 3, 3).astype(np.float16),
        "scale": np.float16(0.1),
    }
    model = build(*nodes, shape=(3, 16, 16), opset=19, **held, least=np.array(limits.min, dtype))
    graph = read_layers(open_model(model))
    assert [graph.taps[name].value for name in ("conv", "relu")] == ["back", "back"]
    check_prediction(model)


@pytest.mark.parametrize("style", STYLES)
def test_maps_show_the_codes_in_real_units(style: str) -> None:
    """The codes that ONNX Runtime makes when nobody asks for anything else."""
    proto = pairs_net(style)
    graph = read_layers(open_model(proto))
    names = ["r1", "r2", "r3", "p1", "c3", "add"]
    held = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
    sample = samples(1)[0]
    found = all_activations(micam_fast.load_model(proto), sample)
    coded = {node.input[0]: node for node in proto.graph.node if node.op_type == "QuantizeLinear"}
    checked = 0
    for name in names:
        if name not in coded:
            continue
        checked += 1
        (codes,) = run(proto, {"x": sample[np.newaxis]}, coded[name].output[0], optimized=True)
        scale, zero = (held[each].astype(np.float64) for each in coded[name].input[1:])
        expected = (codes[0].astype(np.float64) - zero) * scale
        np.testing.assert_allclose(found[f"{name}_node"], expected, atol=1e-6)
    assert checked >= 3
    assert graph.taps["r1_node"].value != graph.taps["r2_node"].value


# --- What a layer shows ----------------------------------------------------------------------


def quantized_chain(*between: onnx.NodeProto, dtype: str = "uint8", zero: int = 0) -> Graph:
    """A convolution and nodes, the last of which makes ``last``; a pair, and a Neg behind."""
    last = between[-1].output[0] if between else "conv"
    model = build(
        CONV,
        *between,
        op("QuantizeLinear", f"{last} scale z", "codes"),
        op("DequantizeLinear", "codes scale z", "back"),
        op("Neg", "back", "neg"),
        scale=np.float32(0.5), z=np.array(zero, dtype), low=np.float32(0), high=np.float32(6),
        top=np.float32(127.5),
    )  # fmt: skip
    return Graph(open_model(model))


@pytest.mark.parametrize(
    ("between", "dtype", "zero", "seen_through"),
    [
        ([], "uint8", 3, True),
        ([RELU], "uint8", 0, True),
        ([RELU], "int8", -128, True),
        ([RELU], "uint8", 1, False),
        ([RELU], "int8", 0, False),
        ([op("Clip", "conv low top", "clip")], "uint8", 0, True),
        ([op("Clip", "conv low high", "clip")], "uint8", 0, False),
        ([op("Clip", "conv", "clip")], "uint8", 9, True),
        ([op("Identity", "conv", "same"), op("Relu", "same", "relu")], "uint8", 0, True),
        ([op("Sigmoid", "conv", "sigmoid")], "uint8", 0, False),
    ],
)
def test_a_bound_that_codes_never_pass_is_seen_through(
    between: list[onnx.NodeProto], dtype: str, zero: int, seen_through: bool
) -> None:
    graph = quantized_chain(*between, dtype=dtype, zero=zero)
    assert PairsBehind(graph).value_behind("conv") == ("back" if seen_through else "conv")
    for node in between:
        if node.op_type != "Identity":
            assert PairsBehind(graph).value_behind(node.output[0]) == "back"


UNITS: dict[str, Any] = {"scale": np.float32(0.5), "z": np.uint8(3)}


def pair(value: str, codes: str, back: str, scale: str = "scale") -> list[onnx.NodeProto]:
    return [
        op("QuantizeLinear", f"{value} {scale} z", codes),
        op("DequantizeLinear", f"{codes} {scale} z", back),
    ]


PAIR = pair("conv", "codes", "back")


@pytest.mark.parametrize(
    "nodes",
    [
        # Others read the real number, too.
        [*PAIR, op("Add", "back conv", "end")],
        # Two scales: neither is the one that counts.
        [*PAIR, *pair("conv", "codes2", "back2", "other"), op("Add", "back back2", "end")],
        # The scale is measured.
        [op("ReduceMax", "x", "top", keepdims=0), *pair("conv", "codes", "back", "top"),
         op("Neg", "back", "end")],
        # Nobody makes real numbers of the codes again.
        [PAIR[0], op("Cast", "codes", "end", to=1)],
    ],
)  # fmt: skip
def test_a_value_without_a_pair_of_its_own_is_shown_itself(nodes: list[onnx.NodeProto]) -> None:
    model = build(CONV, *nodes, other=np.float32(0.25), **UNITS)
    assert PairsBehind(Graph(open_model(model))).value_behind("conv") == "conv"


def test_equal_pairs_are_one() -> None:
    nodes = [*PAIR, *pair("conv", "codes2", "back2"), op("Add", "back back2", "end")]
    assert (
        PairsBehind(Graph(open_model(build(CONV, *nodes, **UNITS)))).value_behind("conv") == "back"
    )


def test_layers_and_their_edges_are_those_without_pairs() -> None:
    graph = read_layers(open_model(pairs_net("none around moves")))
    assert [layer.name.removesuffix("_node") for layer in graph.layers] == [
        "x", "c1", "r1", "p1", "c2", "r2", "c3", "add", "r3", "c4", "r4", "g", "f", "fc", "y",
    ]  # fmt: skip
    edges = {layer.name: layer.inputs for layer in graph.layers}
    assert edges["add_node"] == ("c3_node", "p1_node")
    assert edges["r1_node"] == ("c1_node",)
    assert edges["c4_node"] == ("r3_node",)
    assert graph.pointwise == {}


# --- Pairs that are missing, and codes with a sign -----------------------------------------------


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_written_pairs_change_no_number(style: str, dtype: str) -> None:
    proto = pairs_net(style, dtype=dtype)
    written = open_model(proto).proto
    for name in ("y", *(n.output[0] for n in proto.graph.node if n.op_type == "DequantizeLinear")):
        one, other = (run(each, {"x": samples(2)}, name)[0] for each in (proto, written))
        np.testing.assert_array_equal(one, other, err_msg=name)
    again = open_model(written).proto
    assert again == written


def test_a_node_without_a_name_keeps_that_of_its_value() -> None:
    proto = pairs_net("none behind pools")
    for node in proto.graph.node:
        node.name = ""
    names = [layer.name for layer in read_layers(open_model(proto)).layers]
    assert names == ["x", "c1", "r1", "p1", "c2", "r2", "c3", "add", "r3", "c4", "r4", "g", "f",
                     "fc", "y"]  # fmt: skip


def test_a_model_that_is_not_quantized_stays_as_it_is() -> None:
    assert open_model(conv_net()).proto == conv_net()


def test_codes_with_a_sign_that_a_subgraph_reads() -> None:
    """A branch of an If reads what the codes stand for, which is one reader more."""
    made = build(
        CONV,
        op("QuantizeLinear", "conv scale z", "codes"),
        op("DequantizeLinear", "codes scale z", "back"),
        op("ReduceMax", "x", "top", keepdims=0),
        op("Greater", "top limit", "flag"),
        op("If", "flag", "if", **if_branches("back")),
        op("Sum", "back if", "sum"),
        scale=np.float32(0.02), z=np.int8(3), limit=np.float32(0),
    )  # fmt: skip
    assert find_signed(Graph(open_model(made))) == set()
    for memory in (None, 1):
        found = micam_fast.load_model(made, memory=memory).explain(SAMPLE)
        (expected,) = run(made, {"x": SAMPLE[np.newaxis]}, "sum", optimized=True)
        np.testing.assert_array_equal(found.output, expected[0])


@settings(max_examples=25, deadline=None)
@given(zero=st.integers(-128, 127), seed=st.integers(0, 9))
def test_codes_stand_for_the_same_numbers_without_a_sign(zero: int, seed: int) -> None:
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["codes"]),
             helper.make_node("DequantizeLinear", ["codes", "s", "z"], ["back"]),
             helper.make_node("Neg", ["back"], ["y"])]  # fmt: skip
    model = build(*nodes, s=np.float32(0.02), z=np.int8(zero))
    file = open_model(model)
    graph = Graph(file)
    assert find_signed(graph) == {"codes"}
    changed = onnx.ModelProto()
    changed.CopyFrom(file.proto)
    write_unsigned(changed, {"codes"}, graph.constants)
    sample = np.random.default_rng(seed).normal(0, 2, (1, 3, 6, 7)).astype(np.float32)
    codes, back = run(changed, {"x": sample}, "codes", "back")
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(back, run(model, {"x": sample}, "back")[0])


def test_no_pair_of_mul_and_add_is_merged_where_numbers_are_quantized() -> None:
    constants: dict[str, Any] = {"c": per_channel(5, 1, 1), "d": per_channel(5, 1, 1)}
    nodes = [CONV, op("Mul", "conv c", "mul"), op("Add", "mul d", "add")]
    axes = Axes(0, 1)
    plain = Graph(open_model(build(*nodes, **constants)))
    assert len(find_scalings(plain, lambda value: axes)) == 1
    quantized = build(*nodes, *pair("add", "codes", "y"), **constants, **UNITS)
    assert find_scalings(Graph(open_model(quantized)), lambda value: axes) == ()
