"""What a file says of a layer never leads the loops out of an array: the layer is named instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from micam_fast._loops import maps as loops
from micam_fast.core.activation_axes import view_activation
from micam_fast.core.choices import PROJECTIONS, Projection
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Axes, Geometry, Pointwise, Tap
from micam_fast.maps.bounds import find_fitting_taps
from micam_fast.maps.loop_tables import LoopTables
from micam_fast.maps.plan import MapPlan
from micam_fast.maps.taps import Taps, mean_taps, sum_kernel
from tests.helpers.models import Array, random_array

PLAIN = Geometry(False, (1, 1), (1, 1), (0, 0, 0, 0), 1)
CONV = Tap("v", Axes(0, 1), geometry=PLAIN, source="s")
SHAPES = {"v": (2, 4, 5, 6), "s": (2, 3, 7, 8)}


def plan(
    tap: Tap = CONV,
    kernel: Array | None = None,
    shapes: Mapping[str, tuple[int, ...]] = SHAPES,
    projection: Projection = "published",
    **how: Any,
) -> MapPlan:
    kernel = random_array(1, 4, 3, 3, 3) if kernel is None else kernel
    given: dict[str, Any] = {
        "batch_size": 2,
        "batch_axes": {"v": 0},
        "input_size": (7, 8),
        "weigh": lambda _: sum_kernel(kernel, None, PLAIN),
        "projection": projection,
    }
    return MapPlan({"it": tap}, shapes, {"v": 0}, **(given | how))


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("channels", [1, 3, 5, 4096])
def test_a_kernel_of_other_channels_than_the_activation(
    channels: int, projection: Projection
) -> None:
    plan(projection=projection)
    said = f"layer 'it': its kernel has {channels:,} channels, its activation 4; export the model"
    with pytest.raises(SampleError, match=said):
        plan(kernel=random_array(1, channels, 3, 3, 3), projection=projection)


@pytest.mark.parametrize("read", [None, (2, 3), (2, 3, 7), (2, 3, 7, 8, 9)])
def test_a_kernel_for_other_axes_than_what_it_reads(read: tuple[int, ...] | None) -> None:
    shapes = {"v": SHAPES["v"]} | ({} if read is None else {"s": read})
    plan(shapes=shapes)
    with pytest.raises(
        SampleError, match=r"layer 'it': it reads a value of .* with a kernel for 4"
    ):
        plan(shapes=shapes, projection="transposed")


@pytest.mark.parametrize("channel", [-1, 0, 4])
def test_channels_of_what_a_kernel_reads_lie_in_one_of_its_axes(channel: int) -> None:
    with pytest.raises(SampleError, match="layer 'it': it reads a value of 4 axes"):
        plan(replace(CONV, source_channel=channel), projection="transposed")


def test_a_batch_of_another_size() -> None:
    said = "layer 'it': 2 samples in axis 0 of its activation, 3 are expected"
    with pytest.raises(SampleError, match=said):
        plan(batch_size=3)


def test_axes_to_be_shown_that_are_not_there() -> None:
    with pytest.raises(SampleError, match="layer 'it': its activation of 4 axes is to be shown by"):
        plan(replace(CONV, shown=(0, 2, 3, 4)))


@pytest.mark.parametrize("leads", [False, True])
@pytest.mark.parametrize(("scales", "shifts"), [(3, 4), (4, 5), (1, 1), (64, 64)])
def test_a_follower_of_other_channels(scales: int, shifts: int, leads: bool) -> None:
    """Whether the loops compute it, or NumPy for a copy."""
    numbers = Pointwise("v", random_array(1, scales), random_array(2, shifts), 0, 1)
    taps = {"leader": Tap("v", Axes(0, 1))} if leads else {}
    taps |= {"it": Tap("w", Axes(0, 1))}
    with pytest.raises(SampleError, match=r"layer 'it': it has .* its activation 4 channels"):
        MapPlan(
            taps, SHAPES, {"v": 0}, batch_size=2, batch_axes={"v": 0}, input_size=(7, 8),
            weigh=pytest.fail, projection="published", pointwise={"it": numbers},
        )  # fmt: skip


def test_an_arena_or_a_staging_that_is_too_small() -> None:
    size = 2 * 4 * 5 * 6
    tight, copied = plan(), plan(replace(CONV, axes=Axes(0, 2)), random_array(1, 5, 3, 3, 3))
    array = random_array(3, *SHAPES["v"])
    room = np.empty(size, np.float32)
    tight.project(array.reshape(-1), {"v": array}, room[:0])
    copied.project(room[:0], {"v": array}, room)
    for each, arena, staging in ((tight, size - 1, size), (copied, size, size - 1)):
        with pytest.raises(ValueError, match="at least"):
            each.project(room[:arena], {"v": array}, room[:staging])


# --- Taps that lead out -------------------------------------------------------------------------


def lead_out(taps: Taps) -> dict[str, Taps]:
    """Taps that each leave the activation or the map of 5 x 6 in one way."""
    rows, far = taps.rows.copy(), taps.rows.copy()
    rows[0, -1], far[0, 0] = 5, 2**30
    found = {
        "more channels": replace(taps, weights=np.repeat(taps.weights, 2, axis=1)),
        "more taps": replace(taps, weights=np.repeat(taps.weights, 2, axis=0)),
        "more rows": replace(taps, rows=np.repeat(taps.rows, 2, axis=1)),
        "row below": replace(taps, rows=rows),
        "row far out": replace(taps, rows=far),
        "smaller map": replace(taps, size=(5, 5)),
    }
    for place, value in ((0, -1), (0, 1), (1, 2), (2, 1), (3, 0), (4, 7), (4, 2**30)):
        columns = taps.columns.copy()
        columns[0, 0, place] = value
        found[f"run {place}: {value}"] = replace(taps, columns=columns)
    return found


@pytest.mark.parametrize("name", lead_out(mean_taps(4, 5, 6)))
def test_taps_that_lead_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a slip in finding them would make them."""
    wrong = lead_out(mean_taps(4, 5, 6))[name]
    plan(Tap("v", Axes(0, 1)))
    monkeypatch.setattr("micam_fast.maps.bounds.find_taps", lambda *_: wrong)
    with pytest.raises(SampleError, match="layer 'it': its kernel does not fit an activation of 4"):
        plan(Tap("v", Axes(0, 1)))


def test_runs_of_no_columns_may_be_anywhere() -> None:
    columns = np.array([[[9, 1, 9, 1, 0], [0, 1, 0, 1, 6]]], np.int32)
    taps = replace(mean_taps(4, 5, 6), columns=columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("micam_fast.maps.bounds.find_taps", lambda *_: taps)
        found = find_fitting_taps("it", CONV, (5, 6), 4, None, None, "published")
    assert found is taps


# --- Rows that lead out -------------------------------------------------------------------------


def change(index: int, column: int, value: int) -> Callable[[LoopTables], None]:
    def change_row(tables: LoopTables) -> None:
        tables.rows[index, column] = value

    return change_row


READER, FLAT, FOLLOWER = 0, 1, 2
SLIPS = {
    f"{name} {value}": (index, change(index, column, value))
    for index, columns in (
        (READER, {
            "CHANNELS": (3, 5, 4096), "ROWS_IN": (4, 6, -5), "COLUMNS_IN": (7,), "SOURCE": (-1, 1),
            "SAMPLE_STRIDE": (121,), "WEIGHTS": (-1, 10**6), "TAPS": (10**6,), "MAP": (-1, 10**6),
            "ROW_TARGETS": (10**6, -1), "COLUMN_RUNS": (-1, 10**6), "ROWS_OUT": (10**6,),
        }),
        (FLAT, {"CHANNELS": (121,), "ROWS_OUT": (1,), "SOURCE": (1,)}),
        (FOLLOWER, {"ROWS_OUT": (6,), "COLUMNS_OUT": (7, 5), "WEIGHTS": (10**6,)}),
    )
    for name, values in columns.items()
    for column in (getattr(loops, name),)
    for value in values
}  # fmt: skip


def tables() -> LoopTables:
    """A layer that reads, one that is flat, and a follower."""
    made = LoopTables(
        3, SHAPES, (7, 8), 2, lambda _: sum_kernel(random_array(1, 4, 3, 3, 3), None, PLAIN),
        "published",
    )  # fmt: skip
    flat = Tap("v", Axes(0, 1), "flat")
    views = [view_activation(SHAPES["v"], CONV.axes, form, 0) for form in ("channels", "flat")]
    numbers = Pointwise("v", random_array(1, 4), random_array(2, 4), 0, 1)
    made.add_reader("reader", CONV, views[0], 0)
    made.add_reader("flat", flat, views[1], 0)
    made.add_follower("follower", views[0], numbers, "reader")
    return made


@pytest.mark.parametrize("slip", SLIPS)
def test_rows_that_lead_out(slip: str) -> None:
    made = tables()
    made.check()
    index, apply = SLIPS[slip]
    apply(made)
    name = ("reader", "flat", "follower")[index]
    # A follower is as large as its leader's grid: either may be the first that does not fit.
    with pytest.raises(SampleError, match=f"layer '{name}': its map would be made of"):
        made.check()


def test_no_layers_have_no_rows() -> None:
    assert plan(shapes={"v": (2, 0, 5, 6)}).names == ()
