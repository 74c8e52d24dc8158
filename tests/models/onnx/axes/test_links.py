"""Where nodes put axes, and the way back: Transposes, Reshapes, reductions, windows, frames."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.axes import Places, channels, conclude, ints, ones, op, places

NORM = op("LayerNormalization", "x scale", "norm")
"""Says that the last axis of x holds the channels."""


@pytest.mark.parametrize(
    ("node", "constants", "expected"),
    [
        (op("Transpose", "norm", "y", perm=[3, 1, 0, 2]), {}, (2, 0)),
        (op("Transpose", "norm", "y"), {}, (3, 0)),
        (op("Squeeze", "norm a", "y"), {"a": ints(1)}, (0, 2)),
        (op("Squeeze", "norm", "y"), {}, (None, 1)),
        (op("Unsqueeze", "norm a", "y"), {"a": ints(0, -2)}, (1, 5)),
        (op("Gather", "norm a", "y", axis=1), {"a": ints(0).reshape(())}, (0, 2)),
        (op("Gather", "norm a", "y", axis=1), {"a": ints(0, 0)}, (0, 3)),
        (op("Gather", "norm a", "y", axis=-3), {"a": ints(0, 0).reshape(1, 2)}, (0, 4)),
        (op("ReduceMax", "norm", "y", axes=[1, -2], keepdims=0), {}, (0, 1)),
        (op("ReduceMax", "norm", "y", axes=[1, 2], keepdims=1), {}, (0, 3)),
        (op("Slice", "norm b e", "y"), {"b": ints(0, 0, 1, 0), "e": ints(9, 9, 9, 9)}, (0, 3)),
        (op("Expand", "norm s", "y"), {"s": ints(1, 7, 4, 5)}, (0, 3)),
        (op("Add", "norm z", "y"), {}, (0, 3)),
    ],
    ids=lambda each: each.op_type if hasattr(each, "op_type") else None,
)
def test_moves(node: Any, constants: dict[str, Any], expected: Places) -> None:
    shapes = {"x": [1, 1, 4, 5], "z": [1, 1, 4, 5]}
    behind = [NORM, node]
    assert places(conclude(behind, shapes, constants | {"scale": ones(5)}), "y") == [expected]


def test_a_way_back() -> None:
    nodes = [
        op("Unsqueeze", "x a", "wide"),
        op("Transpose", "wide", "turned", perm=[0, 3, 1, 2]),
        op("Conv", "turned k", "y"),
    ]
    found = conclude(nodes, {"x": ["N", 9, 5]}, {"a": ints(1), "k": ones(4, 5, 1, 1)})
    assert places(found, "x", "wide") == [(0, 2), (0, 3)]


def test_values_of_fewer_axes_take_part_as_numpy_says() -> None:
    nodes = [NORM, op("Mul", "norm z", "y")]
    found = conclude(nodes, {"x": ["N", 5, 5, 5], "z": [5, 5]}, {"scale": ones(5)})
    assert channels(found, "z", "y") == [1, 3]


# --- Reshapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "target", "expected"),
    [
        ([1, 4, 6, 5], (-1, 24, 5), (0, 2)),
        ([1, 4, 6, 5], (0, 2, 2, 6, 5), (0, 4)),
        ([1, 4, 6, 5], (0, 0, 0, 5, 1), (0, 3)),
        (["N", "H", "W", 6], (0, -1, 6), (0, 2)),
        (["N", "H", "W", 6], (0, -1, 2, 3), (0, 3)),
        (["N", 4, 6, 5], (-1, 5), (0, 1)),
        ([1, 4, 6, 5], (1, 120), (0, 1)),
    ],
)
def test_reshapes(before: list[Any], target: tuple[int, ...], expected: Places) -> None:
    constants = {"scale": ones(int(before[-1])), "target": ints(*target)}
    found = conclude([NORM, op("Reshape", "norm target", "y")], {"x": before}, constants)
    assert places(found, "y") == [expected]


def test_a_reshape_that_moves_a_single_channel() -> None:
    nodes = [op("Reshape", "x target", "second"), op("Conv", "second k", "y")]
    constants = {"target": ints(-1, 1, 8, 6), "k": ones(4, 1, 1, 1)}
    found = conclude(nodes, {"x": ["N", 8, 6, 1]}, constants)
    assert places(found, "x", "second") == [(0, 3), (0, 1)]


def test_channels_and_positions_in_one_axis_are_no_channels_before() -> None:
    """A dense layer on a flattened picture tells nothing of the picture's axes."""
    nodes = [op("Flatten", "x", "flat"), op("MatMul", "flat k", "y")]
    found = conclude(nodes, {"x": ["N", 5, 5, 5]}, {"k": ones(125, 5)})
    assert channels(found, "x", "flat") == [None, 1]


def test_a_target_that_is_computed_is_known_for_a_sample() -> None:
    """As tf2onnx and Swin write it."""
    nodes = [
        NORM,
        op("Shape", "norm", "sizes"),
        op("Gather", "sizes zero", "count"),
        op("Concat", "count rest", "target", axis=0),
        op("Reshape", "norm target", "y"),
    ]
    constants = {"scale": ones(6), "zero": ints(0), "rest": ints(4, 4, 6)}
    shapes: dict[str, list[Any]] = {"x": ["N", 16, 6]}
    assert places(conclude(nodes, shapes, constants, fed={"x": (1, 16, 6)}), "y") == [(0, 3)]


# --- Windows, frames ----------------------------------------------------------------------------


@pytest.mark.parametrize("fed", [False, True])
@pytest.mark.parametrize("size", [4, 6])
def test_windows(size: int, fed: bool) -> None:
    """Partition and its reverse, where windows, their sides and channels have the same size."""
    side, count = 2, size // 2
    nodes = [
        NORM,
        op("Reshape", "norm split", "split_norm"),
        op("Transpose", "split_norm", "turned", perm=[0, 1, 3, 2, 4, 5]),
        op("Reshape", "turned fold", "windows"),
        op("MatMul", "windows k", "dense"),
        op("Reshape", "dense unfold", "unfolded"),
        op("Transpose", "unfolded", "back", perm=[0, 1, 3, 2, 4, 5]),
        op("Reshape", "back whole", "y"),
    ]
    constants = {
        "scale": ones(4), "k": ones(4, 4), "split": ints(-1, count, side, count, side, 4),
        "fold": ints(-1, side * side, 4), "unfold": ints(-1, count, count, side, side, 4),
        "whole": ints(-1, size, size, 4),
    }  # fmt: skip
    how = {"fed": {"x": (1, size, size, 4)}} if fed else {}
    found = conclude(nodes, {"x": ["N", size, size, 4]}, constants, **how)
    assert places(found, "norm", "split_norm", "turned") == [(0, 3), (0, 5), (0, 5)]
    assert places(found, "windows", "dense") == [(0, 2)] * 2
    assert places(found, "unfolded", "back", "y") == [(0, 5), (0, 5), (0, 3)]


@pytest.mark.parametrize("first", ["N", 1])
def test_frames_in_the_batch_axis(first: Any) -> None:
    nodes = [
        op("Reshape", "x frames", "fold"),
        op("Conv", "fold k", "conv"),
        op("GlobalAveragePool", "conv", "pool"),
        op("Reshape", "pool clip", "y"),
    ]
    constants = {
        "frames": ints(-1, 3, 8, 6), "k": ones(4, 3, 1, 1), "clip": ints(-1, 5, 4),
    }  # fmt: skip
    found = conclude(nodes, {"x": [first, 5, 3, 8, 6]}, constants, fed={"x": (1, 5, 3, 8, 6)})
    assert places(found, "x", "fold", "conv", "y") == [(0, 2), (0, 1), (0, 1), (0, 2)]


# --- Sequences ----------------------------------------------------------------------------------


def test_a_sequence_of_open_length() -> None:
    nodes = [
        op("MatMul", "x k", "dense"),
        op("Add", "dense bias", "sum"),
        op("Mul", "sum gain", "y"),
    ]
    constants = {"k": ones(8, 8), "bias": ones(8), "gain": ones(1, 1, 8)}
    found = conclude(nodes, {"x": ["N", "T", 8]}, constants)
    assert places(found, "x", "dense", "sum", "y") == [(0, 2)] * 4


def test_a_sequence_read_by_a_convolution() -> None:
    nodes = [
        op("Transpose", "x", "turned", perm=[0, 2, 1]),
        op("Conv", "turned k", "conv"),
        op("Transpose", "conv", "y", perm=[0, 2, 1]),
    ]
    found = conclude(nodes, {"x": ["N", "T", 8]}, {"k": ones(4, 8, 3)})
    assert places(found, "x", "conv", "y") == [(0, 2), (0, 1), (0, 2)]


def test_a_squeezed_picture_becomes_steps() -> None:
    """A reader of text: rows are pooled away, and columns are what an LSTM walks along."""
    nodes = [
        op("Conv", "x k", "conv"),
        op("Squeeze", "conv two", "line"),
        op("Transpose", "line", "steps", perm=[2, 0, 1]),
        op("LSTM", "steps w r", "y", hidden_size=5),
        op("Squeeze", "y one", "read"),
        op("MatMul", "read k2", "scores"),
    ]
    constants = {
        "k": ones(4, 3, 1, 1), "two": ints(2), "w": ones(1, 20, 4), "r": ones(1, 20, 5),
        "one": ints(1), "k2": ones(5, 7),
    }  # fmt: skip
    found = conclude(nodes, {"x": ["N", 3, 1, "W"]}, constants)
    assert places(found, "x", "conv", "line") == [(0, 1)] * 3
    assert places(found, "steps", "read", "scores") == [(1, 2)] * 3
