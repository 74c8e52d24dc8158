"""A sample's maps by layer name, made when they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import micam_fast
from micam_fast._loops import colours
from micam_fast.maps.sample_maps import EachLayer, MapsLayout, SampleMaps, lift_ranges
from tests.helpers import reference
from tests.helpers.comparing import assert_colours
from tests.helpers.models import conv_net, random_array

SIZES = ((2, 3), (1, 4), (3, 3))
NAMES = ("first", "second", "third")
SAMPLE = random_array(9, 1, 8, 6)


def made(
    *,
    spread: float = 3.0,
    bad: Mapping[str, int] | None = None,
    numbers: Collection[str] = (),
    seed: int = 1,
) -> SampleMaps:
    """Three maps whose cells do not lie in the diagram's order."""
    order = (2, 0, 1)
    begins, begin = {}, 0
    for place in order:
        begins[place] = begin
        begin += SIZES[place][0] * SIZES[place][1]
    slots = [[begins[place], h * w] for place, (h, w) in enumerate(SIZES)]
    values = random_array(seed, begin, spread=spread)
    ranges = np.array([[values[b : b + n].min(), values[b : b + n].max()] for b, n in slots], float)
    for name in bad or {}:
        ranges[NAMES.index(name)] = np.nan
    shapes = tuple((None, 5, *size) for size in SIZES)
    frame = MapsLayout(
        NAMES, np.array(slots), SIZES, shapes, tuple((s,) for s in shapes),
        (False, True, False), (True, False, False), (1, 1, 5),
        (None, None, "channels assumed last"), tuple(n in numbers for n in NAMES),
        weighted=frozenset(NAMES[:1]),
    )  # fmt: skip
    return SampleMaps(frame, values, ranges, bad or {})


# --- What is in it --------------------------------------------------------------------------


def test_maps_in_the_diagram_s_order() -> None:
    maps = made()
    assert list(maps) == list(NAMES)
    assert len(maps) == 3
    assert [found.cam.shape for found in maps.values()] == list(SIZES)
    assert [found.shape for found in maps.values()] == list(maps.layout.shapes)
    assert [found.input_shapes for found in maps.values()] == list(maps.layout.input_shapes)
    assert [found.flat for found in maps.values()] == [False, True, False]
    assert [found.even_weights for found in maps.values()] == [True, False, False]
    assert [found.weighted for found in maps.values()] == [True, False, False]
    assert [found.copies for found in maps.values()] == [1, 1, 5]
    assert [found.doubt for found in maps.values()] == [None, None, "channels assumed last"]
    values = np.concatenate([maps[name].cam.reshape(-1) for name in ("third", "first", "second")])
    np.testing.assert_array_equal(values, random_array(1, 19, spread=3))


@pytest.mark.parametrize("spread", [0.0, 1e-30, 3.0])
def test_colours_and_ranges_are_those_of_the_formulas(spread: float) -> None:
    maps = made(spread=spread)
    low, high = reference.global_range(found.cam for found in maps.values())
    assert maps.global_range == (low, high)
    for name, found in maps.items():
        expected = reference.rgba_uint8(found.cam, low, high).astype(int)
        assert np.abs(found.rgba - expected).max() <= 1
        assert (
            found.range == maps.range(name) == pytest.approx(reference.published_range(found.cam))
        )
        assert (found.minimum, found.maximum) == (found.cam.min(), found.cam.max())
        np.testing.assert_array_equal(maps.cam(name), found.cam)
        np.testing.assert_array_equal(maps.rgba(name), found.rgba)


@pytest.mark.parametrize("bad", [("second",), ("first", "third"), NAMES])
def test_layers_that_take_no_part(bad: tuple[str, ...]) -> None:
    maps = made(bad=dict.fromkeys(bad, 7))
    good = made()
    for name, found in maps.items():
        assert found.bad_values == (7 if name in bad else None)
        assert np.isnan(found.range).all() == np.isnan(found.minimum) == (name in bad)
        assert found.rgba.any() == (name not in bad)
    left = [good.cam(name) for name in NAMES if name not in bad]
    assert maps.global_range == reference.global_range(left)


@pytest.mark.parametrize("numbers", [("second",), ("first", "third"), NAMES])
def test_inputs_of_one_number_take_no_part_in_the_global_range(numbers: tuple[str, ...]) -> None:
    """Their own tiles and ranges stay; cells beyond the global range are opaque or transparent."""
    maps, all_of_them = made(numbers=numbers), made()
    low, high = reference.global_range(maps.cam(name) for name in NAMES if name not in numbers)
    assert maps.global_range == (low, high)
    assert maps.layout != all_of_them.layout
    for name, found in maps.items():
        assert found.range == all_of_them.range(name)
        assert (found.minimum, found.maximum) == (found.cam.min(), found.cam.max())
        expected = reference.rgba_uint8(found.cam, low, high).astype(int)
        assert np.abs(found.rgba - expected).max() <= 1


def test_a_map_of_equal_values() -> None:
    frame = MapsLayout(("one",), np.array([[0, 4]]), ((2, 2),), ((None, 1, 2, 2),), ((),), (False,),
                  (False,), (1,), (None,), (False,))  # fmt: skip
    maps = SampleMaps(frame, np.full(4, 5, np.float32), np.array([[5.0, 5.0]]), {})
    assert maps.range("one") == (5.0, 5.5)
    assert maps.global_range == (0.0, 5.0)


def test_no_maps_at_all() -> None:
    frame = MapsLayout((), np.empty((0, 2), np.int64), (), (), (), (), (), (), (), ())
    maps = SampleMaps(frame, np.empty(0, np.float32), np.empty((0, 2)), {})
    assert list(maps) == []
    assert maps.global_range == (0.0, 0.0)
    assert maps.colours.shape == (0, 4)


# --- How it behaves -------------------------------------------------------------------------


def test_unknown_names() -> None:
    maps = made()
    with pytest.raises(KeyError, match="fourth"):
        maps["fourth"]
    assert "fourth" not in maps
    assert maps.get("fourth") is None
    assert "first" in maps
    explanation = micam_fast.explain(conv_net(), SAMPLE)
    found: Mapping[str, Any]
    for found in (explanation.maps, explanation.cams, explanation.rgba, explanation.ranges):
        assert len(found) == 7
        assert list(found) == ["x", "conv", "relu", "pool", "flatten", "dense", "softmax"]
        assert "conv" in found
        assert "nope" not in found
        with pytest.raises(KeyError, match="nope"):
            found["nope"]
        with pytest.raises(TypeError, match="does not support item assignment"):
            found["conv"] = None  # type: ignore[index]


def test_each_map_is_made_once() -> None:
    maps = made()
    assert maps["first"] is maps["first"]
    assert dict(maps)["second"] is maps["second"]


def test_arrays_are_read_only_and_belong_to_the_sample() -> None:
    maps = made()
    for array in (maps.cam("first"), maps["first"].cam, maps.colours, maps["first"].rgba):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    explanations = list(
        micam_fast.load_model(conv_net()).explain_many(random_array(1, 4, 1, 8, 6), batch_size=4)
    )
    for explanation in explanations:
        cam = explanation.cams["conv"]
        base = cam.base
        assert base is not None
        # All maps of this sample, not those of the batch.
        assert base.size == sum(each.size for each in explanation.cams.values())
        with pytest.raises(ValueError, match="read-only"):
            cam[0, 0] = 1


def test_colours_are_computed_once_and_when_they_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    colour = colours.colour_maps

    def counted(*given: Any) -> None:
        calls.append(1)
        colour(*given)

    monkeypatch.setattr("micam_fast.maps.sample_maps.colour_maps", counted)
    explanation = micam_fast.explain(conv_net(), SAMPLE)
    for cam in explanation.cams.values():
        assert cam.size
    assert explanation.global_range
    assert explanation.prediction is not None
    assert not calls
    for _ in range(2):
        assert all(tile.any() for tile in explanation.rgba.values())
        assert len(explanation.maps) == len(explanation.ranges) == 7
        assert explanation.maps["conv"].rgba is not None
        explanation.colour()
    assert len(calls) == 1
    assert_colours(explanation)
    other = micam_fast.explain(conv_net(), SAMPLE)
    other.colour()
    assert len(calls) == 2
    assert other.rgba["conv"].any()
    assert len(calls) == 2


def test_each_layer_asks_each_time_and_only_for_what_is_there() -> None:
    asked: list[str] = []

    def make(name: str) -> str:
        asked.append(name)
        return name.upper()

    each = EachLayer({"a": 1, "b": 2}, make)
    assert list(each) == ["a", "b"]
    assert len(each) == 2
    assert not asked
    assert each["b"] == "B"
    assert asked == ["b"]
    with pytest.raises(KeyError, match="c"):
        each["c"]
    assert asked == ["b"]
    assert dict(each) == {"a": "A", "b": "B"}


def test_samples_of_the_same_shapes_share_their_frame() -> None:
    model = micam_fast.load_model(conv_net())
    first, second = (model.explain(sample).maps for sample in random_array(1, 2, 1, 8, 6))
    assert isinstance(first, SampleMaps)
    assert isinstance(second, SampleMaps)
    assert first.layout is second.layout


def test_lifted_ranges_keep_what_is_no_number() -> None:
    ranges = np.array([[np.nan, np.nan], [-2.0, -1.9], [0.0, 0.0], [1.0, 1.05]])
    np.testing.assert_allclose(
        lift_ranges(ranges), [[np.nan, np.nan], [-2.0, -1.8], [0.0, 0.0], [1.0, 1.1]]
    )


# --- What does not fit ------------------------------------------------------------------------


def test_fewer_cells_or_other_ranges_than_the_layout_s() -> None:
    maps = made()
    assert len(maps.cells) == maps.layout.reach
    for cells, ranges in ((maps.cells[:-1], maps.ranges), (maps.cells, maps.ranges[:-1])):
        with pytest.raises(ValueError, match="are expected"):
            SampleMaps(maps.layout, cells, ranges, {})


@pytest.mark.parametrize("slot", [(-1, 6), (0, 10**6), (0, 1)])
def test_a_slot_of_another_size_than_its_map(slot: tuple[int, int]) -> None:
    maps = made()
    slots = maps.layout.slots.copy()
    slots[0] = slot
    with pytest.raises(ValueError, match="are no map of"):
        SampleMaps(replace(maps.layout, slots=slots), maps.cells, maps.ranges, {})
