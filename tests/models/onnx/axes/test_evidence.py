"""Single nodes and inputs, and what they say of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
import pytest

from tests.helpers.axes import channels, conclude, ints, ones, op, places
from tests.helpers.models import Array

Case = tuple[onnx.NodeProto, Sequence[Any], dict[str, Array], tuple[int | None, int | None], str]
"""A node that makes y of x, the shape of x, constants, the channels of x and y, and why y's."""

SAYING: dict[str, Case] = {
    "a convolution": (
        op("Conv", "x k", "y"), ["N", 5, 5, 5], {"k": ones(5, 5, 1, 1)}, (1, 1),
        "node 'y' (Conv) has a kernel of 5 channels",
    ),
    "a transposed one": (
        op("ConvTranspose", "x k", "y", group=2), ["N", 4, 5], {"k": ones(4, 3, 1)}, (1, 1),
        "node 'y' (ConvTranspose) has a kernel of 6 channels",
    ),
    "a pool": (
        op("MaxPool", "x", "y", kernel_shape=[1, 1]), ["N", 5, 5, 5], {}, (1, 1),
        "node 'y' (MaxPool) has its channels second",
    ),
    "numbers of each last": (
        op("Mul", "x k", "y"), ["N", 5, 5, 5], {"k": ones(5)}, (3, 3),
        "node 'y' (Mul) has a number for each of 5 channels",
    ),
    "numbers of each second": (
        op("Add", "k x", "y"), ["N", 5, 5, 5], {"k": ones(1, 5, 1, 1)}, (1, 1),
        "node 'y' (Add) has a number for each of 5 channels",
    ),
    "numbers of each of open pictures": (
        op("Mul", "x k", "y"), ["N", "H", "W", "C"], {"k": ones(5)}, (3, 3),
        "node 'y' (Mul) has a number for each of 5 channels",
    ),
    "a size that the file fixes alone": (
        op("Relu", "x", "y"), ["N", 5, "H", "W"], {}, (1, 1),
        "input 'x' has a fixed size there alone",
    ),
    "numbers that make channels": (
        op("Mul", "x k", "y"), ["N", 1, 5, 5], {"k": ones(3, 1, 1)}, (1, 1),
        "node 'y' (Mul) has a number for each of 3 channels",
    ),
    "a normalization": (
        op("LayerNormalization", "x k", "y"), ["N", 5, 5, 5], {"k": ones(5)}, (3, 3),
        "node 'y' (LayerNormalization) normalizes the last axis",
    ),
    "a mean over rows and columns": (
        op("ReduceMean", "x", "y", axes=[2, 3]), ["N", 5, 5, 5], {}, (1, 1),
        "node 'y' (ReduceMean) takes all other axes together",
    ),
    "a mean over the first two": (
        op("ReduceMean", "x", "y", axes=[-2, 1], keepdims=0), ["N", 5, 5, 5], {}, (3, 1),
        "node 'y' (ReduceMean) takes all other axes together",
    ),
    "a resize of rows and columns": (
        op("Resize", "x  s", "y"), ["N", 5, 5, 5], {"s": ones(4) * [1, 1, 2, 2]}, (1, 1),
        "node 'y' (Resize) scales all other axes",
    ),
    "a resize of the first two": (
        op("Resize", "x  s", "y"), ["N", 5, 5, 5], {"s": ones(4) * [1, 2, 3, 1]}, (3, 3),
        "node 'y' (Resize) scales all other axes",
    ),
    "a pad": (
        op("Pad", "x p", "y"), ["N", 5, 5, 5], {"p": ints(0, 1, 0, 0, 0, 0, 2, 0)}, (3, 3),
        "node 'y' (Pad) pads all other axes",
    ),
    "a dense layer": (
        op("MatMul", "x k", "y"), ["N", 5, 5, 5], {"k": ones(5, 5)}, (3, 3),
        "node 'y' (MatMul) has a kernel of 5 channels",
    ),
    "a dense layer from the left": (
        op("MatMul", "k x", "y"), ["N", 5, 5], {"k": ones(4, 5)}, (1, 1),
        "node 'y' (MatMul) has a kernel of 4 channels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAYING)
def test_what_says_where_channels_lie(name: str) -> None:
    node, shape, constants, expected, why = SAYING[name]
    for place, read in enumerate(node.input):
        node.input[place] = read.replace("_", "")
    found = conclude([node], {"x": shape}, {k: v.astype(v.dtype) for k, v in constants.items()})
    assert tuple(channels(found, "x", "y")) == expected
    assert found.reason("y").channels == why
    assert found.reason("y").contradiction is None


SILENT: dict[str, tuple[onnx.NodeProto, dict[str, Array]]] = {
    "an activation function": (op("Relu", "x", "y"), {}),
    "one number": (op("Mul", "x k", "y"), {"k": ones(1)}),
    "a number for each of two axes": (op("Mul", "x k", "y"), {"k": ones(5, 5)}),
    "a number for each sample": (op("Mul", "x k", "y"), {"k": ones(5, 1, 1, 1)}),
    "a normalization of rows": (op("LayerNormalization", "x k", "y", axis=2), {"k": ones(5, 5)}),
    "a mean of one axis": (op("ReduceMean", "x", "y", axes=[3]), {}),
    "a mean that takes the batch": (op("ReduceMean", "x", "y", axes=[0, 2, 3]), {}),
    "a pad of all axes": (op("Pad", "x p", "y"), {"p": ints(0, 1, 1, 1, 0, 1, 1, 1)}),
    "a pad of the batch": (op("Pad", "x p", "y"), {"p": ints(1, 0, 1, 1, 0, 0, 0, 0)}),
    "a product of activations": (op("MatMul", "x x", "y"), {}),
    "a constant that is joined": (op("Concat", "x k", "y", axis=1), {"k": ones(5, 2, 5, 5)}),
    "rows that are joined": (op("Concat", "x x", "y", axis=2), {}),
}


@pytest.mark.parametrize("name", SILENT)
def test_what_says_nothing(name: str) -> None:
    """All sizes are the same, so that nobody can guess by them."""
    node, constants = SILENT[name]
    found = conclude([node], {"x": [5, 5, 5, 5]}, constants)
    assert channels(found, "x", "y") == [None, None]
    assert not found.has_channels("y")
    assert found.reason("y").channels is None


def test_a_normalization_that_an_exporter_wrote_out() -> None:
    nodes = [
        op("ReduceMean", "x", "mean", axes=[-1]),
        op("Sub", "x mean", "y"),
    ]
    found = conclude(nodes, {"x": ["N", 5, 5, 5]})
    assert channels(found, "x", "y") == [3, 3]
    said = "node 'mean' (ReduceMean) and what follows it normalize the last axis"
    assert found.reason("x").channels == said


@pytest.mark.parametrize("axis", [1, 3])
def test_values_that_are_joined(axis: int) -> None:
    found = conclude([op("Concat", "x z", "y", axis=axis)], {n: ["N", 5, 5, 5] for n in "xz"})
    assert channels(found, "y", "x", "z") == [axis] * 3
    assert found.reason("y").channels == "node 'y' (Concat) joins values along it"


def test_rows_of_a_table() -> None:
    found = conclude([op("Gather", "table z", "y")], {"z": ["N", 5]}, {"table": ones(5, 5)})
    # Rows are looked up by whole numbers.
    assert places(found, "y") == [(0, 2)]
    assert found.reason("y").channels == "node 'y' (Gather) looks up rows of a table"


@pytest.mark.parametrize(
    ("shape", "channel"),
    [([1, 3, 8, 6], 1), ([1, 8, 6, 4], 3), ([1, 3, 8, 3], None), ([1, 8, 6, 5], None),
     ([1, 8, 3], None)],
)  # fmt: skip
def test_sizes_of_pictures(shape: list[int], channel: int | None) -> None:
    found = conclude([op("Relu", "x", "y")], {"x": shape})
    assert channels(found, "x", "y") == [channel, channel]
    if channel is not None:
        said = f"input 'x' has {shape[channel]} values there, as colours are"
        assert found.reason("y").channels == said


# --- Recurrent layers ---------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [0, 1])
def test_a_recurrent_layer_tells_all_axes(layout: int) -> None:
    weights = {"w": ones(1, 20, 5), "r": ones(1, 20, 5)}
    node = op("LSTM", "x w r", "y h c", hidden_size=5, layout=layout)
    found = conclude([node], {"x": [5, 5, 5]}, weights)
    batch = 0 if layout else 1
    assert places(found, "x", "h", "c") == [(batch, 2)] * 3
    assert places(found, "y") == [(0 if layout else 2, 3)]
    assert found.reason("x").batch == "node 'y' (LSTM) walks along the other one"
    assert found.reason("h").channels == "node 'y' (LSTM) has its hidden units last"


def test_what_lies_behind_a_state_has_a_batch() -> None:
    weights = {"w": ones(1, 20, 5), "r": ones(1, 20, 5), "first": ints(0), "k": ones(5, 4)}
    nodes = [
        op("LSTM", "x w r", "y h", hidden_size=5),
        op("Squeeze", "h first", "last"),
        op("MatMul", "last k", "dense"),
    ]
    found = conclude(nodes, {"x": ["T", "N", 5]}, weights)
    assert places(found, "x", "last", "dense") == [(1, 2), (0, 1), (0, 1)]


def test_an_axis_that_a_recurrent_layer_walks_along_is_no_batch() -> None:
    """All of the input is one sample, whatever the axis is called."""
    weights = {"w": ones(1, 20, 5), "r": ones(1, 20, 5), "one": ints(1)}
    nodes = [
        op("Relu", "x", "relu"),
        op("Unsqueeze", "relu one", "steps"),
        op("LSTM", "steps w r", "y", hidden_size=5),
    ]
    found = conclude(nodes, {"x": ["N", 5]}, weights)
    assert places(found, "x", "relu", "steps") == [(None, 1), (None, 1), (1, 2)]
    assert found.reason("x").batch == "node 'y' (LSTM) walks along the other one"


# --- The batch ----------------------------------------------------------------------------------


def test_a_second_input_of_another_first_size_has_no_batch() -> None:
    shapes: dict[str, list[Any]] = {"x": ["N", 4], "grid": [7, 4], "number": [], "one": [1, 4]}
    found = conclude([op("Relu", name, f"{name}!") for name in shapes], shapes)
    assert [found.axes[name].batch for name in shapes] == [0, None, None, 0]
    said = "the first size of input 'grid' is not that of the first input"
    assert found.reason("grid!").batch == said


def test_a_list_belongs_to_one_sample() -> None:
    found = conclude([op("NonZero", "x", "y")], {"x": ["N", 4]})
    assert found.axes["y"].batch is None
    assert found.reason("y").batch == "node 'y' (NonZero) makes a list, of one sample"


@pytest.mark.parametrize("first", ["N", 1])
def test_twice_the_samples_make_twice_the_size(first: Any) -> None:
    """Where the file leaves the batch open; a fixed one cannot be doubled."""
    nodes = [
        op("Einsum", "x", "turned", equation="nct->tnc"),
        op("Reshape", "x rows", "rows_of_all"),
    ]
    constants = {"rows": ints(-1, 5)}
    found = conclude(nodes, {"x": [first, 5, 5]}, constants, fed={"x": (1, 5, 5)})
    if first == "N":
        assert [found.axes[n].batch for n in ("x", "turned", "rows_of_all")] == [0, 1, 0]
        assert found.reason("turned").batch == "twice the samples make 'turned' twice as large"
        assert not found.axes["turned"].assumed_batch
    else:
        assert "turned" not in found.axes
        assert found.reason("turned").batch is None


def test_two_axes_that_grow_say_nothing() -> None:
    node = op("MatMul", "x turned", "y")
    found = conclude(
        [op("Transpose", "x", "turned", perm=[1, 0]), node], {"x": ["N", 5]}, fed={"x": (3, 5)}
    )
    assert found.reason("turned").batch == "twice the samples make 'turned' twice as large"
    # As the factors, not by its own size.
    assert found.reason("y").batch == "twice the samples make 'turned' twice as large"
