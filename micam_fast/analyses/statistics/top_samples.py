"""The samples that excite a layer most and least, with small pictures of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from micam_fast.core.layers import ModelInput
from micam_fast.samples import Arrays

Thumbnail = NDArray[np.uint8]
"""``(h, w)`` grey or ``(h, w, 3)``."""
LARGEST, LEAST = 40, 12
"""Pixels of a thumbnail's longer side, at most, and of its shorter side, at least."""


@dataclass(frozen=True, eq=False)
class RankedSample:
    """A sample by how much it excites a layer.

    Attributes
    ----------
    index, name
        Its place among the samples, and what it is called.
    energy
        Mean square of the layer's finite values for this sample.
    thumbnail
        A small picture of it.
    """

    index: int
    name: str
    energy: float
    thumbnail: Thumbnail


@dataclass(eq=False)
class TopSamples:
    """The samples of most and of least energy in a layer, at most `most` of each.

    The earlier one of two equal samples comes first, so that neither threads nor the workers of a
    cluster change the choice.

    Attributes
    ----------
    most
        How many are kept.
    strongest, weakest
        The most exciting sample first; the least exciting sample first.
    """

    most: int
    strongest: list[RankedSample] = field(default_factory=list)
    weakest: list[RankedSample] = field(default_factory=list)

    def takes(self, index: int, energy: float) -> bool:
        """Tell whether a sample would be kept."""
        if len(self.strongest) < self.most:
            return True
        high, low = self.strongest[-1], self.weakest[-1]
        above = (-energy, index) < (-high.energy, high.index)
        return above or (energy, index) < (low.energy, low.index)

    def add(self, samples: Iterable[RankedSample]) -> None:
        """Count samples in."""
        given = list(samples)
        self.strongest = sorted(
            [*self.strongest, *given], key=lambda each: (-each.energy, each.index, each.name)
        )[: self.most]
        self.weakest = sorted(
            [*self.weakest, *given], key=lambda each: (each.energy, each.index, each.name)
        )[: self.most]

    def merge(self, other: TopSamples) -> None:
        """Count in the samples of another part of the data set."""
        # Few samples stand in both lists.
        self.add({id(each): each for each in (*other.strongest, *other.weakest)}.values())


def make_thumbnail(arrays: Arrays, inputs: Sequence[ModelInput]) -> Thumbnail:
    """A small picture of a sample, from dark at its smallest value to light at its largest.

    Three channels are red, green and blue; of any other number the mean is shown, and of a volume
    the mean over its depth. A sequence has a row for each channel, a list of values is a strip. The
    largest of several inputs is shown.
    """
    spec = max(inputs, key=lambda each: arrays[each.name].size)
    array = arrays[spec.name].astype(np.float64)
    if not array.size:
        return np.zeros((LEAST, LARGEST), np.uint8)
    batch, channel = spec.axes.batch, spec.axes.completed(len(spec.shape)).channel
    if channel is not None and array.ndim > 1:
        inner = channel - (batch is not None and batch < channel)
        array = np.moveaxis(array, inner, 0)
    values = _plane(array)
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    # Halves, so that no difference of two numbers of float64 is infinite.
    span = high / 2 - low / 2
    with np.errstate(invalid="ignore"):
        shares = (values / 2 - low / 2) / span if span > 0 else np.full_like(values, 0.5)
        pixels = np.where(finite, shares * 255 + 0.5, 0)
    return _resized(pixels.astype(np.uint8))


def _plane(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values ``(C, *space)`` as ``(h, w)`` or ``(h, w, 3)``."""
    with np.errstate(invalid="ignore", over="ignore"):
        if array.ndim < 3:
            return array.reshape(1, -1) if array.ndim < 2 else array
        while array.ndim > 3:
            array = array.mean(axis=1)
        return np.moveaxis(array, 0, -1) if len(array) == 3 else array.mean(axis=0)


def _resized(pixels: Thumbnail) -> Thumbnail:
    height, width = pixels.shape[:2]
    scale = LARGEST / max(height, width)
    size = [max(LEAST, round(scale * side)) for side in (width, height)]
    # Means where it shrinks; where it grows, each value stays a rectangle of its own.
    found: Any = Image.fromarray(pixels)
    for axis, wanted in enumerate(size):
        way = Image.Resampling.BOX if wanted < found.size[axis] else Image.Resampling.NEAREST
        found = found.resize((wanted, found.size[1]) if axis == 0 else (found.size[0], wanted), way)
    return np.asarray(found)


def merge_tops(mine: dict[str, TopSamples], theirs: Mapping[str, TopSamples]) -> None:
    """Count in the samples of another part of the data set, layer by layer."""
    for name, top in theirs.items():
        mine.setdefault(name, TopSamples(top.most)).merge(top)
