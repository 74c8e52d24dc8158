"""What a data loader gives, taken apart into samples and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Axes, ModelInput
from micam_fast.samples.labelled import LabelledSamples, bare_samples, take_apart

PICTURE = ModelInput("x", (None, 3, 4, 5), Axes(0, 1), "float32")
FLAT = ModelInput("f", (None, 6), Axes(0, 1), "float32")
BATCH = np.arange(2 * 60, dtype=np.float32).reshape(2, 3, 4, 5)


class Tensor:
    """What of a tensor is used: it is brought to the CPU, without its gradient."""

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)
        self.shape, self.dtype = self._values.shape, "torch.float32"

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._values


class Endless:
    """A data set that has a length, and says nowhere that it ends."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return BATCH[index % 2], index + 5


def taken(item: Any, *inputs: ModelInput) -> list[tuple[Any, str | None]]:
    return list(take_apart([item], inputs or (PICTURE,)))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([3, 7]), ["3", "7"]),
        (Tensor([3, 7]), ["3", "7"]),
        (["cat", "dog"], ["cat", "dog"]),
        (("cat", "dog"), ["cat", "dog"]),
        (np.array([0.0, 1.5]), ["0", "1.5"]),
        ([True, False], ["1", "0"]),
    ],
)
@pytest.mark.parametrize("kind", [tuple, list])
def test_a_batch_with_its_labels(labels: Any, expected: list[str], kind: Any) -> None:
    found = taken(kind([Tensor(BATCH), labels]))
    assert [label for _, label in found] == expected
    for (sample, _), row in zip(found, BATCH, strict=True):
        np.testing.assert_array_equal(sample["x"], row)


@pytest.mark.parametrize(
    ("label", "expected"),
    [(7, "7"), ("cat", "cat"), (np.int64(7), "7"), (Tensor(7), "7"), (np.array([7]), "7")],
)
def test_a_sample_with_its_label(label: Any, expected: str) -> None:
    ((sample, found),) = taken((BATCH[0], label))
    assert found == expected
    np.testing.assert_array_equal(sample["x"], BATCH[0])


def test_a_batch_alone_in_a_tuple() -> None:
    assert [label for _, label in taken([BATCH])] == [None, None]


@pytest.mark.parametrize("item", [BATCH, Tensor(BATCH), {"x": BATCH}])
def test_a_bare_batch_is_its_samples(item: Any) -> None:
    found = taken(item)
    assert [label for _, label in found] == [None, None]
    for (sample, _), row in zip(found, BATCH, strict=True):
        np.testing.assert_array_equal(sample["x"], row)


def test_several_inputs_are_a_mapping() -> None:
    flat = np.ones((2, 6), np.float32)
    found = taken(({"x": BATCH, "f": flat}, [1, 2]), PICTURE, FLAT)
    assert [label for _, label in found] == ["1", "2"]
    assert [list(sample) for sample, _ in found] == [["x", "f"]] * 2
    for pair in (({"x": BATCH, "f": flat[:1]}, [1, 2]), ((BATCH, flat)), ({"x": BATCH}, [1, 2])):
        assert taken(pair, PICTURE, FLAT) == [(pair, None)]


@pytest.mark.parametrize(
    "item",
    [BATCH[:1], BATCH[0], {"x": BATCH[0]}, BATCH[0].tolist(), (1, 2), (), (np.ones(7), 3), "cat",
     SampleError("lost"), (np.ones((3, 9, 9)), 3)],
)  # fmt: skip
def test_anything_else_is_one_sample(item: Any) -> None:
    ((sample, label),) = taken(item)
    assert sample is item
    assert label is None


def test_rows_of_a_sequence_are_no_labels() -> None:
    sequence = ModelInput("s", (None, 2, 6), Axes(0, 2), "float32")
    pair = (np.ones(6), np.ones(6))
    assert taken(pair, sequence) == [(pair, None)]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ((BATCH, np.ones((2, 4, 5))), r"a tuple of 2 is no sample: \(x, y\) is taken where y is "
         r"one label for each of 2 samples, and y is of shape \(2, 4, 5\); give x alone: "
         r"\(x for x, \*_ in samples\)"),
        ([BATCH, [1, 2, 3]], "a list of 2 is no sample"),
        ((BATCH, 3), "for each of 2 samples"),
        ((BATCH[0], None), "y is one label for one sample"),
        ((BATCH, [1, 2], ["a", "b"]), "a tuple of 3 is no sample"),
        ((BATCH, [[1], [2, 3]]), "a tuple of 2 is no sample"),
    ],
)  # fmt: skip
def test_what_are_no_labels_is_an_error(item: Any, message: str) -> None:
    ((error, label),) = taken(item)
    assert label is None
    with pytest.raises(SampleError, match=message):
        raise error


def test_a_data_set_without_an_end_has_a_length() -> None:
    assert [label for _, label in take_apart(Endless(), (PICTURE,))] == ["5", "6"]


def test_labels_are_kept_until_they_are_asked_for() -> None:
    given = LabelledSamples([(BATCH, [3, 4]), BATCH[0], (BATCH[0], "cat")], (PICTURE,))
    assert len(list(given)) == 4
    assert [given.label(index) for index in range(5)] == ["3", "4", None, "cat", None]
    assert given.label(0) is None


def test_samples_without_their_labels() -> None:
    assert len(list(bare_samples([(BATCH, [3, 4])], (PICTURE,)))) == 2
