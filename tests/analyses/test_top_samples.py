"""The samples that excite each layer most and least, and their thumbnails."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from micam_fast import load_model
from micam_fast._loops.moments import add_squares
from micam_fast.analyses.statistics import Statistics, stats
from micam_fast.analyses.statistics.top_samples import LARGEST, LEAST, make_thumbnail
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Axes, ModelInput
from micam_fast.engine.loaded_model import SampleLike
from tests.helpers.models import conv_net, random_array

# Small enough that no softmax of two samples is saturated alike.
SAMPLES = [0.05 * (1 + seed % 7) * random_array(seed, 1, 8, 6) for seed in range(25)]


def names(found: Statistics) -> dict[str, tuple[Any, Any]]:
    return {row.layer: (row.strongest, row.weakest) for row in found.rows if row.label is None}


def by_hand(most: int) -> dict[str, tuple[Any, Any]]:
    """Each sample alone, its layers' energies, and the samples in their order."""
    energies: dict[str, list[float]] = {}
    for sample in SAMPLES:
        for row in stats(conv_net(), [sample]).rows:
            assert row.energy is not None
            energies.setdefault(row.layer, []).append(row.energy)
    found = {}
    for layer, of_layer in energies.items():
        order = np.argsort(of_layer, kind="stable")
        falling = np.argsort(-np.array(of_layer), kind="stable")
        strongest, weakest = (
            tuple(f"sample {index}" for index in each[:most]) for each in (falling, order)
        )
        found[layer] = strongest, weakest
    return found


@pytest.fixture(scope="module")
def expected() -> dict[str, tuple[Any, Any]]:
    return by_hand(3)


@pytest.mark.parametrize("threads", [1, 3])
def test_they_are_those_of_the_most_and_least_energy(
    expected: dict[str, tuple[Any, Any]], threads: int
) -> None:
    found = stats(load_model(conv_net(), threads=threads), iter(SAMPLES), top_samples=3)
    assert names(found) == expected


@pytest.mark.parametrize("cut", [1, 12, 24])
def test_parts_merge_to_the_whole(expected: dict[str, tuple[Any, Any]], cut: int) -> None:
    called = [f"sample {index}" for index in range(len(SAMPLES))]
    found = stats(conv_net(), SAMPLES[:cut], names=called[:cut], top_samples=3)
    other = stats(conv_net(), SAMPLES[cut:], names=called[cut:], top_samples=3)
    found.merge(pickle.loads(pickle.dumps(other)))
    assert names(found) == expected


def test_other_numbers_of_them_do_not_merge() -> None:
    found = stats(conv_net(), SAMPLES[:1], top_samples=3)
    with pytest.raises(ValueError, match="different numbers of top samples cannot be merged"):
        found.merge(stats(conv_net(), SAMPLES[1:2]))


def test_of_equal_samples_the_first_are_kept() -> None:
    found = stats(conv_net(), [SAMPLES[0]] * 5, top_samples=2)
    assert set(names(found).values()) == {(("sample 0", "sample 1"), ("sample 0", "sample 1"))}


def test_fewer_samples_than_are_kept() -> None:
    found = stats(conv_net(), SAMPLES[:2], names=["a", "b"], top_samples=5)
    strongest, weakest = names(found)["x"]
    assert sorted(strongest) == ["a", "b"]
    assert weakest == strongest[::-1]


def test_samples_without_a_finite_value_are_not_ranked() -> None:
    nothing = np.full((1, 8, 6), np.nan, np.float32)
    samples: list[SampleLike | SampleError] = [nothing, SAMPLES[0], SampleError("it is gone")]
    found = stats(conv_net(), samples, top_samples=2)
    assert set(names(found).values()) == {(("sample 1",), ("sample 1",))}


def test_classes_have_no_samples_of_their_own() -> None:
    found = stats(conv_net(), SAMPLES[:3], labels=["a", "b", "a"], top_samples=1)
    assert found.of("conv", "a").strongest is None
    assert found.of("conv").strongest is not None
    assert stats(conv_net(), SAMPLES[:1]).of("conv").strongest is None


def test_a_wrong_number() -> None:
    with pytest.raises(ValueError, match="top_samples must be at least 0, not -1"):
        stats(conv_net(), SAMPLES, top_samples=-1)


def test_names_are_read_sample_by_sample() -> None:
    read: list[int] = []

    def call() -> Iterator[str]:
        for index in range(len(SAMPLES)):
            read.append(index)
            yield str(index)

    def give() -> Iterator[NDArray[np.float32]]:
        for index, sample in enumerate(SAMPLES):
            assert len(read) == index
            yield sample

    stats(conv_net(), give(), names=call(), top_samples=1)
    assert len(read) == len(SAMPLES)


@pytest.mark.no_jit
def test_squares_of_finite_values() -> None:
    values = np.array([[1, 2, np.nan], [np.inf, -np.inf, -3]], np.float32)
    found = np.zeros(2)
    add_squares(values, found)
    assert found.tolist() == [1 + 4 + 9, 3]
    large = np.full((1, 2), 3e38, np.float32)
    found = np.zeros(2)
    add_squares(large, found)
    assert found[0] == pytest.approx(2 * float(large[0, 0]) ** 2)


def thumbnail(array: NDArray[Any], axes: Axes) -> NDArray[np.uint8]:
    shape = (None, *array.shape)
    return make_thumbnail({"x": array}, [ModelInput("x", shape, axes, "float32")])


FIRST, LAST = Axes(0, 1), Axes(0, 3)


class TestThumbnails:
    """Small pictures of whatever a sample is."""

    def test_grey(self) -> None:
        array = np.zeros((1, 8, 4), np.float32)
        array[0, 0, 0], array[0, 7, 3] = 1, 0.5
        found = thumbnail(array, FIRST)
        assert found.shape == (LARGEST, LARGEST // 2)
        assert found[0, 0] == 255
        assert found[-1, -1] == 128
        assert found[0, -1] == 0

    @pytest.mark.parametrize("axes", [FIRST, LAST])
    def test_colour(self, axes: Axes) -> None:
        array = np.zeros((3, 2, 2), np.float32)
        array[1, 0, 0] = 2
        given = array if axes == FIRST else np.moveaxis(array, 0, -1)
        found = thumbnail(given, axes)
        assert found.shape == (LARGEST, LARGEST, 3)
        assert found[0, 0].tolist() == [0, 255, 0]
        assert found[-1, -1].tolist() == [0, 0, 0]

    @pytest.mark.parametrize(
        ("shape", "axes", "size"),
        [
            ((12, 5000), Axes(0, 1), (LEAST, LARGEST)),
            ((5000, 12), Axes(0, 2), (LEAST, LARGEST)),
            ((700,), Axes(0, None), (LEAST, LARGEST)),
            ((7, 60, 1), FIRST, (LARGEST, LEAST)),
            ((1, 300, 400), FIRST, (LARGEST * 3 // 4, LARGEST)),
            ((1, 5, 6, 8), FIRST, (LARGEST * 3 // 4, LARGEST)),
            ((), Axes(0, None), (LARGEST, LARGEST)),
        ],
    )
    def test_what_is_no_picture(
        self, shape: tuple[int, ...], axes: Axes, size: tuple[int, int]
    ) -> None:
        found = thumbnail(random_array(1, *shape), axes)
        assert found.shape == size
        assert found.dtype == np.uint8

    def test_nothing_to_tell_apart(self) -> None:
        assert set(thumbnail(np.full((1, 4, 4), 7, np.float32), FIRST).ravel()) == {128}
        nothing = np.full((1, 4, 4), np.nan, np.float32)
        assert set(thumbnail(nothing, FIRST).ravel()) == {0}
        assert set(thumbnail(np.zeros((1, 0, 4), np.float32), FIRST).ravel()) == {0}

    def test_values_without_bounds(self) -> None:
        array = np.array([[[-1.7e308, 1.7e308], [np.inf, -np.inf]]])
        found = thumbnail(array, FIRST)
        assert [found[place] for place in ((0, 0), (0, -1), (-1, 0), (-1, -1))] == [0, 255, 0, 0]

    def test_integers_and_booleans(self) -> None:
        array = np.array([[[0, 200], [100, 0]]], np.uint8)
        found = thumbnail(array, FIRST)
        assert (found[0, 0], found[0, -1], found[-1, 0]) == (0, 255, 128)
        assert thumbnail(array > 0, FIRST)[0, -1] == 255
