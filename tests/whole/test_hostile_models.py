"""ONNX files from anyone: each is read, or refused in one clear line, in little time and memory."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import micam_fast
from micam_fast.core.errors import ModelError
from micam_fast.core.layers import Axes
from micam_fast.models.onnx import limits, open_model, read_layers
from micam_fast.models.onnx.axes import infer_axes
from micam_fast.models.onnx.costs import count_parameters
from micam_fast.models.onnx.graph import Graph
from tests.helpers.models import conv_net, make_model, random_array
from tests.helpers.timing import within

Change = Callable[[onnx.ModelProto], object]


def refuse(model: onnx.ModelProto | Path, match: str, seconds: float = 5) -> None:
    """Loading raises one line that says this, soon."""
    with within(seconds), pytest.raises(ModelError, match=match) as raised:
        micam_fast.load_model(model, threads=1)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1000
    # Checks of our own, not the net below them.
    assert "its graph is broken" not in str(raised.value)


def invalid(message: Any, field: str) -> None:
    """Put bytes that are no UTF-8 where a text belongs."""
    setattr(message, field, "\x01\x02\x03")
    content = message.SerializeToString()
    message.ParseFromString(content.replace(b"\x01\x02\x03", b"\xff\xfe\xfd"))


def conv(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == "Conv")


def weight(model: onnx.ModelProto) -> onnx.TensorProto:
    return model.graph.initializer[0]


def attribute(model: onnx.ModelProto, name: str) -> onnx.AttributeProto:
    return next(each for each in conv(model).attribute if each.name == name)


def external(model: onnx.ModelProto, **entries: str) -> None:
    tensor = weight(model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


def set_attribute(name: str, *values: Any) -> Change:
    """Give the convolution another attribute of this name."""

    def change(model: onnx.ModelProto) -> None:
        node = conv(model)
        kept = [each for each in node.attribute if each.name != name]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.attribute.extend(helper.make_attribute(name, value) for value in values)

    return change


def add_sparse(*dims: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        parts = (
            helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0]),
            helper.make_tensor("i", TensorProto.INT64, [1], [0]),
        )
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(*parts, dims))

    return change


def nested(depth: int) -> onnx.GraphProto:
    """A body of an If in a body of an If ..."""
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["o"])], "b", [], [out])
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["o"], then_branch=body, else_branch=body)
        del node.attribute[1:]
        body = helper.make_graph([node], "b", [], [out])
    return body


CHANGES: dict[str, tuple[Change, str]] = {
    "operator's type": (lambda m: invalid(m.graph.node[0], "op_type"), "no UTF-8 text"),
    "operator's name": (lambda m: invalid(m.graph.node[0], "name"), "no UTF-8 text"),
    "attribute's name": (lambda m: invalid(m.graph.node[0].attribute[0], "name"), "no UTF-8"),
    "weight's name": (lambda m: invalid(weight(m), "name"), "no UTF-8 text"),
    "input's name": (lambda m: invalid(m.graph.input[0], "name"), "no UTF-8 text"),
    "graph's name": (lambda m: invalid(m.graph, "name"), "no UTF-8 text"),
    "domain": (lambda m: invalid(m.opset_import[0], "domain"), "no UTF-8 text"),
    "long name": (
        lambda m: setattr(m.graph.node[0], "name", "n" * 10**6),
        "has 1,000,000 characters, and at most 2,000",
    ),
    "opset 0": (lambda m: setattr(m.opset_import[0], "version", 0), "opset 0 is none"),
    "opset 10**9": (lambda m: setattr(m.opset_import[0], "version", 10**9), "opset 1000000000"),
    "two opsets": (lambda m: m.opset_import.add(domain="ai.onnx", version=7), "one of two"),
    "unknown operator": (
        lambda m: setattr(conv(m), "op_type", "Convolve"),
        "onnxruntime refuses .*Convolve",
    ),
    "unknown domain": (lambda m: setattr(conv(m), "domain", "evil"), "onnxruntime refuses .*evil"),
    "no outputs": (lambda m: conv(m).output.pop(), "has no output"),
    "no inputs": (lambda m: conv(m).ClearField("input"), "reads 0 values .* no Conv does"),
    "output twice": (
        lambda m: m.graph.node[1].output.__setitem__(0, m.graph.node[0].output[0]),
        "is made twice",
    ),
    "output over a weight": (
        lambda m: m.graph.node[1].output.__setitem__(0, weight(m).name),
        "is made twice",
    ),
    "a circle": (
        lambda m: m.graph.node[0].input.__setitem__(0, m.graph.node[1].output[0]),
        "which no earlier node makes",
    ),
    "reads nothing": (
        lambda m: m.graph.node[1].input.__setitem__(0, "nowhere"),
        "reads 'nowhere', which no earlier node makes",
    ),
    "output of nothing": (lambda m: setattr(m.graph.output[0], "name", "z"), "no node makes"),
    "input twice": (lambda m: m.graph.input.append(m.graph.input[0]), "two inputs"),
    "input without a name": (lambda m: m.graph.input.add(), "has no name"),
    "input of no type": (
        lambda m: m.graph.input[0].type.tensor_type.ClearField("elem_type"),
        "no element type that is known",
    ),
    "huge input": (
        lambda m: m.graph.input[0].CopyFrom(
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 10**6, 10**6])
        ),
        "would take .* GiB, more than half of this machine's memory",
    ),
    "huge batch": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 10**6),
        "1,000,000 samples in the fixed batch of input .* at most 4,096",
    ),
    "axes": (
        lambda m: [m.graph.input[0].type.tensor_type.shape.dim.add() for _ in range(100_000)],
        "100,004 axes",
    ),
    "wrong kind": (set_attribute("strides", 2), "is of the type INT, and Conv takes INTS"),
    "no kind": (lambda m: attribute(m, "pads").ClearField("type"), "not of the type that it says"),
    "other field": (lambda m: attribute(m, "pads").t.SetInParent(), "not of the type that it"),
    "attribute twice": (set_attribute("group", 1, 1), "has an attribute twice"),
    "reference": (
        lambda m: setattr(attribute(m, "pads"), "ref_attr_name", "p"),
        "is to come from a function's call",
    ),
    "many strides": (set_attribute("strides", [1] * 10**5), "has 100,000 numbers, for at most 64"),
    "odd strides": (set_attribute("strides", [1, 1, 1]), "a geometry for other than 2 axes"),
    "strides of 0": (set_attribute("strides", [0, 1]), "that no convolution has"),
    "pads below 0": (set_attribute("pads", [0, 0, 0, -5]), "that no convolution has"),
    "huge pads": (set_attribute("pads", [2**62] * 4), "that no convolution has"),
    "huge dilations": (set_attribute("dilations", [2**62, 1]), "that no convolution has"),
    "groups": (set_attribute("group", -1), "-1 groups"),
    "auto_pad": (set_attribute("auto_pad", b"\xff\xfe"), "onnxruntime refuses"),
    "kernel's shape": (set_attribute("kernel_shape", [2**40, 1]), "onnxruntime refuses"),
    "flat kernel": (
        lambda m: weight(m).dims.__setitem__(slice(None), [weight(m).dims[0] * 9]),
        r"has a kernel of shape \[.*, where at least 3 axes",
    ),
    "dims below 0": (lambda m: weight(m).dims.append(-1), "has the shape .*-1"),
    "terabytes": (lambda m: weight(m).dims.append(10**12), "where 1?[0-9]* are expected"),
    "short data": (lambda m: setattr(weight(m), "raw_data", b"123"), "holds 3 numbers or bytes"),
    "type of data": (lambda m: setattr(weight(m), "data_type", 99), "unknown element type 99"),
    "dense terabytes": (add_sparse(10**6, 10**6), "more than half of this machine's memory"),
    "sparse below 0": (add_sparse(-1), "has the shape"),
    "deep": (
        lambda m: m.graph.node[0].attribute.append(helper.make_attribute("body", nested(24))),
        "graphs within each other, and at most 16",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_not_as_onnx_defines_it(name: str) -> None:
    change, match = CHANGES[name]
    model = conv_net()
    micam_fast.load_model(model, threads=1)
    change(model)
    refuse(model, match)


# --- What makes much from little ---------------------------------------------------------------


GROWING: dict[str, list[Any]] = {
    "ConstantOfShape": [[10**6, 10**6]],
    "Expand": [np.ones(1, np.float32), [10**6, 10**6]],
    "Tile": [np.ones((1, 1), np.float32), [10**6, 10**6]],
    "Range": [0, 10**12, 1],
}


@pytest.mark.parametrize("op", GROWING)
@pytest.mark.parametrize("hidden", [False, True])
def test_constants_that_grow(op: str, hidden: bool) -> None:
    """ONNX Runtime may compute them when it opens the model; so may we, for a kernel."""
    arrays = [np.asarray(each) for each in GROWING[op]]
    names = [f"c{place}" for place in range(len(arrays))]
    constants: dict[str, Any] = dict(zip(names, arrays, strict=True))
    nodes = []
    if hidden:
        # Behind this one, inference loses sight of the numbers.
        large = 1 if op == "Range" else len(arrays) - 1
        nodes.append(helper.make_node("Mod", [names[large], "big"], ["m"]))
        names[large] = "m"
        constants["big"] = np.int64(10**15)
    nodes += [
        helper.make_node(op, names, ["grown"]),
        helper.make_node("ReduceMean", ["grown"], ["mean"], keepdims=0),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    model = make_model(nodes, {"x": [1, 2, 4, 4]}, ["y"], constants)
    if not hidden:
        refuse(model, "'grown' of .* would take .* more than half of this machine's memory")
        return
    graph = Graph(open_model(model))
    assert not graph.is_known("grown")


def test_a_kernel_out_of_a_loop_is_not_computed_here() -> None:
    """A loop of 10**15 turns would have no end; only ONNX Runtime runs loops."""
    true = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    value = helper.make_tensor_value_info("v", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [helper.make_node("Identity", [a], [b]) for a, b in (("c", "d"), ("v", "w"))],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), true, value],
        [onnx.ValueInfoProto(name="d"), onnx.ValueInfoProto(name="w")],
    )
    nodes = [
        helper.make_node("Loop", ["trips", "", "k"], ["kernel"], body=body),
        helper.make_node("Conv", ["x", "kernel"], ["y"]),
    ]
    constants = {"trips": np.int64(10**15), "k": random_array(1, 3, 2, 1, 1)}
    model = make_model(nodes, {"x": [1, 2, 4, 4]}, ["y"], constants)
    with within(1):
        graph = Graph(open_model(model))
        assert not graph.is_known("kernel")


def function_model(calls: dict[str, list[str]], first: str) -> onnx.ModelProto:
    """A model of functions that call each other; one that calls nothing is a Relu."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for name, called in calls.items():
        values = ["a", *(f"{name}{n}" for n in range(len(called) or 1))]
        nodes = [
            helper.make_node(each, [values[n]], [values[n + 1]], domain="own" if called else "")
            for n, each in enumerate(called or ["Relu"])
        ]
        functions.append(helper.make_function("own", name, ["a"], values[-1:], nodes, opsets))
    graph = helper.make_graph(
        [helper.make_node(first, ["x"], ["y"], domain="own")],
        "functions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=8)


def chain_of_calls(length: int, times: int) -> dict[str, list[str]]:
    return {f"f{n}": [f"f{n + 1}"] * times for n in range(length)} | {f"f{length}": []}


def test_functions_that_call_others_are_inlined() -> None:
    found = micam_fast.load_model(function_model(chain_of_calls(5, 2), "f0"), threads=1)
    assert [layer.op_type for layer in found.layers] == ["Input"] + ["Relu"] * 32


@pytest.mark.parametrize(
    ("calls", "match"),
    [
        ({"f": ["f"]}, "function 'f' calls itself"),
        ({"f": ["g"], "g": ["h"], "h": ["f"]}, "calls itself"),
        (chain_of_calls(60, 2), "operators once its functions are inlined, and at most 25,000"),
        (chain_of_calls(30, 10), "operators once its functions are inlined"),
        (chain_of_calls(5000, 1), "5,001 functions that call each other in turn, and at most 64"),
    ],
    ids=["itself", "a circle", "doubling", "tenfold", "a chain"],
)
def test_functions_without_an_end(calls: dict[str, list[str]], match: str) -> None:
    refuse(function_model(calls, next(iter(calls))), match)


def test_a_function_twice() -> None:
    model = function_model({"f": []}, "f")
    model.functions.append(model.functions[0])
    refuse(model, "defines a function twice")


def test_data_beside_a_model_in_a_function_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4))
    folder = tmp_path / "folder"
    folder.mkdir()
    model = function_model({"f": []}, "f")
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    model.functions[0].node.append(helper.make_node("Constant", [], ["s"], value=tensor))
    onnx.save(model, folder / "net.onnx")
    refuse(folder / "net.onnx", "outside the model's own folder")


def test_lists_of_sizes_that_grow() -> None:
    """Inference follows such a list number by number: 4 * 10**9 took all memory."""
    nodes = [helper.make_node("Shape", ["x"], ["s0"])]
    for n in range(9):
        nodes.append(helper.make_node("Concat", [f"s{n}"] * 10, [f"s{n + 1}"], axis=0))
    nodes.append(helper.make_node("Relu", ["x"], ["y"]))
    model = make_model(nodes[-1:], {"x": [1, 2, 4, 4]}, ["y"])
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    refuse(model, "'s9' of 4000000000 would take 29.8 GiB")


@pytest.mark.parametrize("op", ["Reshape", "Expand"])
def test_more_axes_than_there_are(op: str) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["sizes"]),
        helper.make_node(op, ["x", "sizes"], ["y"]),
    ]
    model = make_model(nodes, {"x": [1, 2, 4, 4]}, ["y"], {"n": np.array([10**8])})
    model.graph.node[0].attribute.append(
        helper.make_attribute("value", numpy_helper.from_array(np.array([1])))
    )
    refuse(model, "reads 100,000,000 sizes, and a value has at most 64 axes")


def test_more_outputs_than_there_are() -> None:
    nodes = [helper.make_node("Split", ["x"], ["y"], axis=1, num_outputs=10**8)]
    model = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 2, 4, 4]}, ["y"])
    model.opset_import[0].version = 18
    model.graph.node[0].CopyFrom(nodes[0])
    refuse(model, "splits into 100,000,000 values and gives 1")


# --- Very many ---------------------------------------------------------------------------------


def repeated(field: int, message: Any, count: int) -> bytes:
    """A graph's field that many times, as protocol buffers write it."""
    content: bytes = message.SerializeToString()
    assert len(content) < 128
    return (bytes([field << 3 | 2, len(content)]) + content) * count


MANY = {
    "nodes": (1, helper.make_node("Relu", ["x"], ["y"]), "operators, and at most 25,000"),
    "initializers": (
        5,
        numpy_helper.from_array(np.ones((), np.float32), "w"),
        "weights, inputs and outputs, and at most 250,000",
    ),
    "inputs": (11, onnx.ValueInfoProto(name="x"), "weights, inputs and outputs, and at most"),
}


@pytest.mark.parametrize("what", MANY)
def test_a_million(what: str, tmp_path: Path) -> None:
    field, message, match = MANY[what]
    graph = conv_net().graph.SerializeToString() + repeated(field, message, 10**6)
    model = onnx.ModelProto(ir_version=8, opset_import=[helper.make_opsetid("", 13)])
    content = model.SerializeToString()
    size = len(graph)
    length = bytearray()
    while size:
        length.append(size & 127 | (128 if size > 127 else 0))
        size >>= 7
    path = tmp_path / "net.onnx"
    path.write_bytes(content + bytes([7 << 3 | 2]) + length + graph)
    refuse(path, f"1,000,00[0-9] {match}|1,000,01[0-9] {match}")


def test_thousands_of_layers_open() -> None:
    """Real models have up to some 5,000 operators."""
    names = ["x", *(f"v{n}" for n in range(4000))]
    nodes = [helper.make_node("Relu", [a], [b]) for a, b in itertools.pairwise(names)]
    with within(5):
        found = read_layers(open_model(make_model(nodes, {"x": [1, 2, 4, 4]}, names[-1:])))
    assert len(found.layers) == 4001


def test_long_bookkeeping_is_seen_through_once() -> None:
    """Thousands of layers that read the end of a long chain: not the product of both."""
    chain = ["x", *(f"i{n}" for n in range(3000))]
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in itertools.pairwise(chain)]
    ends = [f"r{n}" for n in range(3000)]
    nodes += [helper.make_node("Relu", [chain[-1]], [end]) for end in ends]
    with within(5):
        found = read_layers(open_model(make_model(nodes, {"x": [1, 2, 4, 4]}, ends)))
    assert {layer.inputs for layer in found.layers[1:]} == {("x",)}


def test_edges_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micam_fast.models.onnx.reader.MOST_EDGES", 3)
    with pytest.raises(ModelError, match="edges between layers, and at most 3 are read"):
        read_layers(open_model(conv_net()))


def zigzag(count: int) -> Graph:
    """What is known of axes wanders forwards and backwards by turns, and turns with each step."""
    last = "c"
    nodes = []
    for n in range(count):
        nodes.append(helper.make_node("Abs", [f"in{n}"], [f"abs{n}"]))
        nodes.append(helper.make_node("Transpose", [f"in{n}"], [f"turn{n}"], perm=TURN))
    nodes.append(helper.make_node("Conv", ["x", "k"], ["c"]))
    for n in range(count - 1, -1, -1):
        nodes.append(helper.make_node("Add", [last, f"turn{n}"], [f"s{n}"]))
        last = f"abs{n}"
    inputs = {name: [1, 4, 4, 4] for name in ("x", *(f"in{n}" for n in range(count)))}
    outputs = [f"s{n}" for n in range(count)]
    model = make_model(nodes, inputs, outputs, {"k": random_array(1, 4, 4, 1, 1)})
    return Graph(open_model(model))


TURN = [0, 2, 3, 1]


def test_axes_go_to_and_fro_in_little_time() -> None:
    graph = zigzag(20)
    found = infer_axes(graph)
    expected = by_sweeps(graph)
    assert len(expected) == 4 * 20 + 2
    assert set(expected.values()) == {1, 2, 3}
    assert found.axes == {name: Axes(0, channel) for name, channel in expected.items()}
    assert not any(found.reason(name).contradiction for name in expected)
    graph = zigzag(500)
    assert graph.shape("x")
    with within(1):
        found = infer_axes(graph)
    assert len(found.axes) == 4 * 500 + 2
    assert all(found.has_channels(name) for name in found.axes)


def by_sweeps(graph: Graph) -> dict[str, int]:
    """Channels by the definition: all nodes, forwards and backwards, until nothing changes."""
    found = {"x": 1, "c": 1}
    before: dict[str, int] = {}
    while found != before:
        before = dict(found)
        for node in graph.nodes:
            (made,), read = node.output, [name for name in node.input if name != "k"]
            order = TURN if node.op_type == "Transpose" else range(4)
            for name in read if node.op_type != "Conv" else ():
                if name in found:
                    found.setdefault(made, list(order).index(found[name]))
                if made in found:
                    found.setdefault(name, list(order)[found[made]])
    return found


def test_constants_made_of_themselves_again_and_again() -> None:
    """2**60 ways from the end to the start."""
    nodes = [helper.make_node("Add", [f"k{n}", f"k{n}"], [f"k{n + 1}"]) for n in range(60)]
    nodes.append(helper.make_node("Conv", ["x", "k60"], ["y"], name="conv"))
    constants = {"k0": np.zeros((3, 2, 1, 1), np.float32)}
    model = make_model(nodes, {"x": [1, 2, 4, 4]}, ["y"], constants)
    assert count_parameters(read_layers(open_model(model)))["conv"] == 6


# --- Files -------------------------------------------------------------------------------------


def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    refuse(tmp_path / "pipe.onnx", "it is a pipe or a device, not a file")
    refuse(Path("/dev/zero"), "it is a pipe or a device, not a file")
    refuse(Path("a\0b.onnx"), "cannot read model .*: embedded null")
    with (tmp_path / "zeros.onnx").open("wb") as file:
        file.truncate(2**20)
    refuse(tmp_path / "zeros.onnx", "is not an ONNX file")
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(2**40)
    refuse(tmp_path / "large.onnx", "it has 1,099,511,627,776 bytes, and one ends at 2,147,483,648")
    (tmp_path / "text.onnx").write_text(str(conv_net()))
    refuse(tmp_path / "text.onnx", "is not an ONNX file")
    (tmp_path / "flat.ort").write_bytes(b"\x20\0\0\0ORTM" + bytes(100))
    refuse(tmp_path / "flat.ort", "is not an ONNX file")


EXTERNAL = {
    "a device": ({"location": "/dev/zero"}, "outside the model's own folder"),
    "a pipe": ({"location": "pipe"}, "missing beside the model"),
    "the folder": ({"location": "."}, "missing beside the model"),
    "nothing": ({}, "outside the model's own folder"),
    "memory": ({"location": "*/_ORT_MEM_ADDR_/*"}, "outside the model's own folder"),
    "a zero": ({"location": "data\0"}, "outside the model's own folder"),
    "a circle": ({"location": "circle"}, "outside the model's own folder"),
    "long": ({"location": "x" * 10**5}, "outside the model's own folder|missing"),
    "offset": ({"location": "data", "offset": str(2**70)}, "ends beyond its file"),
    "before": ({"location": "data", "offset": "-4"}, "ends beyond its file"),
    "length": ({"location": "data", "length": str(2**70)}, "and its external data has"),
    "no number": ({"location": "data", "offset": "many"}, "bad external data entry"),
    "digits": ({"location": "data", "offset": "9" * 10**5}, "bad external data entry"),
}


@pytest.mark.parametrize("name", EXTERNAL)
def test_places_of_external_data(name: str, tmp_path: Path) -> None:
    entries, match = EXTERNAL[name]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "data").write_bytes(bytes(10_000))
    (tmp_path / "*" / "_ORT_MEM_ADDR_").mkdir(parents=True)
    (tmp_path / "*" / "_ORT_MEM_ADDR_" / "*").write_bytes(bytes(10_000))
    model = conv_net()
    external(model, **entries)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    refuse(tmp_path / "net.onnx", match)


def test_external_data_in_two_places(tmp_path: Path) -> None:
    """One reader may take the first, another one the last."""
    (tmp_path / "data").write_bytes(bytes(10_000))
    model = conv_net()
    external(model, location="data")
    weight(model).external_data.add(key="location", value="/etc/hostname")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    refuse(tmp_path / "net.onnx", "says twice where its external data is")


def test_graphs_of_a_training_are_left_out(tmp_path: Path) -> None:
    model = conv_net()
    other = conv_net()
    external(other, location="/etc/hostname")
    model.training_info.add().algorithm.CopyFrom(other.graph)
    assert not open_model(model).proto.training_info


# --- What an export writes ---------------------------------------------------------------------


NOTES = [
    "[" * 10**5,
    '{"format": 1, "layers": ' + "[" * 10**5,
    "NaN",
    '{"format": 1}',
    '"x"',
    "1" * 5000,
    '{"format": 1, "layers": [{"layer": 1}]}',
    '{"format": 1, "layers": []}',
]


@pytest.mark.parametrize("text", NOTES, ids=range(len(NOTES)))
def test_notes_from_anyone(text: str) -> None:
    model = conv_net()
    model.metadata_props.add(key="micam_fast.layers", value=text)
    refuse(model, "what the export wrote of its layers")


def test_notes_beyond_all_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("micam_fast.models.onnx.reader.LONGEST_NOTES", 10)
    model = conv_net()
    model.metadata_props.add(key="micam_fast.layers", value="x" * 11)
    refuse(model, "has 11 characters in what the export wrote of its layers, and at most 10")


# --- No leftovers ------------------------------------------------------------------------------


def test_a_command_says_one_line_and_writes_nothing(tmp_path: Path) -> None:
    model = conv_net()
    invalid(model.graph.node[0], "op_type")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "one.npy", random_array(1, 1, 8, 6))
    found = subprocess.run(
        [sys.executable, "-m", "micam_fast", "plot", "net.onnx", "one.npy", "--output-dir", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.startswith("micam-fast: error: model 'net': a name in a node is no UTF-8")
    assert found.stderr.count("\n") == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net.onnx", "one.npy"]


def test_onnxruntime_is_not_asked_twice(capfd: pytest.CaptureFixture[str]) -> None:
    """A message that quotes bytes which are no text makes its Python side print and try again."""
    nodes = [helper.make_node("Resize", ["x", "", "s"], ["y"], mode=b"\xff\xfe")]
    model = make_model(nodes, {"x": [1, 2, 4, 4]}, ["y"], {"s": np.array([1, 1, 2, 2], np.float32)})
    refuse(model, "onnxruntime refuses model 'net': a text in it is no UTF-8")
    assert capfd.readouterr() == ("", "")


def test_the_net_below_the_checks() -> None:
    said = r"cannot be read: .*\(KeyError: 'x'\); check it with"
    with pytest.raises(ModelError, match=said), limits.reading("net"):
        raise KeyError("x")
    with pytest.raises(ModelError, match=r"\(RecursionError: too deep"), limits.reading("net"):
        raise RecursionError("too\ndeep")
