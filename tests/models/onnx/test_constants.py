"""Constants that a file computes: ONNX Runtime's numbers, whatever the operators."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import micam_fast
from micam_fast.core.errors import ModelError
from micam_fast.core.plan_cache import PlanFiles
from micam_fast.models.onnx import folding, open_model, read_layers
from micam_fast.models.onnx.cached_layers import find_layers
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.graph import Graph, Kind
from tests.helpers.comparing import assert_close
from tests.helpers.models import Array, make_model, random_array
from tests.helpers.plain_runtime import run
from tests.helpers.reference import channels_last, published_conv
from tests.helpers.timing import within

W = random_array(1, 6, 4, 3, 3)
MICROSOFT = "com.microsoft"
Made = tuple[list[onnx.NodeProto], dict[str, Any]]


def node(op: str, read: str, made: str, **given: Any) -> onnx.NodeProto:
    """A node; an underscore stands for an input that is left out."""
    names = ["" if each == "_" else each for each in read.split()]
    return helper.make_node(op, names, made.split(), **given)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def standardized(*, old: bool = False) -> Made:
    """Weight standardization, as NFNet has it: mean and variance over all but the first axis."""
    given: dict[str, Any] = {"axes": [1, 2, 3]}
    nodes = [
        node("ReduceMean", "w", "mean", **given),
        node("Sub", "w mean", "centred"),
        node("Pow", "centred two", "square") if old else node("Mul", "centred centred", "square"),
        node("ReduceMean", "square", "variance", **given),
        node("Mul", "variance fan", "scaled"),
        node("Max", "scaled least", "bounded"),
        node("Sqrt", "bounded", "deviation"),
        node("Div", "gain deviation", "factor"),
        node("Mul", "centred factor", "kernel"),
    ]
    return nodes, {
        "w": W, "two": np.float32(2), "fan": np.float32(36), "least": np.float32(1e-4),
        "gain": random_array(2, 6, 1, 1, 1),
    }  # fmt: skip


def normalized_in_training() -> Made:
    """The way timm's ScaledStdConv2d takes: a batch normalization in training mode."""
    nodes = [
        node("Reshape", "w flat", "rows"),
        node("BatchNormalization", "rows gain zero zero one", "r m v", training_mode=1),
        node("Reshape", "r whole", "kernel"),
    ]
    gain, zero, one = np.abs(random_array(3, 6)), np.zeros(6, np.float32), np.ones(6, np.float32)
    held = {"w": W, "flat": ints(1, 6, -1), "whole": ints(6, 4, 3, 3)}
    return nodes, held | {"gain": gain, "zero": zero, "one": one}


def normalized_by_instance() -> Made:
    nodes = [
        node("Reshape", "w flat", "rows"),
        node("InstanceNormalization", "rows one zero", "unit"),
        node("Shape", "w", "shape"),
        node("Reshape", "unit shape", "same"),
        node("Mul", "same gain", "kernel"),
    ]
    held = {"w": W, "flat": ints(1, 6, -1), "gain": random_array(4, 6, 1, 1, 1)}
    return nodes, held | {"one": np.ones(6, np.float32), "zero": np.zeros(6, np.float32)}


def weight_norm(op: str) -> Made:
    nodes = [node("ReduceL2", "w", "norm", axes=[1, 2, 3])]
    if op == "Sqrt":
        nodes = [node("Mul", "w w", "square"), node("ReduceSum", "square axes", "sum")]
        nodes.append(node("Sqrt", "sum", "norm"))
    nodes += [node("Div", "w norm", "unit"), node("Mul", "unit g", "kernel")]
    held = {"w": W, "g": random_array(5, 6, 1, 1, 1)}
    return nodes, held | ({"axes": ints(1, 2, 3)} if op == "Sqrt" else {})


def spectral_norm() -> Made:
    nodes = [
        node("Reshape", "w flat", "matrix"),
        node("MatMul", "matrix v", "mv"),
        node("Mul", "u mv", "product"),
        node("ReduceSum", "product", "sigma", keepdims=0),
        node("Div", "w sigma", "kernel"),
    ]
    held = {"w": W, "flat": ints(6, -1), "u": random_array(6, 6), "v": random_array(7, 36)}
    return nodes, held


def chosen() -> Made:
    """An If whose branches have other shapes."""
    value = onnx.ValueInfoProto(name="one"), onnx.ValueInfoProto(name="other")
    branches = [
        helper.make_graph([node("Neg", "w", "one")], "a", [], [value[0]]),
        helper.make_graph([node("ReduceMax", "w", "other", axes=[2, 3])], "b", [], [value[1]]),
    ]
    nodes = [
        node("Greater", "size zero", "yes"),
        node("If", "yes", "kernel", then_branch=branches[0], else_branch=branches[1]),
    ]
    return nodes, {"w": W, "size": np.float32(3), "zero": np.float32(0)}


def looped(op: str = "Loop", turns: int = 3) -> Made:
    """Power iterations, one by one."""
    state = helper.make_tensor_value_info("s", TensorProto.FLOAT, [6, 4, 3, 3])
    if op == "Scan":
        each = helper.make_tensor_value_info("e", TensorProto.FLOAT, [])
        body = helper.make_graph(
            [node("Mul", "s e", "t")], "body", [state, each], [onnx.ValueInfoProto(name="t")]
        )
        given = {"body": body, "num_scan_inputs": 1}
        return [node(op, "w list", "kernel", **given)], {"w": W, "list": random_array(8, turns)}
    inputs = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        state,
    ]
    outputs = [onnx.ValueInfoProto(name="d"), onnx.ValueInfoProto(name="t")]
    body = helper.make_graph(
        [node("Identity", "c", "d"), node("Tanh", "s", "t")], "body", inputs, outputs
    )
    nodes = [node("Add", "a a", "turns"), node(op, "turns _ w", "kernel", body=body)]
    return nodes, {"w": W, "a": np.int64(turns)}


def one(op: str, read: str, held: dict[str, Any], **given: Any) -> Made:
    return [node(op, read, "kernel", **given)], held


def determinants() -> Made:
    nodes = [
        node("Det", "w", "det"),
        node("Unsqueeze", "det axes", "four"),
        node("Expand", "four size", "kernel"),
    ]
    return nodes, {"w": W, "axes": ints(2, 3), "size": ints(6, 4, 3, 3)}


CODES = np.random.default_rng(9).integers(-9, 9, (6, 4, 3, 3)).astype(np.int8)
SCALES = np.abs(random_array(10, 6))
CASES: dict[str, tuple[Made, Sequence[int]]] = {
    "standardized": (standardized(), (8, 13, 17)),
    "standardized with Pow": (standardized(old=True), (8, 12)),
    "in training mode": (normalized_in_training(), (14, 15, 21)),
    "by instance": (normalized_by_instance(), (8, 13, 21, 22)),
    "by ReduceL2": (weight_norm("ReduceL2"), (8, 11, 17)),
    "by Sqrt": (weight_norm("Sqrt"), (13, 18, 21, 23)),
    "spectral": (spectral_norm(), (8, 12, 13, 22)),
    "ConstantOfShape": (one("ConstantOfShape", "s", {"s": ints(6, 4, 3, 3)}), (9, 20, 24)),
    "Einsum": (
        one("Einsum", "w m", {"w": W, "m": random_array(11, 4, 4)}, equation="oihw,ij->ojhw"),
        (12, 22),
    ),
    "Resize": (
        one("Resize", "w _ s", {"w": W, "s": np.array([1, 1, 2, 2], np.float32)}, mode="cubic"),
        (13, 19),
    ),
    "If": (chosen(), (11, 13, 16)),
    "Loop": (looped(), (13, 16, 21)),
    "Scan": (looped("Scan"), (11, 16, 21)),
    "per channel": (
        one("DequantizeLinear", "q s", {"q": CODES, "s": SCALES}, axis=0), (13, 19, 21),
    ),
    "by blocks": (
        one("DequantizeLinear", "q s", {"q": CODES, "s": np.abs(random_array(12, 6, 2, 3, 3))},
            axis=1, block_size=2), (21, 23),
    ),
    "of four bits": (
        one("DequantizeLinear", "q s", {"q": CODES.clip(-8, 7).astype(ml_dtypes.int4),
                                        "s": SCALES}, axis=0), (21, 24),
    ),
    "bfloat16": (one("Cast", "w", {"w": W.astype(ml_dtypes.bfloat16)}, to=1), (13, 21)),
    "float16": (one("Cast", "w", {"w": W.astype(np.float16)}, to=1), (8, 13, 21)),
    "double": (one("Cast", "w", {"w": W.astype(np.float64)}, to=1), (8, 13, 21)),
    "float8": (
        one("DequantizeLinear", "q s", {"q": W.astype(ml_dtypes.float8_e4m3fn),
                                        "s": np.float32(0.5)}), (19, 21),
    ),
    "ScatterND": (
        one("ScatterND", "w i u", {"w": W, "i": ints(0, 5).reshape(2, 1),
                                   "u": random_array(13, 2, 4, 3, 3)}), (13, 18),
    ),
    "Det": (determinants(), (13, 22)),
}  # fmt: skip


def build(made: Made, opset: int = 13) -> onnx.ModelProto:
    """A convolution with the kernel that is made."""
    nodes, held = made
    nodes = [*nodes, helper.make_node("Conv", ["x", "kernel"], ["y"], name="conv")]
    return make_model(nodes, {"x": ["N", 4, 9, 9]}, ["y"], held, opset=opset)


def x() -> Array:
    return random_array(20, 4, 9, 9)


@pytest.mark.parametrize(
    ("made", "opset"),
    [
        pytest.param(made, opset, id=f"{name}-{opset}")
        for name, (made, opsets) in CASES.items()
        for opset in opsets
    ],
)
def test_a_kernel_that_the_file_computes(made: Made, opset: int) -> None:
    model = build(made, opset)
    # As the model runs: the bare session overwrites constants that a batch normalization shares.
    (expected,) = run(model, {"x": x()[None]}, "kernel", optimized=True)
    graph = read_layers(open_model(model))
    kernel, bias = graph.weights("conv")
    np.testing.assert_array_equal(kernel, expected)
    assert bias is None
    assert graph.layer("conv").kernel_shape == expected.shape
    assert [layer.name for layer in graph.layers] == ["x", "conv"]


def test_a_kernel_by_an_operator_of_the_runtime() -> None:
    model = build(([node("Gelu", "w", "kernel")], {"w": W}), 20)
    model.graph.node[0].op_type, model.graph.node[0].domain = "QuickGelu", MICROSOFT
    model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    (expected,) = run(model, {"x": x()[None]}, "kernel")
    np.testing.assert_array_equal(read_layers(open_model(model)).weights("conv")[0], expected)


def test_the_map_is_that_of_the_numbers_in_the_kernel() -> None:
    made = normalized_in_training()
    model = build(made, 15)
    kernel, activation = run(model, {"x": x()[None]}, "kernel", "y", optimized=True)
    found = micam_fast.explain(model, x()).cams["conv"]
    expected = published_conv(channels_last(activation), kernel.transpose(2, 3, 1, 0), None)
    assert_close(found, expected)


def test_a_bias_that_the_file_computes() -> None:
    nodes = [
        node("ReduceLogSumExp", "w", "logs", axes=[1, 2, 3], keepdims=0),
        node("Conv", "x w logs", "y", name="conv"),
    ]
    model = make_model(nodes, {"x": ["N", 4, 9, 9]}, ["y"], {"w": W})
    (expected,) = run(model, {"x": x()[None]}, "logs")
    np.testing.assert_array_equal(read_layers(open_model(model)).weights("conv")[1], expected)


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, np.float16, ml_dtypes.float8_e5m2])
def test_computed_numbers_of_other_types(kind: Any) -> None:
    code = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    nodes = [node("Cast", "w", "c", to=code), node("Relu", "x", "y")]
    model = make_model(nodes, {"x": [1]}, ["y"], {"w": W}, opset=19)
    found = Constants(open_model(model)).array("c")
    assert found.dtype == kind
    np.testing.assert_array_equal(found, W.astype(kind))


def test_numbers_in_files_beside_the_model(tmp_path: Path) -> None:
    """Those of initializers, of Constant nodes and in the bodies of others."""
    tensor = numpy_helper.from_array(random_array(14, 6, 1, 1, 1), "")
    nodes, held = weight_norm("ReduceL2")
    nodes.insert(0, node("Constant", "", "g", value=tensor))
    branches = []
    for name in ("one", "other"):
        value, out = node("Constant", "", name, value=tensor), onnx.ValueInfoProto(name=name)
        branches.append(helper.make_graph([value], "branch", [], [out]))
    nodes[-1] = node("Mul", "unit g", "gained")
    nodes.append(node("If", "yes", "more", then_branch=branches[0], else_branch=branches[1]))
    nodes.append(node("Mul", "gained more", "kernel"))
    model = build((nodes, {"w": held["w"], "yes": np.array(True)}))
    (expected,) = run(model, {"x": x()[None]}, "kernel")
    path = tmp_path / "model.onnx"
    onnx.save(
        model, path, save_as_external_data=True, location="data", size_threshold=0,
        convert_attribute=True,
    )  # fmt: skip
    bodies = path.read_bytes()
    assert held["w"].tobytes() not in bodies
    np.testing.assert_array_equal(read_layers(open_model(path)).weights("conv")[0], expected)


def test_sparse_numbers() -> None:
    values = helper.make_tensor("s", TensorProto.FLOAT, [2], [1.0, 2.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [2], [3, 7])
    nodes, _ = one("Neg", "s", {})
    model = build((nodes, {"w": W}))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, W.shape))
    expected = np.zeros(W.size, np.float32)
    expected[[3, 7]] = -1, -2
    kernel, _ = read_layers(open_model(model)).weights("conv")
    np.testing.assert_array_equal(kernel, expected.reshape(W.shape))


# --- What is no constant -----------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True])
def test_random_numbers_are_no_constants(inside: bool) -> None:
    noise = node("RandomUniformLike", "w", "noise")
    if inside:
        out = onnx.ValueInfoProto(name="noise")
        body = helper.make_graph([noise], "b", [], [out])
        noise = node("If", "yes", "noise", then_branch=body, else_branch=body)
    made = [noise, node("Add", "w noise", "kernel")], {"w": W, "yes": np.array(True)}
    graph = read_layers(open_model(build(made)))
    assert graph.layer("conv").kernel_shape is None
    assert graph.graph.kind["kernel"] is Kind.ACTIVATION
    assert not graph.graph.is_known("kernel")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("computed", [False, True])
def test_weights_are_dropped_in_training_alone(training: bool, computed: bool) -> None:
    nodes = [node("Dropout", "w ratio mode", "kernel")]
    if computed:
        # What is not simply there is not trusted.
        nodes = [node("Not", "no", "mode"), *nodes]
    held = {"w": W, "ratio": np.float32(0.5), "no" if computed else "mode": np.array(training)}
    graph = Graph(open_model(build((nodes, held))))
    assert graph.is_known("kernel") is (not training and not computed)


# --- Bounds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["Loop", "Scan"])
def test_long_loops_are_not_run(op: str) -> None:
    model = build(looped(op, 10**6), 16)
    with within(1):
        graph = Graph(open_model(model))
        assert not graph.is_known("kernel")
        with pytest.raises(ModelError, match=r"'kernel' .*a loop of it may run more than 100,000"):
            graph.array("kernel")


def test_a_loop_in_a_loop_is_not_run() -> None:
    (_, outer), held = looped()
    body = outer.attribute[0].g
    inner = node("Loop", "i _ s", "t", body=looped()[0][1].attribute[0].g)
    inner.attribute[0].g.CopyFrom(
        helper.make_graph(
            [node("Identity", "c2", "d2"), node("Tanh", "s2", "t2")],
            "inner",
            [
                helper.make_tensor_value_info("i2", TensorProto.INT64, []),
                helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
                helper.make_tensor_value_info("s2", TensorProto.FLOAT, [6, 4, 3, 3]),
            ],
            [onnx.ValueInfoProto(name="d2"), onnx.ValueInfoProto(name="t2")],
        )
    )
    body.node[1].CopyFrom(inner)
    nodes = [*looped()[0][:1], outer]
    graph = Graph(open_model(build((nodes, held), 16)))
    assert not graph.is_known("kernel")


def test_memory_is_bounded_where_no_size_is_known_before() -> None:
    """What lies in between counts, too: a terabyte whose mean is one number."""
    nodes = [
        node("Mod", "sizes big", "hidden"),
        node("ConstantOfShape", "hidden", "grown"),
        node("ReduceMean", "grown", "mean", keepdims=0),
        node("Mul", "w mean", "kernel"),
    ]
    held = {"w": W, "sizes": ints(10**6, 10**6), "big": np.int64(10**15)}
    graph = Graph(open_model(build((nodes, held))))
    with pytest.raises(ModelError, match=r"cannot compute 'kernel' \(Mul\): it takes more than"):
        graph.array("kernel")


def test_many_constants_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "largest_folded", lambda: 3 * W.nbytes)
    nodes = [node("Neg", "w", f"n{n}") for n in range(5)]
    nodes.append(node("Sum", " ".join(["x", *(f"n{n}" for n in range(5))]), "y"))
    constants = Constants(open_model(make_model(nodes, {"x": W.shape}, ["y"], {"w": W})))
    known = [constants.is_computed(f"n{n}") for n in range(5)]
    assert known == [True] * 3 + [False] * 2


def test_texts_are_not_multiplied() -> None:
    """They lie beside the memory that is bounded."""
    nodes = [
        node("Expand", "text size", "many"),
        node("Equal", "many many", "same"),
        node("Cast", "same", "kernel", to=1),
    ]
    held = {"text": np.array(["a" * 10**6], object), "size": ints(6, 4, 3, 3)}
    graph = Graph(open_model(build((nodes, held), 19)))
    with pytest.raises(ModelError, match="it is made of texts"):
        graph.array("kernel")


def test_one_that_fails_does_not_stop_the_others() -> None:
    nodes = [
        node("Gather", "w far", "kernel"),
        node("Neg", "w", "good"),
        node("Conv", "x good", "z", name="other"),
    ]
    graph = read_layers(open_model(build((nodes, {"w": W, "far": ints(7, 8, 9, 10, 11, 12)}))))
    np.testing.assert_array_equal(graph.graph.array("good"), -W)
    assert not graph.graph.is_known("kernel")


def test_very_many_that_fail_are_given_up_soon() -> None:
    held = {"w": W, "far": ints(7)}
    nodes = [node("Gather", "w far", f"g{n}") for n in range(5_000)]
    nodes += [node("Add", f"x g{n}", f"y{n}") for n in range(5_000)]
    model = make_model(nodes, {"x": W.shape}, [f"y{n}" for n in range(5_000)], held)
    constants = Constants(open_model(model))
    with within(5):
        assert not any(constants.is_computed(f"g{n}") for n in range(5_000))


# --- One session, and what is kept -------------------------------------------------------------


def stacked(count: int) -> onnx.ModelProto:
    """So many convolutions with standardized kernels."""
    nodes: list[onnx.NodeProto] = []
    held: dict[str, Array] = {}
    for index in range(count):
        part, own = standardized()
        for each in part:
            for names in (each.input, each.output):
                names[:] = [f"{name}{index}" for name in names]
        nodes += part
        held |= {f"{name}{index}": array for name, array in own.items()}
        nodes.append(node("Conv", f"x kernel{index}", f"y{index}", name=f"conv{index}"))
    outputs = [f"y{index}" for index in range(count)]
    return make_model(nodes, {"x": ["N", 4, 9, 9]}, outputs, held)


def test_all_are_computed_in_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    honest = onnxruntime.InferenceSession
    read_layers(open_model(stacked(1)))

    def session(*args: Any, **given: Any) -> Any:
        opened.append(args)
        return honest(*args, **given)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    graph = read_layers(open_model(stacked(50)))
    assert all(layer.kernel_shape == W.shape for layer in graph.layers[1:])
    assert len(opened) == 1


def test_known_layers_do_not_depend_on_the_numbers_of_a_computed_kernel(tmp_path: Path) -> None:
    files = PlanFiles(tmp_path)
    model = build(
        (
            [node("Tile", "w twos", "kernel")],
            {"w": random_array(1, 64, 4, 3, 3), "twos": ints(1, 1, 1, 1)},
        )
    )
    first = find_layers(open_model(model), files)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    changed = random_array(2, 64, 4, 3, 3)
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(changed, "w"))
    second = find_layers(open_model(other), files)
    assert second.reading == first.reading
    assert len(list(tmp_path.iterdir())) == 1
    np.testing.assert_array_equal(second.weights("conv")[0], changed)


def test_memory_goes_back_to_the_machine() -> None:
    program = """
import numpy as np
from onnx import ValueInfoProto, helper
from micam_fast.models.onnx import OnnxFile
from micam_fast.models.onnx.folding import compute

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

node = helper.make_node("ConstantOfShape", ["size"], ["all"])
graph = helper.make_graph([node], "net", [], [ValueInfoProto(name="all")])
proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
model = OnnxFile(proto, "net", None)
compute(model, {"size": np.array([10])}, ["all"])
before = held()
assert compute(model, {"size": np.array([10**8])}, ["all"])["all"].nbytes == 4 * 10**8
assert held() < before + 10**8, held() - before
"""
    subprocess.run([sys.executable, "-c", program], check=True)
