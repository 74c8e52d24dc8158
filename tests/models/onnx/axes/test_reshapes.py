"""Axes through a Reshape, by sizes that may be open."""

from __future__ import annotations

from typing import Any

import pytest

from micam_fast.models.onnx.axes.reshapes import Reshaping, Size, product, read_reshape
from tests.helpers.axes import graph_of, ints, op

H, W = Size(1, (1,)), Size(1, (2,))


def reshaping(before: list[Any], target: tuple[int, ...], **how: Any) -> Reshaping:
    node = op("Reshape", "x target", "y", **how)
    graph = graph_of([node], {"x": before}, {"target": ints(*target)})
    found = read_reshape(graph, graph.nodes[0])
    assert found is not None
    return found


def test_open_sizes_equal_themselves_alone() -> None:
    assert H != W
    assert Size(2) * H * W == W * Size(2) * H == Size(2, (1, 2))
    assert (H * W).divided(W) == H
    assert H.divided(W) is None
    assert Size(6).divided(Size(0)) is None
    assert (Size(4) * H).divided(Size(6)) is not None
    assert not Size(6).divides(Size(4) * H)
    assert Size(2).divides(Size(4) * H)
    assert product([Size(2), H, Size(3)]) == Size(6, (1,))


@pytest.mark.parametrize(
    ("before", "target", "after"),
    [
        (["N", 4, 6], (-1, 6), (Size(4, (0,)), Size(6))),
        (["N", 4, 6], (0, 2, -1), (Size(1, (0,)), Size(2), Size(12))),
        (["N", "H", 6], (0, -1), (Size(1, (0,)), Size(6, (1,)))),
        (["N", "H", 6], (-1, 0, 3), (Size(2, (0,)), H, Size(3))),
        ([2, 3], (6,), (Size(6),)),
    ],
)
def test_sizes_after_it(
    before: list[Any], target: tuple[int, ...], after: tuple[Size, ...]
) -> None:
    assert reshaping(before, target).after == after


def test_a_target_whose_zeros_are_no_copies_is_not_read() -> None:
    found = reshaping([4, 3], (2, 6), allowzero=1)
    assert found.target is None
    assert found.after == (Size(2), Size(6))


def test_nothing_is_known_of_a_value_of_unknown_rank() -> None:
    graph = graph_of(
        [op("Reshape", "x target", "y"), op("Reshape", "y last", "z")],
        {"x": ["N", 4], "target": [], "last": [1]},
    )
    assert read_reshape(graph, graph.nodes[1]) is None


@pytest.mark.parametrize(
    ("before", "target", "forwards", "backwards"),
    [
        # Split, joined with positions, moved beside sizes of one, kept.
        ([1, 5, 12], (1, 5, 3, 4), {(2,): (2, 3)}, {(3,): (2,), (2,): (2,), (1,): (1,)}),
        ([1, 5, 3, 4], (1, 5, 12), {(2, 3): (2,), (3,): (2,), (1,): (1,)}, {(2,): ()}),
        ([1, 5, 1, 4], (1, 1, 5, 4), {(1,): (2,), (3,): (3,)}, {(2,): (1,), (3,): (3,)}),
        ([4, 4, 4], (4, 4, 4), {(1,): (1,)}, {(2,): (2,)}),
        ([6, 4], (4, 6), {(1,): ()}, {(0,): ()}),
    ],
)
def test_channels(
    before: list[Any],
    target: tuple[int, ...],
    forwards: dict[tuple[int, ...], tuple[int, ...]],
    backwards: dict[tuple[int, ...], tuple[int, ...]],
) -> None:
    found = reshaping(before, target)
    assert {axes: found.move_channels(axes) for axes in forwards} == forwards
    assert {axes: found.move_channels_back(axes) for axes in backwards} == backwards


@pytest.mark.parametrize(
    ("before", "target", "axis", "after"),
    [
        (["N", 4, 6], (-1, 6), 0, (0,)),
        (["N", 4, 6], (0, 24), 0, (0,)),
        # Samples between each other: the batch is not the slowest part of any axis.
        ([4, "N", 6], (-1, 6), 1, ()),
        ([4, "N", 6], (4, -1, 6), 1, (1,)),
        ([1, 4, 6], (4, 6), 0, ()),
        ([1, 4, 6], (1, 24), 0, (0,)),
        ([2, 4, 6], (8, 6), 0, (0,)),
    ],
)
def test_the_batch(
    before: list[Any], target: tuple[int, ...], axis: int, after: tuple[int, ...]
) -> None:
    assert reshaping(before, target).move_batch(axis) == after


@pytest.mark.parametrize(
    ("before", "target", "axis", "found"),
    [
        (["N", 4, 6], (-1, 6), 0, (0,)),
        ([3, 4, 6], (3, 24), 0, (0,)),
        ([4, 3, 6], (4, 3, 2, 3), 1, (1,)),
        # A batch of one may be folded into what lies behind it.
        ([1, 4, 6], (4, 6), 0, None),
    ],
)
def test_the_batch_before_it(
    before: list[Any], target: tuple[int, ...], axis: int, found: tuple[int, ...] | None
) -> None:
    assert reshaping(before, target).move_batch_back(axis) == found


def test_one_axis_and_no_other() -> None:
    found = reshaping([4, 6, 5], (4, 2, 3, 5))
    assert [found.move_alone_back(axis) for axis in range(4)] == [0, None, None, 2]


def test_a_flatten() -> None:
    graph = graph_of([op("Flatten", "x", "y", axis=-1)], {"x": ["N", 4, 6]})
    found = read_reshape(graph, graph.nodes[0])
    assert found is not None
    assert found.after == (Size(4, (0,)), Size(6))
    assert found.move_channels([2]) == (1,)
    assert found.move_batch(0) == (0,)
