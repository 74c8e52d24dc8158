"""Moments and covariance of channels, against NumPy in float64 on the whole array."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from micam_fast._loops import moments as loops
from micam_fast.analyses.statistics.moments import ChannelMoments, Covariance, Scratch
from tests.helpers.models import random_array
from tests.helpers.reference import effective_rank

Array = NDArray[np.float32]


def measure(*samples: Array, positions: int | None = None) -> ChannelMoments:
    """Moments of samples ``(C, P)``, ready to be read or merged."""
    found = ChannelMoments(len(samples[0]), covariance=True)
    scratch = Scratch()
    for sample in samples:
        found.add(sample, scratch, positions)
    if found.covariance is not None:
        found.covariance.settle(scratch)
    return found


def check(found: ChannelMoments, whole: Array, rank: float = 1e-6) -> None:
    """Compare all numbers of finite values ``(C, n)``; effective ranks as far as is promised."""
    exact = whole.astype(np.float64)
    summary = found.summary()
    assert (summary.values, summary.strays) == (whole.size, 0)
    scale = max(abs(exact).max(), 1e-300)
    assert summary.mean == pytest.approx(exact.mean(), rel=1e-12, abs=1e-13 * scale)
    # What float64 leaves of a deviation is a rounding of the mean.
    assert summary.deviation == pytest.approx(exact.std(), rel=1e-9, abs=1e-13 * scale)
    assert (summary.low, summary.high) == (exact.min(), exact.max())
    assert summary.energy == pytest.approx((exact**2).mean(), rel=1e-12)
    assert summary.sparsity == (exact == 0).mean()
    for channel, values in enumerate(exact):
        moments = found.moments[channel]
        assert moments[loops.MEAN] == pytest.approx(values.mean(), rel=1e-12, abs=1e-13 * scale)
        assert list(moments[loops.LOW :]) == [values.min(), values.max()]
    assert found.covariance is not None
    measured = found.covariance.effective_rank()
    assert measured == pytest.approx(effective_rank(exact), rel=rank)


@pytest.mark.no_jit
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 7), (5, 4097), (300, 3), (70, 700)], ids=str)
def test_numbers_of_the_whole_array(shape: tuple[int, int]) -> None:
    samples = [random_array(seed, *shape).clip(-0.5) for seed in range(4)]
    check(measure(*samples), np.concatenate(samples, axis=1))


def test_samples_of_many_sizes() -> None:
    samples = [random_array(seed, 6, size) for seed, size in enumerate((1, 255, 2, 700, 1300, 511))]
    check(measure(*samples), np.concatenate(samples, axis=1))


def test_few_positions_are_exact() -> None:
    samples = [random_array(seed, 200, 150) for seed in range(5)]
    check(measure(*samples), np.concatenate(samples, axis=1), rank=1e-12)
    # Of a rank far below the number of channels.
    samples = [random_array(1, 200, 3) @ each[:3] for each in samples]
    check(measure(*samples), np.concatenate(samples, axis=1), rank=1e-12)


def test_products_in_float32_after_the_first_positions() -> None:
    # 20,000 positions of 300 channels, of rank 40 but for the clipping: most are float32.
    mix = random_array(1, 300, 40)
    samples = [np.maximum(mix @ random_array(seed, 40, 1000), -4) for seed in range(2, 22)]
    check(measure(*samples), np.concatenate(samples, axis=1), rank=2e-6)


@pytest.mark.parametrize("offset", [1e6, -3e7])
def test_a_large_offset_and_a_tiny_deviation(offset: float) -> None:
    samples = [(offset + random_array(seed, 5, 3000)).astype(np.float32) for seed in range(3)]
    check(measure(*samples), np.concatenate(samples, axis=1))


def test_a_first_sample_far_away() -> None:
    samples = [np.full((4, 50), 1e7, np.float32), *(random_array(n, 4, 500) for n in range(3))]
    check(measure(*samples), np.concatenate(samples, axis=1))


def test_what_does_not_vary_has_rank_zero() -> None:
    found = measure(*[np.full((3, 600), 0.1, np.float32)] * 3)
    assert found.summary().deviation == 0
    assert found.covariance is not None
    assert found.covariance.effective_rank() == 0


def test_one_position_has_no_rank() -> None:
    covariance = measure(random_array(1, 3, 1)).covariance
    assert covariance is not None
    assert covariance.effective_rank() is None


def test_independent_channels_have_full_rank() -> None:
    covariance = measure(random_array(1, 8, 100_000)).covariance
    assert covariance is not None
    assert covariance.effective_rank() == pytest.approx(8, rel=1e-3)


@pytest.mark.no_jit
@pytest.mark.parametrize("stray", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_left_out(stray: float) -> None:
    samples = [random_array(seed, 3, 40) for seed in range(3)]
    samples[1][0, 5] = samples[1][2, 6] = stray
    samples[2][:] = stray
    found = measure(*samples)
    whole = np.concatenate(samples, axis=1).astype(np.float64)
    finite = whole[np.isfinite(whole)]
    summary = found.summary()
    assert (summary.values, summary.strays) == (finite.size, 122)
    assert summary.mean == pytest.approx(finite.mean(), rel=1e-12)
    assert summary.deviation == pytest.approx(finite.std(), rel=1e-12)
    assert (summary.low, summary.high) == (finite.min(), finite.max())
    # Positions with all channels finite.
    kept = whole[:, np.isfinite(whole).all(axis=0)]
    assert kept.shape == (3, 78)
    assert found.covariance is not None
    assert found.covariance.effective_rank() == pytest.approx(effective_rank(kept), rel=1e-9)


def test_nothing_finite() -> None:
    summary = measure(np.full((2, 3), np.nan, np.float32)).summary()
    assert (summary.values, summary.strays, summary.mean, summary.energy) == (0, 6, None, None)


def test_zeros_of_both_signs() -> None:
    found = measure(np.array([[0.0, -0.0, 1.0, -1.0]], np.float32))
    assert found.summary().sparsity == 0.5


@pytest.mark.parametrize(("threshold", "dead"), [(0.0, 0.5), (2.0, 0.75), (5.0, 1.0), (-2.0, 0.25)])
def test_dead_channels(threshold: float, dead: float) -> None:
    values = np.array([[-1, 0, -1], [-3, -2, -2], [-1, 1, 0], [0, 0, 5]], np.float32)
    assert measure(values, values - 4, values).dead(threshold).share == dead


def test_which_channels_are_dead() -> None:
    values = np.array([[-1, 0], [1, 0], [np.nan, np.inf], [0, np.nan]], np.float32)
    dead = measure(values).dead(0)
    # Nobody knows whether a channel is dead that has no finite value.
    assert (dead.indices, dead.share) == ((0, 3), 2 / 3)
    nothing = measure(np.full((2, 3), np.nan, np.float32)).dead(0)
    assert (nothing.indices, nothing.share) == (None, None)


def test_evenly_spread_positions() -> None:
    sample = random_array(1, 4, 1000)
    covariance = measure(sample, sample, positions=300).covariance
    assert covariance is not None
    assert covariance.count == 500
    expected = effective_rank(sample[:, ::4].astype(np.float64))
    assert covariance.effective_rank() == pytest.approx(expected, rel=1e-9)


def test_a_number_of_channels_that_varies() -> None:
    one, two = random_array(1, 3, 1), random_array(2, 5, 1)
    found = measure(one, two, one)
    assert found.varies
    assert found.covariance is None
    assert found.counts[:, loops.FINITE].tolist() == [3, 3, 3, 1, 1]
    values = np.concatenate([one, two, one]).astype(np.float64)
    assert found.summary().mean == pytest.approx(values.mean(), rel=1e-12)


@given(
    cuts=st.lists(st.integers(0, 12), max_size=4),
    size=st.integers(1, 300),
    channels=st.integers(1, 6),
    offset=st.sampled_from([0.0, 1e6]),
)
def test_any_split_gives_the_same(cuts: list[int], size: int, channels: int, offset: float) -> None:
    samples = [
        (random_array(seed, channels, size) + offset).astype(np.float32) for seed in range(12)
    ]
    edges = [0, *sorted(cuts), 12]
    whole = ChannelMoments(channels, covariance=True)
    for begin, end in itertools.pairwise(edges):
        if begin < end:
            part = measure(*samples[begin:end])
            whole.merge(pickle.loads(pickle.dumps(part)))
    assert whole.samples == 12
    check(whole, np.concatenate(samples, axis=1))


def test_merging_with_strays_and_other_sizes() -> None:
    one, two = random_array(1, 2, 5), random_array(2, 4, 5)
    one[0, 0] = np.nan
    found = measure(one)
    found.merge(measure(two))
    assert found.varies
    assert found.covariance is None
    assert (found.summary().values, found.summary().strays) == (29, 1)
    values = np.concatenate([one.ravel()[1:], two.ravel()]).astype(np.float64)
    assert found.summary().deviation == pytest.approx(values.std(), rel=1e-12)


def test_size_is_what_is_held() -> None:
    covariance, scratch = Covariance(300), Scratch()
    for seed in range(5):
        covariance.add(random_array(seed, 300, 100), scratch)
    held = sum(each.nbytes for each in vars(covariance).values() if isinstance(each, np.ndarray))
    assert held == Covariance.size(300) + 300 * 8


@pytest.mark.parametrize("channels", [16, 90, 700])
@pytest.mark.parametrize("made", [None, (), (5,), (1000,)])
def test_few_positions_of_many_channels(
    channels: int, made: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their covariance has a low rank, and is never laid out."""
    values = random_array(1, channels, 2) + 3
    covariance = Covariance(channels)
    for sample in (values, random_array(2, channels, 0), random_array(3, channels, 1)):
        covariance.add(sample, Scratch())
    covariance.settle(Scratch())
    factor = None if made is None else random_array(4, *made, channels).astype(np.float64)
    whole = np.concatenate([values, random_array(3, channels, 1)], axis=1).astype(np.float64)
    if factor is not None:
        whole = factor[:, np.newaxis] * whole if factor.ndim == 1 else factor @ whole
    expected = effective_rank(whole)
    sizes: list[int] = []
    solve = np.linalg.eigvalsh

    def note_size(matrix: NDArray[Any]) -> NDArray[Any]:
        sizes.append(len(matrix))
        return solve(matrix)

    monkeypatch.setattr(np.linalg, "eigvalsh", note_size)
    assert covariance.effective_rank(factor) == pytest.approx(expected, rel=1e-9)
    assert sizes == ([3] if channels > 24 else [min(16, *(made or (16,)))])


@pytest.mark.parametrize("channels", [3, 5])
@pytest.mark.parametrize("positions", [10, 1000])
def test_a_covariance_of_other_channels(channels: int, positions: int) -> None:
    covariance = Covariance(4)
    with pytest.raises(ValueError, match=f"{channels} channels, 4 are expected"):
        covariance.add(random_array(1, channels, positions), Scratch())
