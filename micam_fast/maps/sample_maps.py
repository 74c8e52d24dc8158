"""All maps of one sample, each made an object of its own when it is asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.colours import colour_maps
from micam_fast.core.layers import Layer, Shape
from micam_fast.maps.layer_map import LayerMap

Value = TypeVar("Value", covariant=True)


@dataclass(frozen=True, eq=False)
class MapsLayout:
    """What the maps of all samples of the same shapes share; equal by value.

    Attributes
    ----------
    names
        Layers with a map, in the diagram's order.
    slots
        ``(layers, 2)`` int64: begin and size of each map among a sample's values.
    sizes
        ``(h', w')`` of each map.
    shapes, input_shapes, flat, even_weights, copies, doubts
        As in `LayerMap`, one for each layer.
    numbers
        Whether each layer is an input of one number, which takes no part in the global range.
    left_out
        Layers without a map, with the sizes of this run where these are known.
    stepped
        Names of the layers that a wrapper runs on each step.
    weighted
        Names of the layers whose maps are made with their kernels.
    frame
        As in `LayerMap`, of all layers with copies.
    channels
        As in `LayerMap`, one for each layer; empty where they are not known.
    """

    names: tuple[str, ...]
    slots: NDArray[np.int64]
    sizes: tuple[tuple[int, int], ...]
    shapes: tuple[Shape, ...]
    input_shapes: tuple[tuple[Shape | None, ...], ...]
    flat: tuple[bool, ...]
    even_weights: tuple[bool, ...]
    copies: tuple[int | None, ...]
    doubts: tuple[str | None, ...]
    numbers: tuple[bool, ...]
    left_out: tuple[Layer, ...] = ()
    stepped: frozenset[str] = frozenset()
    weighted: frozenset[str] = frozenset()
    frame: int | None = None
    channels: tuple[int | None, ...] = ()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, MapsLayout) and self._value == other._value)

    def __hash__(self) -> int:
        return self._hash

    @functools.cached_property
    def _value(self) -> tuple[Hashable, ...]:
        values = vars(self) | {"slots": self.slots.tobytes()}
        return tuple(values[each.name] for each in fields(self))

    @functools.cached_property
    def _hash(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[Any, ...]:
        return MapsLayout, tuple(getattr(self, each.name) for each in fields(self))

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Place of each layer in `names`."""
        return {name: place for place, name in enumerate(self.names)}

    @functools.cached_property
    def sized(self) -> dict[str, Layer]:
        """Each of `left_out` by its name."""
        return {layer.name: layer for layer in self.left_out}

    @functools.cached_property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """Begin and end of each map among a sample's values."""
        return tuple((begin, begin + size) for begin, size in self.slots.tolist())

    @functools.cached_property
    def reach(self) -> int:
        """Values that a sample must have for all maps.

        Raises
        ------
        ValueError
            If a slot is not as large as its map.
        """
        for (begin, end), (height, width) in zip(self.bounds, self.sizes, strict=True):
            if begin < 0 or end - begin != height * width:
                raise ValueError(f"values {begin} to {end} are no map of {height} x {width}")
        return max((end for _, end in self.bounds), default=0)

    @functools.cached_property
    def ranged(self) -> NDArray[np.intp]:
        """Places of the layers that take part in the global range."""
        return np.flatnonzero(~np.array(self.numbers, bool))


class SampleMaps(Mapping[str, LayerMap]):
    """A sample's maps by layer name.

    Parameters
    ----------
    layout
        What they share with other samples'.
    cells
        All maps' cells, one-dimensional float32.
    ranges
        ``(layers, 2)`` float64: minimum and maximum of each, NaN where a layer takes no part.
    bad_values
        How many values of a layer's activation are NaN or infinite, where it takes no part.
    activation_ranges
        ``(layers, 2)``: minimum and maximum of each activation, if they were asked for.

    Raises
    ------
    ValueError
        If cells or ranges are fewer than the layout's.

    Attributes
    ----------
    layout, cells, ranges, bad_values, activation_ranges
        As given.
    global_range
        ``(gmin, gmax)`` of SPEC section 3.
    """

    def __init__(
        self,
        layout: MapsLayout,
        cells: NDArray[np.float32],
        ranges: NDArray[np.float64],
        bad_values: Mapping[str, int],
        activation_ranges: NDArray[np.float64] | None = None,
    ) -> None:
        if len(cells) < layout.reach or ranges.shape != (len(layout.sizes), 2):
            raise ValueError(
                f"{len(cells)} cells and {len(ranges)} ranges, at least {layout.reach} and just "
                f"{len(layout.sizes)} are expected"
            )
        self.layout, self.cells = layout, cells
        self.ranges, self.bad_values = ranges, bad_values
        self.activation_ranges = activation_ranges
        part = ranges[layout.ranged]
        self.global_range = (
            min(0.0, float(np.nanmin(part[:, 0], initial=0.0))),
            max(0.0, float(np.nanmax(part[:, 1], initial=0.0))),
        )
        cells.flags.writeable = False
        self._made: dict[str, LayerMap] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickling: what is computed from the rest stays behind."""
        bad_values = dict(self.bad_values)
        return SampleMaps, (
            self.layout, self.cells, self.ranges, bad_values, self.activation_ranges
        )  # fmt: skip

    @functools.cached_property
    def lifted(self) -> NDArray[np.float64]:
        """``(layers, 2)``: ``m`` and ``M`` of SPEC section 3."""
        return lift_ranges(self.ranges)

    @functools.cached_property
    def colours(self) -> NDArray[np.uint8]:
        """``(cells, 4)``: R, G, B, A of all maps' cells."""
        rgba = np.empty((len(self.cells), 4), np.uint8)
        colour_maps(self.layout.slots, self.cells, self.lifted, *self.global_range, rgba)
        rgba.flags.writeable = False
        return rgba

    def cam(self, name: str) -> NDArray[np.float32]:
        """A layer's map ``(h', w')``."""
        place = self.layout.index[name]
        begin, end = self.layout.bounds[place]
        return self.cells[begin:end].reshape(self.layout.sizes[place])

    def rgba(self, name: str) -> NDArray[np.uint8]:
        """A layer's tile ``(h', w', 4)``."""
        place = self.layout.index[name]
        begin, end = self.layout.bounds[place]
        return self.colours[begin:end].reshape(*self.layout.sizes[place], 4)

    def range(self, name: str) -> tuple[float, float]:
        """``(m, M)`` of a layer."""
        low, high = self.lifted[self.layout.index[name]].tolist()
        return low, high

    def activation_range(self, name: str) -> tuple[float, float] | None:
        """Minimum and maximum of a layer's activation, if they were asked for."""
        if self.activation_ranges is None:
            return None
        low, high = self.activation_ranges[self.layout.index[name]].tolist()
        return low, high

    def __getitem__(self, name: str) -> LayerMap:
        if name not in self._made:
            layout, place = self.layout, self.layout.index[name]
            minimum, maximum = self.ranges[place].tolist()
            self._made[name] = LayerMap(
                cam=self.cam(name),
                rgba=self.rgba(name),
                minimum=minimum,
                maximum=maximum,
                range=self.range(name),
                shape=layout.shapes[place],
                input_shapes=layout.input_shapes[place],
                flat=layout.flat[place],
                even_weights=layout.even_weights[place],
                weighted=name in layout.weighted,
                copies=layout.copies[place],
                steps=name in layout.stepped,
                frame=layout.frame if layout.copies[place] != 1 else None,
                doubt=layout.doubts[place],
                bad_values=self.bad_values.get(name),
                activation_range=self.activation_range(name),
                channels=layout.channels[place] if layout.channels else None,
            )
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.names)

    def __len__(self) -> int:
        return len(self.layout.names)


class EachLayer(Mapping[str, Value]):
    """Something of each layer by its name, made when it is asked for."""

    def __init__(self, names: Mapping[str, object], make: Callable[[str], Value]) -> None:
        self._names, self._make = names, make

    def __getitem__(self, name: str) -> Value:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def sized_layer(layer: Layer, maps: Mapping[str, LayerMap]) -> Layer:
    """The layer, one without a map with the sizes that it has in the run of these maps."""
    if layer.name in maps or not isinstance(maps, SampleMaps):
        return layer
    return maps.layout.sized.get(layer.name, layer)


def lift_ranges(ranges: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(m, M)`` of SPEC section 3: if ``m != 0``, ``M = max(M, m + 0.1 * |m|)``.

    Parameters
    ----------
    ranges
        ``(layers, 2)``: minimum and maximum of each map.
    """
    low, high = ranges[:, 0], ranges[:, 1]
    lifted = np.where(low != 0, np.maximum(high, low + 0.1 * np.abs(low)), high)
    return np.stack([low, lifted], axis=1)
