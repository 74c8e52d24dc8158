"""The layers that a poster points at: largest, smallest, least like what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast.diagrams.nodes import Node
from micam_fast.diagrams.numbers import show_value
from micam_fast.diagrams.poster.kinds import COPY, INPUT, PAD, SHAPE, kind_of
from micam_fast.maps.layer_map import LayerMap

_CELLS = 16


@dataclass(frozen=True)
class Marker:
    """A layer that the header names and whose thumbnail has a frame.

    Attributes
    ----------
    letter
        ``A`` to ``C``.
    place
        Of the node.
    text
        What is special about it.
    """

    letter: str
    place: int
    text: str


def find_markers(nodes: Sequence[Node], maps: Mapping[str, LayerMap]) -> list[Marker]:
    """The markers of a sample; one that no layer deserves is left out.

    Inputs take no part: their numbers are not the network's. Layers that copy or pad what they read
    are alike by what they are.
    """
    known = [
        (place, node, maps[node.key])
        for place, node in enumerate(nodes)
        if node.key in maps and kind_of(node) is not INPUT
    ]
    finite = [(place, node, found) for place, node, found in known if found.bad_values is None]
    markers = []
    if finite:
        place, _, found = max(finite, key=lambda each: each[2].maximum)
        markers.append(Marker("A", place, f"largest {show_value(found.maximum)}"))
        place, _, found = min(finite, key=lambda each: each[2].minimum)
        markers.append(Marker("B", place, f"smallest {show_value(found.minimum)}"))
    alike = {
        place: likeness
        for place, node, _ in finite
        if kind_of(node) not in (COPY, PAD, SHAPE)
        and (likeness := _likeness(node, maps)) is not None
    }
    if alike:
        place = min(alike, key=lambda each: (alike[each], each))
        markers.append(Marker("C", place, "least like what it reads"))
    return markers


def _likeness(node: Node, maps: Mapping[str, LayerMap]) -> float | None:
    """The largest ``|r|`` of a map and one that its layer reads, on 16 x 16 cells."""
    own = _coarse(maps[node.key])
    if own is None:
        return None
    found = []
    for link in node.links:
        other = _coarse(maps[link.source]) if link.source in maps else None
        if other is not None and other.shape == own.shape:
            found.append(abs(float(np.vdot(own, other))))
    return max(found, default=None)


def _coarse(found: LayerMap) -> NDArray[np.float64] | None:
    """A map on few cells, its mean 0 and its norm 1; none for lists and maps that hardly vary."""
    if found.flat or found.plain or found.bad_values is not None:
        return None
    cells = found.cam.astype(np.float64)
    for axis, size in enumerate(cells.shape):
        wanted = min(_CELLS, max(1, size)) if size == 1 else _CELLS
        begins = (np.arange(wanted) * size) // wanted
        if size >= wanted:
            ends = np.append(begins[1:], size)
            shape = [1, 1]
            shape[axis] = wanted
            cells = np.add.reduceat(cells, begins, axis=axis) / (ends - begins).reshape(shape)
        else:
            cells = np.take(cells, begins, axis=axis)
    cells = cells - cells.mean()
    norm = float(np.linalg.norm(cells))
    return cells / norm if norm > 0 else None
