"""What all diagrams of a model share: its layers, their places, its input's size."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from micam_fast.core.choices import EVERYTHING, Detail
from micam_fast.core.layers import Layer
from micam_fast.core.lru import LruCache
from micam_fast.diagrams.diagram_template import DiagramTemplate, edge_specs, node_specs
from micam_fast.diagrams.heading import head_width
from micam_fast.diagrams.layout import find_engine, lay_out
from micam_fast.diagrams.nodes import Node, draw_nodes
from micam_fast.diagrams.places import DiagramLayout
from micam_fast.diagrams.style import Style
from micam_fast.diagrams.tile_rooms import PUBLISHED, tile_room
from micam_fast.diagrams.wrapping import wrap_rows
from micam_fast.maps.layer_map import LayerMap
from micam_fast.maps.sample_maps import SampleMaps

Made = TypeVar("Made")
_KEPT_TEMPLATES = 8


@dataclass(frozen=True, eq=False)
class ModelDiagram:
    """The part of a diagram that does not depend on the sample.

    Attributes
    ----------
    model
        The model's name.
    layers
        All layers, in the diagram's order.
    engine
        The Graphviz program, ``None`` for the one that `find_engine` finds.
    lay_out
        Does what `layout.lay_out` does.
    """

    model: str
    layers: tuple[Layer, ...]
    engine: Path | None = None
    lay_out: Callable[..., DiagramLayout] = lay_out
    _layouts: dict[Hashable, DiagramLayout] = field(default_factory=dict)
    _nodes: LruCache[Hashable, tuple[Node, ...]] = field(
        default_factory=lambda: LruCache(_KEPT_TEMPLATES)
    )
    _templates: LruCache[tuple[Any, ...], DiagramTemplate] = field(
        default_factory=lambda: LruCache(_KEPT_TEMPLATES)
    )
    _kept: LruCache[Hashable, Any] = field(default_factory=lambda: LruCache(_KEPT_TEMPLATES))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickling: the places of the nodes are kept, as finding them takes longest."""
        with self._lock:
            known = dict(self._layouts)
        return ModelDiagram, (self.model, self.layers, self.engine, lay_out, known)

    def nodes(self, mapped: frozenset[str], detail: Detail = EVERYTHING) -> tuple[Node, ...]:
        """What is drawn, in the diagram's order; these layers have maps."""
        with self._lock:
            return self._nodes.get_or_make(
                (mapped, detail), lambda: draw_nodes(self.layers, mapped, detail)
            )

    def layout(
        self,
        mapped: frozenset[str],
        rankdir: str,
        tile: tuple[int, int] = PUBLISHED.size,
        detail: Detail = EVERYTHING,
    ) -> DiagramLayout:
        """Places of the nodes; computed once for each direction, set of mapped layers and tile.

        Nodes of mapped layers are tiles of this width and height, the others are labels.
        """
        key = rankdir, mapped, tile, detail
        with self._lock:
            if key not in self._layouts:
                nodes = self.nodes(mapped, detail)
                self._layouts[key] = self.lay_out(
                    node_specs(nodes, mapped, tile),
                    edge_specs(nodes),
                    rankdir=rankdir,
                    engine=find_engine(self.engine),
                )
            return self._layouts[key]

    def picture_layout(
        self,
        mapped: frozenset[str],
        rankdir: str,
        tile: tuple[int, int] = PUBLISHED.size,
        detail: Detail = EVERYTHING,
    ) -> DiagramLayout:
        """The same for a picture, in which what leads from left to right is wrapped into rows."""
        found = self.layout(mapped, rankdir, tile, detail)
        return wrap_rows(found) if rankdir == "LR" else found

    def template(
        self,
        maps: Mapping[str, LayerMap],
        header: Sequence[str],
        *,
        input_size: tuple[int, int],
        style: Style,
        native: bool,
    ) -> DiagramTemplate:
        """What the diagrams of samples share; made once for those that are of the same shapes.

        Parameters are those of `DiagramTemplate`.
        """
        width, room = head_width(header), tile_room(style.look_for(input_size), input_size)
        key = (_shapes(maps), len(header), width, input_size, style, native)
        with self._lock:
            return self._templates.get_or_make(
                key,
                lambda: DiagramTemplate(
                    self.nodes(frozenset(maps), style.detail),
                    self.picture_layout(frozenset(maps), style.direction, room.size, style.detail),
                    maps,
                    header,
                    input_size=input_size,
                    style=style,
                    native=native,
                ),
            )

    def keep(self, maps: Mapping[str, LayerMap], key: Hashable, make: Callable[[], Made]) -> Made:
        """Something that is made once for all samples whose maps have the same shapes."""
        with self._lock:
            found: Made = self._kept.get_or_make((_shapes(maps), key), make)
            return found


def _shapes(maps: Mapping[str, LayerMap]) -> Hashable:
    """All that a template takes from the maps."""
    if isinstance(maps, SampleMaps):
        measured = maps.activation_ranges is not None
        return maps.layout, frozenset(maps.bad_values.items()), measured
    taken = attrgetter(
        "cam.shape",
        "shape",
        "input_shapes",
        "flat",
        "even_weights",
        "copies",
        "steps",
        "frame",
        "doubt",
        "bad_values",
        "measured",
    )
    return tuple((name, taken(found)) for name, found in maps.items())
