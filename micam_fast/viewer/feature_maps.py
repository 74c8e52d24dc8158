"""Feature maps for the page: a byte for each value, and which of them a page can hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import SampleError

if TYPE_CHECKING:
    from micam_fast.diagrams.shown import Shown
    from micam_fast.engine.activations import LayerActivation
    from micam_fast.engine.loaded_model import LoadedModel


MOST_BYTES = 12 * 2**20
"""Values up to which all layers' feature maps come with a page that asks for none by name."""


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The feature maps of one layer for one sample, quantized.

    Attributes
    ----------
    codes
        ``(C, h, w)`` uint8: 0 at the map's own minimum, 255 at its maximum.
    lows, highs
        ``(C,)`` float32: minimum and maximum of each map, NaN for one that is not finite.
    energies
        ``(C,)`` float32: mean of the squared values.
    """

    codes: NDArray[np.uint8]
    lows: NDArray[np.float32]
    highs: NDArray[np.float32]
    energies: NDArray[np.float32]


def quantize(maps: NDArray[np.float32]) -> FeatureMaps:
    """Feature maps in 256 steps, each between its own minimum and maximum.

    Parameters
    ----------
    maps
        ``(C, h, w)``. A map that holds NaN or infinite values is given up.
    """
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    flat[~np.isfinite(flat).all(axis=1)] = np.nan
    lows, highs = flat.min(axis=1), flat.max(axis=1)
    spreads = highs - lows
    steps = 255 / np.where(spreads > 0, spreads, np.inf)
    codes = np.floor((flat - lows[:, np.newaxis]) * steps[:, np.newaxis] + 0.5)
    return FeatureMaps(
        np.nan_to_num(codes).astype(np.uint8).reshape(maps.shape),
        lows.astype(np.float32),
        highs.astype(np.float32),
        np.mean(flat**2, axis=1).astype(np.float32),
    )


def as_pictures(activation: NDArray[np.float32]) -> NDArray[np.float32]:
    """An activation ``(C, *space)`` as ``(C, h, w)``: a strip has one row, depth is averaged."""
    if activation.ndim == 2:
        return activation[:, np.newaxis]
    return activation.mean(axis=1) if activation.ndim == 4 else activation


def choose_layers(explanations: Sequence[Shown]) -> frozenset[str]:
    """All layers that have feature maps, if a page can hold these; else none."""
    layers, values = set(), 0
    for explanation in explanations:
        for name, found in explanation.maps.items():
            if not found.flat:
                layers.add(name)
                sizes = (size for size in found.shape if size is not None)
                # An unknown number of frames is no size of the shape.
                values += math.prod(sizes) // (found.copies or 1)
    return frozenset(layers) if values <= MOST_BYTES else frozenset()


def gather(
    model: LoadedModel,
    samples: Iterable[Any],
    layers: Iterable[str],
    frame: int | None = None,
) -> Iterator[dict[str, FeatureMaps]]:
    """Quantized feature maps of some layers, by name, sample by sample.

    A sample that fails has none, and neither has a flat layer. `frame` is as in `Model.explain`.
    """

    def quantized(
        index: int, slot: int, found: Iterator[LayerActivation] | SampleError
    ) -> dict[str, FeatureMaps]:
        if isinstance(found, SampleError):
            return {}
        return {each.layer: quantize(as_pictures(each.array)) for each in found if not each.flat}

    for found in model.activations(samples, quantized, layers=list(layers), frame=frame):
        yield {} if isinstance(found, SampleError) else found


def quantized_all(maps: Mapping[str, NDArray[np.float32] | FeatureMaps]) -> dict[str, FeatureMaps]:
    """Each layer's maps quantized, where they are not yet."""
    return {
        name: each if isinstance(each, FeatureMaps) else quantize(each)
        for name, each in maps.items()
    }
