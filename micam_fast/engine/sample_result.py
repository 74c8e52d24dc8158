"""What the engine gives for one sample: maps, ranges, prediction. It knows no diagram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.prediction import Prediction
from micam_fast.maps.layer_map import LayerMap
from micam_fast.maps.sample_maps import EachLayer, SampleMaps
from micam_fast.samples import FedSample


@dataclass(frozen=True, eq=False)
class SampleResult:
    """One sample's maps in every layer.

    Attributes
    ----------
    maps
        By layer name, in the diagram's order; layers that were left out are missing.
    global_range
        ``(gmin, gmax)`` of SPEC section 3.
    prediction
        What the model says, by the output that the graph or the user chose; ``None`` where there is
        no such output, or it is not finite.
    output
        The model's first output for this sample; ``None`` if that is no tensor.
    input_size
        ``(Hin, Win)``.
    fed
        What the model was fed, as far as the sample's own picture needs it; ``None`` where maps are
        not one sample's.
    """

    maps: Mapping[str, LayerMap]
    global_range: tuple[float, float]
    prediction: Prediction | None
    output: NDArray[Any] | None
    input_size: tuple[int, int]
    fed: FedSample | None = field(default=None, kw_only=True)

    @property
    def cams(self) -> Mapping[str, NDArray[np.float32]]:
        """Maps ``(h', w')`` float32 by layer name."""
        maps = self.maps
        if isinstance(maps, SampleMaps):
            return EachLayer(maps.layout.index, maps.cam)
        return EachLayer(maps, lambda name: maps[name].cam)

    @property
    def rgba(self) -> Mapping[str, NDArray[np.uint8]]:
        """Tiles ``(h', w', 4)`` uint8, straight alpha, at native resolution, by layer name."""
        return EachLayer(self.maps, lambda name: self.maps[name].rgba)

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """``(m, M)`` of SPEC section 3 by layer name; NaN where a layer takes no part."""
        return EachLayer(self.maps, lambda name: self.maps[name].range)

    @property
    def activation_ranges(self) -> Mapping[str, tuple[float, float]]:
        """Minimum and maximum of each activation by layer name; empty unless asked for."""
        maps = self.maps
        if isinstance(maps, SampleMaps) and maps.activation_ranges is None:
            return {}
        found = ((name, each.activation_range) for name, each in maps.items())
        return {name: each for name, each in found if each is not None}

    def colour(self) -> None:
        """Compute the colours of all maps now, and not when they are first asked for."""
        if isinstance(self.maps, SampleMaps):
            _ = self.maps.colours
