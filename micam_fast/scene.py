"""What all diagrams of a model share: its layers, their places, its input's size."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from micam_fast.composition import edges, node_specs
from micam_fast.diagrams import DiagramLayout
from micam_fast.layers import Layer
from micam_fast.layout import find_engine, lay_out


@dataclass(frozen=True, eq=False)
class Scene:
    """The part of a diagram that does not depend on the sample.

    Attributes
    ----------
    model
        The model's name.
    layers
        All layers, in the diagram's order.
    engine
        The Graphviz program, ``None`` for the one that `find_engine` finds.
    """

    model: str
    layers: tuple[Layer, ...]
    engine: Path | None = None
    _layouts: dict[tuple[str, frozenset[str]], DiagramLayout] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def layout(self, mapped: frozenset[str], rankdir: str) -> DiagramLayout:
        """Places of the nodes; computed once for each direction and set of mapped layers."""
        key = rankdir, mapped
        with self._lock:
            if key not in self._layouts:
                self._layouts[key] = lay_out(
                    node_specs(self.layers, mapped),
                    edges(self.layers),
                    rankdir=rankdir,
                    engine=find_engine(self.engine),
                )
            return self._layouts[key]
