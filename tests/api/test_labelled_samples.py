"""Batches with labels, as data loaders give them, in all that takes samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import micam_fast
from micam_fast import Model, SampleError, load_model
from tests.helpers.models import conv_net, random_array, two_input_net

ROWS = [random_array(seed, 1, 8, 6) for seed in range(5)]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(conv_net())


def loader() -> Iterator[Any]:
    """Two batches and a lone sample."""
    yield np.stack(ROWS[:2]), np.array([4, 0])
    yield [np.stack(ROWS[2:4]), ["cat", "dog"]]
    yield ROWS[4], 2


LABELS = ["4", "0", "cat", "dog", "2"]


def check(found: list[Any], model: Model) -> None:
    assert [each.label for each in found] == LABELS
    for each, row in zip(found, ROWS, strict=True):
        wanted = model.explain(row).cams["conv"]
        np.testing.assert_allclose(each.cams["conv"], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_each_sample_keeps_its_label(threads: int, batch_size: int | None) -> None:
    model = load_model(conv_net(), threads=threads)
    check(list(model.explain_many(loader(), batch_size=batch_size)), model)


def test_a_stream_gives_labels(model: Model) -> None:
    check(list(model.stream(loader(), lambda index, found: found)), model)


def test_one_pair_is_one_sample_with_its_label(model: Model) -> None:
    assert model.explain((ROWS[0], 3)).label == "3"
    assert model.explain((ROWS[0][np.newaxis], ["cat"])).label == "cat"
    assert model.explain(ROWS[0]).label is None


@pytest.mark.parametrize(
    "batch", [np.stack(ROWS), (np.stack(ROWS), np.arange(5)), [np.stack(ROWS)]]
)
def test_a_batch_says_how_to_hand_it_over(model: Model, batch: Any) -> None:
    message = r"a batch of 5 samples was given as one sample; use explain_many\(batch\) for all"
    with pytest.raises(SampleError, match=message):
        model.explain(batch)


def test_a_batch_among_samples_is_its_samples(model: Model) -> None:
    found = list(model.explain_many([np.stack(ROWS), ROWS[0]]))
    assert len(found) == 6
    np.testing.assert_array_equal(found[5].cams["conv"], found[0].cams["conv"])
    assert not np.array_equal(found[1].cams["conv"], found[0].cams["conv"])


def test_what_are_no_labels_fails_in_its_place(model: Model) -> None:
    first, second = model.explain_each([(np.stack(ROWS), np.zeros((5, 8, 6))), (ROWS[0], 1)])
    assert "(x, y) is taken where y is one label for each of 5 samples" in str(first)
    assert not isinstance(second, SampleError)
    assert second.label == "1"


def test_several_inputs(model: Model) -> None:
    model = load_model(two_input_net())
    shapes = {spec.name: [size or 1 for size in spec.shape[1:]] for spec in model.inputs}
    batch = {name: random_array(1, 3, *shape) for name, shape in shapes.items()}
    assert [each.label for each in model.explain_many([(batch, [1, 2, 3])])] == ["1", "2", "3"]


def test_the_page_shows_labels(model: Model) -> None:
    page = model.view(loader(), labels=["first"], feature_maps="conv")
    assert [each.label for each in page.explanations] == ["first", *LABELS[1:]]
    assert [list(each) for each in page.feature_maps or ()] == [["conv"]] * 5


def test_statistics_by_the_labels_that_come_along(model: Model) -> None:
    assert micam_fast.stats(model, loader()).labels == ()
    found = micam_fast.stats(model, loader(), labels=True)
    assert found.labels == tuple(sorted(LABELS))
    assert found.of("conv").samples == 5
    assert found.of("conv", "cat").mean == micam_fast.stats(model, [ROWS[2]]).of("conv").mean


def test_activations_and_checks(model: Model) -> None:
    taken = model.activations(loader(), lambda index, slot, found: index, layers="conv")
    assert list(taken) == [0, 1, 2, 3, 4]
    taken = model.contributions(loader(), lambda index, slot, found: index, layers="conv")
    assert list(taken) == [0, 1, 2, 3, 4]
    assert list(micam_fast.check(model, loader(), steps=2, draws=1).counted) == [0, 1, 2, 3, 4]
