"""The table-driven loops through `MapPlan`: layouts in memory, copies, shares of the work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from micam_fast.core.choices import Projection
from micam_fast.core.layers import Axes, Geometry, Pointwise, Tap
from micam_fast.maps.plan import BatchMaps, MapPlan
from micam_fast.maps.taps import sum_kernel
from tests.helpers import reference
from tests.helpers.models import Array, random_array

PLAIN = Geometry(False, (1, 1), (1, 1), (0, 0, 0, 0), 1)


def project(
    arrays: dict[str, Array],
    taps: dict[str, Tap],
    *,
    batch: int,
    weights: dict[str, tuple[Array, Array | None]] | None = None,
    workers: int = 1,
    projection: Projection = "published",
    alone: bool = False,
) -> tuple[MapPlan, BatchMaps]:
    """Run a plan on arrays, the float32 ones of which lie in one arena.

    `alone` says that they belong to a single sample.
    """
    floats = {name: array for name, array in arrays.items() if array.dtype == np.float32}
    offsets, begin = {}, 0
    for name, array in floats.items():
        offsets[name] = begin
        begin += array.size
    arena = np.concatenate([array.reshape(-1) for array in floats.values()] or [np.empty(0)])
    plan = MapPlan(
        taps,
        {name: array.shape for name, array in arrays.items()},
        offsets,
        batch_size=batch,
        batch_axes={} if alone else {tap.value: tap.axes.batch for tap in taps.values()},
        input_size=(4, 5),
        weigh=lambda name: sum_kernel(*(weights or {})[name], PLAIN),
        projection=projection,
    )
    staging = np.empty(plan.staging, np.float32)
    with ThreadPoolExecutor(workers) as pool:
        found = plan.project(arena.astype(np.float32), arrays, staging, pool=pool, workers=workers)
    return plan, found


def map_of(plan: MapPlan, maps: BatchMaps, name: str, sample: int = 0) -> Array:
    index = plan.names.index(name)
    begin, size = plan.slots[index]
    return maps.values[sample, begin : begin + size].reshape(plan.sizes[index])


@pytest.mark.no_jit
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
@pytest.mark.parametrize(
    ("shape", "axes", "form", "space"),
    [
        ((2, 5, 4, 3), Axes(0, 1), "channels", "chw"),
        ((2, 4, 3, 5), Axes(0, 3), "channels", "hwc"),
        ((2, 5, 2, 4, 3), Axes(0, 1), "channels", "cdhw"),
        ((2, 2, 4, 3, 5), Axes(0, 4), "channels", "dhwc"),
        ((2, 6, 7), Axes(0, 1), "channels", "ct"),
        ((2, 7, 6), Axes(0, 2), "channels", "tc"),
        ((7, 2, 6), Axes(1, 2), "channels", "tc"),
        ((7, 2, 2, 3), Axes(2, 3), "recurrent", "tc"),
        ((2, 7, 1, 6), Axes(0, 3), "recurrent", "tc"),
        ((2, 9), Axes(0, None), "channels", "flat"),
        ((2, 3, 4, 2), Axes(0, 1), "flat", "flat"),
        ((2, 2, 2, 3, 2, 2), Axes(0, 1), "channels", "flat"),
    ],
)
def test_means_and_flat_layers_in_every_layout(
    shape: tuple[int, ...], axes: Axes, form: Any, space: str, dtype: Any
) -> None:
    array = np.abs(random_array(3, *shape, spread=30)).astype(dtype)
    tap = Tap("v", axes, form)
    plan, maps = project({"v": array}, {"layer": tap}, batch=2)
    for sample in range(2):
        one = np.take(array, sample, axis=axes.batch).astype(np.float64)
        if space == "flat":
            expected = reference.flat_map(one, 4, 5)
        elif form == "recurrent":
            expected = reference.mean_map(one.reshape(one.shape[0], -1))
        else:
            last = one if space.endswith("c") else np.moveaxis(one, 0, -1)
            expected = reference.mean_map(last)
        np.testing.assert_allclose(map_of(plan, maps, "layer", sample), expected, rtol=1e-5)
        low, high = maps.ranges[sample, 0]
        assert low == map_of(plan, maps, "layer", sample).min()
        assert high == map_of(plan, maps, "layer", sample).max()


@pytest.mark.no_jit
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("projection", ["published", "transposed"])
def test_convolutions_in_both_layouts(last: bool, projection: Projection) -> None:
    kernel, bias = random_array(1, 6, 2, 3, 2), random_array(2, 6)
    activation = random_array(3, 2, 4, 5, 6)
    source = np.zeros((2, 2, 6, 6), np.float32)
    array = activation if last else np.ascontiguousarray(np.moveaxis(activation, -1, 1))
    tap = Tap("v", Axes(0, 3 if last else 1), geometry=PLAIN, source="s")
    plan, maps = project(
        {"v": array, "s": source},
        {"conv": tap},
        batch=2,
        weights={"conv": (kernel, bias)},
        projection=projection,
    )
    for sample in range(2):
        if projection == "published":
            keras = np.moveaxis(kernel, (0, 1), (-1, -2))
            expected = reference.published_conv(activation[sample], keras, bias)
        else:
            expected = reference.adjoint_map(
                activation[sample], kernel, bias, input_size=(6, 6), strides=(1, 1),
                pads_begin=(0, 0), dilations=(1, 1), groups=1, transpose=False,
            )  # fmt: skip
        np.testing.assert_allclose(
            map_of(plan, maps, "conv", sample), expected, atol=1e-5 * np.abs(expected).max()
        )


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 700),
    channels=st.integers(1, 9),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(max_examples=60, deadline=None)
def test_blocks_of_any_size(
    height: int, width: int, channels: int, kernel: tuple[int, int]
) -> None:
    """Grids wider than a block of pixels, channel counts that are no multiple of four."""
    weights = random_array(1, channels, 1, *kernel)
    array = random_array(2, 1, channels, height, width)
    tap = Tap("v", Axes(0, 1), geometry=PLAIN, source="s")
    plan, maps = project({"v": array}, {"conv": tap}, batch=1, weights={"conv": (weights, None)})
    expected = reference.published_conv(
        np.moveaxis(array[0], 0, -1), np.moveaxis(weights, (0, 1), (-1, -2)), None
    )
    np.testing.assert_allclose(
        map_of(plan, maps, "conv"), expected, atol=1e-5 * np.abs(expected).max()
    )


def test_maps_are_linear_in_the_activations() -> None:
    kernel, bias = random_array(1, 8, 3, 5, 5), random_array(2, 8)
    tap = {"conv": Tap("v", Axes(0, 1), geometry=PLAIN, source="s")}
    first, second = random_array(3, 1, 8, 20, 30), random_array(4, 1, 8, 20, 30)
    found = [
        map_of(*project({"v": array}, tap, batch=1, weights={"conv": (kernel, bias)}), "conv")
        for array in (first, second, 2 * first - 3 * second)
    ]
    np.testing.assert_allclose(found[2], 2 * found[0] - 3 * found[1], atol=1e-3)


def test_any_number_of_workers_gives_the_same_bits() -> None:
    arrays = {f"v{i}": random_array(i, 3, 4 + i, 9, 7 + i) for i in range(9)}
    taps = {name: Tap(name, Axes(0, 1)) for name in arrays}
    _, one = project(arrays, taps, batch=3)
    for workers in (2, 3, 8):
        _, many = project(arrays, taps, batch=3, workers=workers)
        np.testing.assert_array_equal(one.values, many.values)
        np.testing.assert_array_equal(one.ranges, many.ranges)


@pytest.mark.no_jit
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, without the JIT
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weight", [0.0, 1.0, -1.0])
def test_bad_values_reach_the_range(bad: float, weight: float) -> None:
    """Also through a weight of zero, and among values that would hide them."""
    array = random_array(3, 2, 4, 4, 5)
    array[1, 2, 3, 4] = bad
    bias = np.array([1, 1, weight, 1], np.float32)
    kernel = np.ones((4, 1, 2, 2), np.float32)
    tap = Tap("v", Axes(0, 1), geometry=PLAIN, source="s")
    taps = {"conv": tap, "mean": Tap("v", Axes(0, 1)), "flat": Tap("v", Axes(0, 1), "flat")}
    _, maps = project({"v": array}, taps, batch=2, weights={"conv": (kernel, bias)})
    assert np.isfinite(maps.ranges[0]).all()
    assert np.isnan(maps.ranges[1]).all()
    assert dict(maps.bad_values) == dict.fromkeys([(1, "conv"), (1, "mean"), (1, "flat")], 1)


def test_a_layer_without_values_has_no_map() -> None:
    arrays = {"v": np.empty((1, 0, 4), np.float32), "w": np.ones((1, 2, 4), np.float32)}
    plan, _ = project(
        arrays, {"empty": Tap("v", Axes(0, 1)), "full": Tap("w", Axes(0, 1))}, batch=1
    )
    assert plan.names == ("full",)
    assert plan.empty == {"empty": (None, 0, 4)}


@pytest.mark.no_jit
@pytest.mark.parametrize("leads", [None, "first", "flat"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 5, 4, 3), Axes(0, 1)),
        ((2, 4, 3, 5), Axes(0, 3)),
        ((2, 5, 2, 4, 3), Axes(0, 1)),
        ((2, 2, 4, 3, 5), Axes(0, 4)),
        ((2, 6, 7), Axes(0, 1)),
        ((2, 7, 6), Axes(0, 2)),
        ((7, 2, 6), Axes(1, 2)),
        ((5, 4, 3), Axes(None, 0)),
    ],
)
def test_followers_in_every_layout(shape: tuple[int, ...], axes: Axes, leads: str | None) -> None:
    """Also where no layer reads the value, or one that shows it as a list."""
    assert axes.channel is not None
    channels = shape[axes.channel]
    numbers = Pointwise("v", random_array(1, channels), random_array(2, channels), -0.5, 1.5)
    array = random_array(3, *shape)
    taps = {"first": Tap("v", axes), "flat": Tap("v", axes, "flat")}
    taps = {name: tap for name, tap in taps.items() if name == leads}
    taps |= {"follower": Tap("other", axes), "same": Tap("other", axes)}
    plan = MapPlan(
        taps, {"v": shape}, {"v": 0}, batch_size=2, batch_axes={"v": axes.batch},
        input_size=(4, 5), weigh=lambda name: pytest.fail(name), projection="published",
        pointwise={"follower": numbers, "same": numbers},
    )  # fmt: skip
    maps = plan.project(array.reshape(-1), {"v": array}, np.empty(plan.staging, np.float32))
    for sample in range(2):
        one = array if axes.batch is None else np.take(array, sample, axis=axes.batch)
        channel = axes.channel - (axes.batch is not None and axes.batch < axes.channel)
        moved = np.moveaxis(one, channel, -1).astype(np.float64)
        expected = reference.mean_map(np.clip(moved * numbers.scale + numbers.shift, -0.5, 1.5))
        for name in ("follower", "same"):
            found = map_of(plan, maps, name, sample)
            np.testing.assert_allclose(found, expected, atol=1e-6)
            low, high = maps.ranges[sample, plan.names.index(name)]
            assert (low, high) == (found.min(), found.max())


# --- More than the sample in the batch axis ----------------------------------------------------


@pytest.mark.no_jit
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
@pytest.mark.parametrize(
    ("shape", "axes", "form", "kind"),
    [
        ((3, 5, 4, 7), Axes(0, 1), "channels", "space"),
        ((3, 4, 7, 5), Axes(0, 3), "channels", "space"),
        ((3, 5, 2, 4, 7), Axes(0, 1), "channels", "space"),
        ((3, 2, 4, 7, 5), Axes(0, 4), "channels", "space"),
        ((3, 6, 7), Axes(0, 1), "channels", "space"),
        ((3, 7, 6), Axes(0, 2), "channels", "space"),
        ((7, 3, 6), Axes(1, 2), "channels", "space"),
        ((7, 2, 3, 4), Axes(2, 3), "recurrent", "recurrent"),
        ((3, 7, 2, 4), Axes(0, 3), "recurrent", "recurrent"),
        ((3, 9), Axes(0, 1), "channels", "flat"),
        ((9, 3), Axes(1, 0), "channels", "flat"),
        ((3, 6, 1, 1), Axes(0, 1), "flat", "flat"),
        ((3, 2, 2, 2, 2, 3), Axes(0, 1), "channels", "flat"),
        ((3,), Axes(0, None), "channels", "flat"),
    ],
)
def test_the_mean_over_what_the_batch_axis_holds(
    shape: tuple[int, ...], axes: Axes, form: Any, kind: str, dtype: Any
) -> None:
    assert axes.batch is not None
    array = np.abs(random_array(3, *shape, spread=30)).astype(dtype)
    plan, maps = project({"v": array}, {"layer": Tap("v", axes, form)}, batch=1, alone=True)
    mean = array.astype(np.float64).mean(axis=axes.batch)
    if kind == "flat":
        expected = reference.flat_map(mean, 4, 5)
    elif kind == "recurrent":
        expected = reference.mean_map(mean.reshape(len(mean), -1))
    else:
        assert axes.channel is not None
        channel = axes.channel - (axes.batch < axes.channel)
        expected = reference.mean_map(np.moveaxis(mean, channel, -1))
    found = map_of(plan, maps, "layer")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert tuple(maps.ranges[0, 0]) == (found.min(), found.max())
    assert plan.count_copies("layer") == 3
    assert plan.shown_shape("layer") == shape
    assert plan.is_flat("layer") == (kind == "flat")


@pytest.mark.no_jit
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("projection", ["published", "transposed"])
def test_a_kernel_counts_for_each_frame(last: bool, projection: Projection, dtype: Any) -> None:
    """The mean of the frames' own maps, channels and kernel of each by the formulas."""
    kernel, bias = random_array(1, 6, 2, 3, 2), random_array(2, 6)
    frames = random_array(3, 4, 4, 5, 6).astype(dtype)
    array = frames if last else np.ascontiguousarray(np.moveaxis(frames, -1, 1))
    tap = Tap("v", Axes(0, 3 if last else 1), geometry=PLAIN, source="s")
    plan, maps = project(
        {"v": array, "s": np.zeros((4, 2, 6, 6), np.float32)}, {"conv": tap}, batch=1,
        weights={"conv": (kernel, bias)}, projection=projection, alone=True,
    )  # fmt: skip
    each = []
    for frame in frames.astype(np.float64):
        if projection == "published":
            keras = np.moveaxis(kernel, (0, 1), (-1, -2))
            each.append(reference.published_conv(frame, keras, bias))
        else:
            each.append(
                reference.adjoint_map(
                    frame, kernel, bias, input_size=(6, 6), strides=(1, 1), pads_begin=(0, 0),
                    dilations=(1, 1), groups=1, transpose=False,
                )
            )  # fmt: skip
    expected = np.mean(each, axis=0)
    atol = 1e-5 * np.abs(each).max()
    np.testing.assert_allclose(map_of(plan, maps, "conv"), expected, rtol=0, atol=atol)


def test_a_kernel_with_depth_counts_for_each_clip() -> None:
    geometry = Geometry(False, (1,) * 3, (1,) * 3, (0,) * 6, 1)
    kernel, bias = random_array(1, 5, 2, 2, 3, 2), random_array(2, 5)
    clips = random_array(3, 3, 5, 4, 6, 7)
    tap = Tap("v", Axes(0, 1), geometry=geometry, source="s")
    plan, maps = project(
        {"v": clips}, {"conv": tap}, batch=1, weights={"conv": (kernel, bias)}, alone=True
    )
    keras = np.moveaxis(kernel, (0, 1), (-1, -2))
    each = [reference.published_conv(np.moveaxis(clip, 0, -1), keras, bias) for clip in clips]
    np.testing.assert_allclose(
        map_of(plan, maps, "conv"), np.mean(each, axis=0), rtol=0, atol=1e-5 * np.abs(each).max()
    )


@pytest.mark.no_jit
@pytest.mark.parametrize("leads", [None, "first", "flat"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((3, 5, 4, 6), Axes(0, 1)),
        ((3, 4, 6, 5), Axes(0, 3)),
        ((3, 5, 2, 4, 6), Axes(0, 1)),
        ((3, 6, 7), Axes(0, 1)),
        ((7, 3, 6), Axes(1, 2)),
        ((3, 6), Axes(0, 1)),
    ],
)
def test_followers_of_what_the_batch_axis_holds(
    shape: tuple[int, ...], axes: Axes, leads: str | None
) -> None:
    assert axes.channel is not None
    assert axes.batch is not None
    channels = shape[axes.channel]
    numbers = Pointwise("v", random_array(1, channels), random_array(2, channels), -0.5, 1.5)
    array = random_array(3, *shape)
    taps = {"first": Tap("v", axes), "flat": Tap("v", axes, "flat")}
    taps = {name: tap for name, tap in taps.items() if name == leads}
    taps |= {"follower": Tap("other", axes)}
    plan = MapPlan(
        taps, {"v": shape}, {"v": 0}, batch_size=1, batch_axes={}, input_size=(4, 5),
        weigh=lambda name: pytest.fail(name), projection="published",
        pointwise={"follower": numbers},
    )  # fmt: skip
    maps = plan.project(array.reshape(-1), {"v": array}, np.empty(plan.staging, np.float32))
    moved = np.moveaxis(array, (axes.batch, axes.channel), (0, -1)).astype(np.float64)
    mean = np.clip(moved * numbers.scale + numbers.shift, -0.5, 1.5).mean(axis=0)
    expected = reference.mean_map(mean) if mean.ndim > 1 else reference.flat_map(mean, 4, 5)
    found = map_of(plan, maps, "follower")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    low, high = maps.ranges[0, plan.names.index("follower")]
    assert (low, high) == (found.min(), found.max())


@pytest.mark.no_jit
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's, without the JIT
@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [np.inf, -np.inf]])
def test_bad_values_of_one_frame_are_counted(bad: list[float]) -> None:
    array = random_array(3, 4, 5, 4, 6)
    array[: len(bad), 2, 3, 4] = bad
    taps = {"mean": Tap("v", Axes(0, 1)), "flat": Tap("v", Axes(0, 1), "flat")}
    _, maps = project({"v": array}, taps, batch=1, alone=True)
    assert np.isnan(maps.ranges).all()
    assert dict(maps.bad_values) == dict.fromkeys([(0, "mean"), (0, "flat")], len(bad))


# --- A row or a column of taps -------------------------------------------------------------------


@pytest.mark.no_jit
@pytest.mark.parametrize("projection", ["published", "transposed"])
@pytest.mark.parametrize("taps", [1, 5, 11])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("groups", [1, 6])
def test_a_kernel_of_one_row_on_one_row_is_1d(
    taps: int, transpose: bool, groups: int, projection: Projection
) -> None:
    """Also a column; taps beyond the grid are dropped as in 1-D."""
    geometry = Geometry(transpose, (1, 1), (1, 1), (0, 0, 0, 0), groups)
    per_group = 6 // groups
    kernel, bias = random_array(1, 6, per_group, taps), random_array(2, 6)
    array = random_array(3, 1, 6, 9)
    steps = 9 - taps + 1 if transpose else 9 + taps - 1
    found = []
    for one in (2, 3):
        summed_kernel = sum_kernel(np.expand_dims(kernel, one), bias, geometry)
        source = np.expand_dims(np.zeros((1, 6, max(1, steps)), np.float32), one)
        plan = MapPlan(
            {"conv": Tap("v", Axes(0, 1), geometry=geometry, source="s")},
            {"v": (shaped := np.expand_dims(array, one)).shape, "s": source.shape},
            {"v": 0}, batch_size=1, batch_axes={"v": 0}, input_size=(4, 5),
            weigh={"conv": summed_kernel}.__getitem__, projection=projection,
        )  # fmt: skip
        maps = plan.project(shaped.reshape(-1), {"v": shaped}, np.empty(0, np.float32))
        found.append(map_of(plan, maps, "conv"))
    row, column = found
    np.testing.assert_allclose(row, column.T, rtol=0, atol=1e-6)
    if projection == "transposed":
        return
    summed = np.zeros((6, taps))
    for channel in range(6):
        group, within = divmod(channel, per_group)
        if transpose:
            inputs = kernel[group * per_group : (group + 1) * per_group, within]
        else:
            inputs = kernel[channel]
        summed[channel] = inputs.sum(axis=0)
    expected = np.zeros(9)
    for x in range(9):
        for k in range(min(taps, 9)):
            expected[x] += (bias * summed[:, k] * array[0, :, (x - k) % 9]).sum()
    np.testing.assert_allclose(row, expected[np.newaxis], atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("kernel", "size"), [((2, 3), (1, 9)), ((1, 3), (2, 9)), ((1, 3), (9, 1))])
def test_other_kernels_and_grids_stay_2d(kernel: tuple[int, int], size: tuple[int, int]) -> None:
    weights = random_array(1, 4, 1, *kernel)
    array = random_array(2, 1, 4, *size)
    tap = Tap("v", Axes(0, 1), geometry=PLAIN, source="s")
    plan, maps = project({"v": array}, {"conv": tap}, batch=1, weights={"conv": (weights, None)})
    expected = np.zeros(size)
    for y, x, v, u in np.ndindex(*size, *kernel):
        if u < size[0] and v < size[1]:
            values = array[0, :, (y - u) % size[0], (x - v) % size[1]]
            expected[y, x] += (weights[:, 0, v, u] * values).mean()
    np.testing.assert_allclose(map_of(plan, maps, "conv"), expected, atol=1e-5)
