"""What one sample gave in one layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.layers import Layer, Shape

LEAST_VARIATION = 1e-3
"""Of a map's largest absolute value; a map that varies less hardly varies."""


@dataclass(frozen=True, eq=False)
class LayerMap:
    """A layer's map, coloured.

    Attributes
    ----------
    cam
        ``(h', w')`` float32.
    rgba
        ``(h', w', 4)`` uint8, straight alpha; all 0 where the layer takes no part.
    minimum, maximum
        Of `cam`; NaN where the layer takes no part.
    range
        ``(m, M)`` of SPEC section 3, ``M`` lifted by its rule; NaN where the layer takes no part.
    shape
        Of the activation, ``None`` for the batch and for sizes that the samples of a mean do not
        share.
    input_shapes
        Of what the layer reads, open sizes filled in from this run where they are known.
    flat
        Whether the map is a flat layer's list of values.
    even_weights
        Whether the layer has an all-zero bias, so that its channels count evenly.
    weighted
        Whether the map is made with the layer's kernel; else it is a mean over channels or a list.
    copies
        How many frames, windows or pairs, folded into the batch axis, the layer computes for the
        sample. The map is their mean. ``None`` for a mean of samples that have not all as many.
    steps
        Whether these are the steps that a wrapper runs the layer on.
    frame
        The one of them that the map shows instead of the mean, from 0.
    doubt
        That nothing, or not everything, says that the channels lie where the map has them.
    bad_values
        How many values of the activation are NaN or infinite; ``None`` where the map is finite.
    activation_range
        Minimum and maximum of the activation values that the map is made of; ``None`` where nobody
        asked for them, and NaN where the layer takes no part.
    channels
        How many channels, or features, the activation has at each place of the map; ``None`` for a
        list of values, and where it is not known.
    """

    cam: NDArray[np.float32]
    rgba: NDArray[np.uint8]
    minimum: float
    maximum: float
    range: tuple[float, float]
    shape: Shape
    input_shapes: tuple[Shape | None, ...] = ()
    flat: bool = False
    even_weights: bool = False
    weighted: bool = False
    copies: int | None = 1
    steps: bool = False
    frame: int | None = None
    doubt: str | None = None
    bad_values: int | None = None
    activation_range: tuple[float, float] | None = None
    channels: int | None = None

    @property
    def measured(self) -> bool:
        """Whether the activation's own range is known."""
        return self.activation_range is not None

    @property
    def constant(self) -> bool:
        """Whether all cells have one value."""
        return self.minimum == self.maximum

    @property
    def hardly_varies(self) -> bool:
        """Whether the cells differ by under a thousandth of the strongest, SPEC section 3."""
        strongest = max(abs(self.minimum), abs(self.maximum))
        return self.maximum - self.minimum < LEAST_VARIATION * strongest

    @property
    def plain(self) -> bool:
        """Whether the tile is grey: its colours would say nothing, or shout about it."""
        return self.constant or self.hardly_varies


def lies_on_input(layer: Layer, found: LayerMap, input_size: tuple[int, int]) -> bool:
    """Tell whether the cells of a map are those of the input.

    A flat layer's tile may have the input's size by chance; its values stand in no place of it.
    """
    return found.cam.shape == tuple(input_size) and (not found.flat or layer.op_type == "Input")
