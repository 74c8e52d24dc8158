"""Samples out of what a data loader gives: batches of samples with their labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import SampleError
from micam_fast.core.layers import ModelInput, show_shape
from micam_fast.samples.arrays import Arrays, as_array, fit_array, own_layout


class LabelledSamples:
    """Samples one by one, whose labels are kept until somebody asks for them; see `take_apart`."""

    def __init__(self, items: Any, inputs: Sequence[ModelInput]) -> None:
        self._items, self._inputs = items, inputs
        self._labels: dict[int, str] = {}

    def __iter__(self) -> Iterator[Any]:
        """The samples."""
        for index, (sample, label) in enumerate(take_apart(self._items, self._inputs)):
            if label is not None:
                self._labels[index] = label
            yield sample

    def label(self, index: int) -> str | None:
        """The label of a sample that was given out, once."""
        return self._labels.pop(index, None)


def bare_samples(items: Any, inputs: Sequence[ModelInput]) -> Iterator[Any]:
    """Samples one by one, without their labels; see `take_apart`."""
    return (sample for sample, _ in take_apart(items, inputs))


def take_apart(items: Any, inputs: Sequence[ModelInput]) -> Iterator[tuple[Any, str | None]]:
    """Samples one by one, each with its label where it has one.

    A tuple or list ``(x, y)`` is taken apart where ``x`` fits the model, as a sample or a batch of
    them, and ``y`` is one label for each: a text, or a number. ``(x,)`` is samples without labels,
    and so is a batch of several. Anything else is one sample, as it is.

    Parameters
    ----------
    items
        Any iterable, or a data set that has a length and is read by index.
    inputs
        Of the model.

    Yields
    ------
    tuple
        In the place of a pair whose ``y`` are no labels, a SampleError for a sample.
    """
    for item in _each(items):
        if _is_batch(item, inputs):
            item = (item,)
        rows = _rows_of(item, inputs)
        labels = None if rows is None else _labels_of(item, len(rows))
        if rows is None:
            yield item, None
        elif labels is None:
            yield SampleError(_no_labels(item, len(rows))), None
        else:
            yield from zip(rows, labels, strict=True)


def _is_batch(item: Any, inputs: Sequence[ModelInput]) -> bool:
    """Tell whether a bare item is a batch of several, by its shape alone: most are one sample."""
    if isinstance(item, Mapping):
        item = item.get(inputs[0].name)
    shape: Sequence[int] = getattr(item, "shape", ())
    return len(shape) == len(inputs[0].shape) and shape[0] > 1 and inputs[0].axes.batch == 0


def _rows_of(item: Any, inputs: Sequence[ModelInput]) -> list[Arrays] | None:
    """The samples in a tuple's first entry; ``None`` where it is no tuple of samples."""
    if not isinstance(item, (tuple, list)) or not item:
        return None
    first = item[0]
    arrays = first if isinstance(first, Mapping) else {inputs[0].name: first}
    # Nested lists of numbers are one sample.
    plain = not all(hasattr(each, "shape") for each in arrays.values())
    if plain or set(arrays) != {spec.name for spec in inputs}:
        return None
    fitted: dict[str, NDArray[Any]] = {}
    for spec in inputs:
        try:
            array = as_array(arrays[spec.name])
            fitted[spec.name], _ = fit_array(array, spec, own_layout(spec))
        except (SampleError, ValueError):
            return None
    counts = {len(rows) for rows in fitted.values()}
    if len(counts) != 1:
        return None
    return [{name: rows[n] for name, rows in fitted.items()} for n in range(counts.pop())]


def _each(items: Any) -> Iterator[Any]:
    """A data set of PyTorch has a length and entries, and need not say where it ends."""
    if not isinstance(items, Iterable) and hasattr(items, "__len__"):
        return (items[index] for index in range(len(items)))
    return iter(items)


def _labels_of(item: Sequence[Any], count: int) -> list[str] | list[None] | None:
    """A label for each sample; ``None`` where there is something else."""
    if len(item) == 1:
        return [None] * count
    try:
        labels = as_array(item[1])
    except ValueError:
        return None
    if len(item) > 2 or labels.ndim > 1 or labels.size != count or labels.dtype.kind not in "biufU":
        return None
    return [_text(label) for label in labels.reshape(-1)]


def _text(label: Any) -> str:
    if isinstance(label, np.str_):
        return str(label)
    return f"{label:g}" if isinstance(label, np.floating) else str(int(label))


def _no_labels(item: Sequence[Any], count: int) -> str:
    several = "one sample" if count == 1 else f"each of {count} samples"
    shape = getattr(item[1], "shape", None)
    found = f"of shape {show_shape(tuple(shape))}" if shape else f"a {type(item[1]).__name__}"
    return (
        f"a {type(item).__name__} of {len(item)} is no sample: (x, y) is taken where y is one "
        f"label for {several}, and y is {found}; give x alone: (x for x, *_ in samples)"
    )
