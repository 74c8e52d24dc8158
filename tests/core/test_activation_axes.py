"""Axes of an activation by what they hold, and sizes of the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from micam_fast.core.activation_axes import (
    declared_input_size,
    spatial_input_size,
    view_activation,
)
from micam_fast.core.layers import Axes, ModelInput, Shape


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([((1, 3, 8, 6), Axes(0, 1))], (8, 6)),
        ([((1, 8, 6, 3), Axes(0, 3))], (8, 6)),
        ([((1, 3, 5, 8, 6), Axes(0, 1))], (8, 6)),
        ([((1, 9, 4), Axes(0, 2))], (1, 9)),
        ([((1, 7), Axes(0, None))], (1, 7)),
        ([((1, 7), Axes(0, None)), ((1, 3, 8, 6), Axes(0, 1))], (8, 6)),
        ([((1, 7), Axes(0, None)), ((1, 9, 4), Axes(0, 2))], (1, 7)),
    ],
)
def test_input_sizes(shapes: list[tuple[tuple[int, ...], Axes]], expected: tuple[int, int]) -> None:
    views = [view_activation(shape, axes, "channels", 0) for shape, axes in shapes]
    assert spatial_input_size(views) == expected


@pytest.mark.parametrize(
    ("shape", "axes", "form", "channels", "space", "folded"),
    [
        ((5, 3, 8, 6), Axes(0, 1), "channels", (1,), (2, 3), (0,)),
        ((5, 8, 6, 3), Axes(0, 3), "channels", (3,), (1, 2), (0,)),
        ((5, 3, 2, 8, 6), Axes(0, 1), "channels", (1,), (2, 3, 4), (0,)),
        ((9, 5, 3), Axes(1, 2), "channels", (2,), (0,), (1,)),
        ((9, 2, 5, 3), Axes(2, 3), "recurrent", (1, 3), (0,), (2,)),
        ((5, 3), Axes(0, 1), "channels", (), (), (0,)),
        ((5, 3, 8, 6), Axes(0, 1), "flat", (), (), (0,)),
        ((5,), Axes(0, None), "channels", (), (), (0,)),
        ((1, 3, 8, 6), Axes(0, 1), "channels", (1,), (0, 2, 3), ()),
        ((5, 3, 8, 6), Axes(None, 1), "channels", (1,), (0, 2, 3), ()),
        ((5, 3, 8, 6), Axes(0, 1, assumed_batch=True), "channels", (1,), (0, 2, 3), ()),
        ((5, 3), Axes(0, None, assumed_batch=True), "channels", (), (), ()),
    ],
)
def test_a_batch_axis_that_holds_more_than_the_sample(
    shape: tuple[int, ...],
    axes: Axes,
    form: str,
    channels: tuple[int, ...],
    space: tuple[int, ...],
    folded: tuple[int, ...],
) -> None:
    view = view_activation(shape, axes, form, None)
    assert (view.channels, view.space, view.folded) == (channels, space, folded)
    assert view.copies == (shape[folded[0]] if folded else 1)


@pytest.mark.parametrize("batch", [None, 0])
@pytest.mark.parametrize(
    ("shape", "axes", "form"),
    [
        ((5, 3, 8, 6), Axes(0, 1), "channels"),
        ((5, 3), Axes(0, 1), "channels"),
        ((2, 5, 8, 6, 3), Axes(0, 4), "distributed"),
        ((2, 5, 3), Axes(0, 2), "distributed"),
    ],
)
def test_one_of_the_copies(
    shape: tuple[int, ...], axes: Axes, form: str, batch: int | None
) -> None:
    """Of several folded axes, too, the copies are counted through."""
    whole = view_activation(shape, axes, form, batch)
    if not whole.folded:
        assert view_activation(shape, axes, form, batch, 1) == whole
        return
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    samples = 1 if batch is None else shape[batch]
    for frame in range(whole.copies):
        view = view_activation(shape, axes, form, batch, frame)
        assert (view.copies, view.taken) == (whole.copies, 1)
        out = np.empty(samples * view.count, np.float32)
        view.copy(array, out)
        for sample, own in enumerate(out.reshape(samples, -1)):
            expected = whole.arrange(array, sample)[frame]
            np.testing.assert_array_equal(view.arrange(array, sample), expected[np.newaxis])
            np.testing.assert_array_equal(view.select(array, sample).reshape(-1), own)
            np.testing.assert_array_equal(own, expected.reshape(-1))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.float64])
@pytest.mark.parametrize(
    ("shape", "axes", "form", "order"),
    [
        ((5, 3, 8, 6), Axes(0, 1), "channels", (0, 1, 2, 3)),
        ((5, 8, 6, 3), Axes(0, 3), "channels", (0, 3, 1, 2)),
        ((9, 5, 3), Axes(1, 2), "channels", (1, 2, 0)),
        ((5, 3), Axes(0, 1), "channels", (0, 1)),
        ((3, 5), Axes(1, 0), "channels", (1, 0)),
        ((5, 3, 1, 2), Axes(0, 1), "flat", (0, 1, 2, 3)),
    ],
)
def test_copies_come_first(
    shape: tuple[int, ...], axes: Axes, form: str, order: tuple[int, ...], dtype: Any
) -> None:
    """In a list only the mean over them is kept."""
    view = view_activation(shape, axes, form, None)
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    moved = array.transpose(order).astype(np.float32)
    found = view.arrange(array, 0)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, moved if view.space else moved.reshape(5, -1))
    out = np.empty(view.count, np.float32)
    view.copy(array, out)
    expected = moved if view.space else moved.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(out, expected.reshape(-1), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "axes", "form", "batch"),
    [
        ((1, 3, 8, 6), Axes(0, 1), "channels", 0),
        ((1, 8, 6, 3), Axes(0, 3), "channels", 0),
        ((5, 3, 8, 6), Axes(0, 1), "channels", None),
        ((9, 5, 3), Axes(1, 2), "channels", None),
        ((9, 2, 1, 3), Axes(2, 3), "recurrent", 2),
        ((1, 4, 3, 8, 6), Axes(0, 2), "distributed", 0),
        ((5, 3), Axes(0, 1), "channels", None),
        ((1, 7), Axes(0, None), "channels", 0),
    ],
)
def test_restoring_undoes_arranging(
    shape: tuple[int, ...], axes: Axes, form: str, batch: int | None
) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    view = view_activation(shape, axes, form, batch)
    whole = view.arrange(array, 0)
    channels = np.moveaxis(whole, 0, 1).reshape(whole.shape[1], -1)
    np.testing.assert_array_equal(view.restore(channels), array)


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((None, 3, 8, 6), Axes(0, 1), (8, 6)),
        ((None, 8, 6, 3), Axes(0, 3), (8, 6)),
        ((1, 3, None, 6), Axes(0, 1), None),
        ((None, None), Axes(0, None), None),
        ((None, 7), Axes(0, None), (1, 7)),
    ],
)
def test_a_size_is_declared_unless_samples_fill_it_in(
    shape: Shape, axes: Axes, expected: tuple[int, int] | None
) -> None:
    assert declared_input_size([ModelInput("x", shape, axes, "float32")]) == expected
