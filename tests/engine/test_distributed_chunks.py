"""Streams cut into chunks, and how large these become."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from micam_fast import Model, load_model
from micam_fast.analyses.statistics.on_cluster import chunk_size
from micam_fast.core.errors import SampleError
from micam_fast.engine.cluster.chunks import Pace, cut, weigh
from tests.helpers import models


def test_chunks_by_number() -> None:
    assert list(cut(iter(range(7)), lambda: 3, lambda _: 0)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(cut(iter([]), lambda: 3, lambda _: 0)) == []


def test_the_number_is_asked_for_each_chunk() -> None:
    sizes = iter([1, 2, 4])
    assert [len(each) for each in cut(iter(range(7)), lambda: next(sizes), lambda _: 0)] == [
        1,
        2,
        4,
    ]


def test_chunks_by_weight() -> None:
    weights = [5, 5, 20, 1, 9]
    chunks = list(cut(iter(weights), lambda: 10, lambda each: each, largest=10))
    assert chunks == [[5, 5], [20], [1, 9]]


def test_items_are_read_when_a_chunk_is_asked_for() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for index in range(10):
            read.append(index)
            yield index

    chunks = cut(items(), lambda: 2, lambda _: 0)
    next(chunks)
    assert read == [0, 1]


def test_a_slow_stream_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("micam_fast.engine.cluster.chunks.time.monotonic", lambda: now)

    def items() -> Iterator[int]:
        nonlocal now
        for index in range(4):
            yield index
            now += 0.6

    assert list(cut(items(), lambda: 10, lambda _: 0, patience=1.0)) == [[0, 1, 2], [3]]


def test_weights() -> None:
    assert weigh({"a": np.zeros(3, np.float32), "b": np.zeros(2, np.int8)}) == 14
    assert weigh(SampleError("broken")) == 0


def test_a_pace_of_a_second() -> None:
    pace = Pace(most=100)
    sizes = []
    for _ in range(6):
        pace.learn(pace.count, pace.count * 0.02)
        sizes.append(pace.count)
    # By four times at most, then what fits.
    assert sizes == [16, 50, 50, 50, 50, 50]
    pace.learn(50, 200.0)
    assert pace.count == 1
    # A chunk that took no time at all tells nothing.
    pace.learn(1, 0.0)
    assert pace.count == 1


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(models.conv_net())


def test_chunks_of_statistics(model: Model) -> None:
    names = [layer.name for layer in model.layers]
    shapes = {"x": (1, 8, 6)}
    assert chunk_size(model, names, shapes) == 32
    wide = load_model(models.conv_net(classes=4000))
    names = [layer.name for layer in wide.layers]
    size = chunk_size(wide, names, shapes)
    assert 32 < size <= 2048
    # Without covariances there is little to send.
    assert chunk_size(wide, (), shapes) == 32
