"""The layers that a poster points at: largest, smallest, least like what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast._loops.coarse import coarsen
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
    kinds = [kind_of(node) for node in nodes]
    finite = [
        (place, node, found)
        for place, node in enumerate(nodes)
        if kinds[place] is not INPUT
        and (found := maps.get(node.key)) is not None
        and found.bad_values is None
    ]
    markers = []
    if finite:
        place, _, found = max(finite, key=lambda each: each[2].maximum)
        markers.append(Marker("A", place, f"largest {show_value(found.maximum)}"))
        place, _, found = min(finite, key=lambda each: each[2].minimum)
        markers.append(Marker("B", place, f"smallest {show_value(found.minimum)}"))
    coarse = {name: _coarse(found) for name, found in maps.items()}
    alike = {
        place: likeness
        for place, node, _ in finite
        if kinds[place] not in (COPY, PAD, SHAPE)
        and (likeness := _likeness(node, coarse)) is not None
    }
    if alike:
        place = min(alike, key=lambda each: (alike[each], each))
        markers.append(Marker("C", place, "least like what it reads"))
    return markers


def _likeness(node: Node, coarse: Mapping[str, NDArray[np.float64] | None]) -> float | None:
    """The largest ``|r|`` of a map and one that its layer reads, on 16 x 16 cells."""
    own = coarse[node.key]
    if own is None:
        return None
    found = []
    for link in node.links:
        other = coarse.get(link.source)
        if other is not None and other.shape == own.shape:
            found.append(abs(float(np.vdot(own, other))))
    return max(found, default=None)


def _coarse(found: LayerMap) -> NDArray[np.float64] | None:
    """A map on few cells, its mean 0 and its norm 1; none for lists and maps that hardly vary."""
    if found.flat or found.plain or found.bad_values is not None:
        return None
    out = np.empty([1 if size == 1 else _CELLS for size in found.cam.shape])
    values = found.cam.view()
    # Loops are compiled for one kind of array.
    values.flags.writeable = False
    coarsen(values, out)
    return out if out.any() else None
