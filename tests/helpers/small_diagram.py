"""A diagram of five layers, two of them in clusters: its layers, header and layout."""

from __future__ import annotations

from collections.abc import Sequence

from micam_fast.core.choices import Look
from micam_fast.core.layers import Layer
from micam_fast.diagrams.diagram_template import edge_specs, node_specs
from micam_fast.diagrams.layout import find_engine, lay_out
from micam_fast.diagrams.nodes import draw_nodes
from micam_fast.diagrams.places import DiagramLayout
from micam_fast.diagrams.tile_rooms import tile_room

LAYERS = (
    Layer("image", "Input", "Input", output_shape=(None, 1, 4, 4)),
    Layer("conv", "Conv", "Conv", ("image",), ((None, 1, 4, 4),), (None, 2, 4, 4)),
    Layer("left", "Relu", "Relu", ("conv",), cluster=("outer",)),
    Layer("right", "Relu", "Relu", ("conv",), cluster=("outer", "inner")),
    Layer("add", "Add", "Add", ("left", "right"), ((None, 2, 4, 4),) * 2),
)
NAMES = [layer.name for layer in LAYERS]
HEADER = ["demo_net", "sample: 3.png", "prediction: class 3, probability 0.9998"]
LEFT_OUT = "left"
INPUT_SIZE = (4, 4)


def placed(
    names: Sequence[str] = NAMES, rankdir: str = "TB", look: Look = "isometric"
) -> DiagramLayout:
    nodes = draw_nodes(LAYERS, names)
    found = node_specs(nodes, names, tile_room(look, INPUT_SIZE).size), edge_specs(nodes)
    return lay_out(*found, rankdir=rankdir, engine=find_engine())
