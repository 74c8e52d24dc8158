"""DOT text: a bare one for the layout, and a complete diagram for a user's own Graphviz."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from micam_fast.core.choices import RANKDIRS, check_choice
from micam_fast.core.texts import one_line
from micam_fast.diagrams.marks import DPI
from micam_fast.diagrams.places import EDGE_LABEL_SIZE

if TYPE_CHECKING:
    import graphviz

# Up to this many edges network simplex may take all the rounds it likes; beyond, graphs were seen
# that take minutes (433 nodes, all to all: 123 s, with these limits 1.9 s).
_SMALL = 300
_LIMITS = {"nslimit": "0.02", "nslimit1": "0.02", "mclimit": "0.1"}
_EDGE_LABEL = EDGE_LABEL_SIZE * 72 / DPI
# A node is as wide as its longest line.
_LONGEST_LINE = 200


@dataclass(frozen=True)
class NodeSpec:
    """A node to lay out: pixels, and the clusters around it, outermost first."""

    name: str
    width: float
    height: float
    cluster: tuple[str, ...] = ()


class EdgeSpec(NamedTuple):
    """An edge between nodes, by their names; one with a label is dotted."""

    tail: str
    head: str
    label: str = ""


def has_limits(edges: Sequence[EdgeSpec]) -> bool:
    """Whether there are so many edges that a layout limits its work."""
    return len(edges) > _SMALL


def layout_source(
    nodes: Sequence[NodeSpec],
    edges: Iterable[EdgeSpec],
    *,
    rankdir: str = "TB",
    splines: str = "spline",
    limited: bool = True,
) -> str:
    """DOT text without names, labels or pictures: nodes are ``n0``, ``n1``, ... of fixed size.

    The text limits the work on many edges unless that is not wanted.
    """
    edges = list(edges)
    digraph = _digraph("layout", rankdir, splines)
    if limited and has_limits(edges):
        digraph.attr("graph", **_LIMITS)
    digraph.attr("node", shape="box", fixedsize="true", label="")
    digraph.attr("edge", arrowsize="0.7")
    ids = {node.name: f"n{index}" for index, node in enumerate(nodes)}
    sizes = {
        node.name: {"width": f"{node.width / DPI:.4f}", "height": f"{node.height / DPI:.4f}"}
        for node in nodes
    }
    # A blank keeps room for the name, which is drawn later.
    _add_nodes(digraph, nodes, sizes, ids, dict.fromkeys(cluster_paths(nodes), " "))
    for edge in edges:
        # Labels are drawn later: they get room here, and blanks that keep them off the edge.
        spaced = edge._replace(label=edge.label and f"  {edge.label}  ")
        digraph.edge(ids[edge.tail], ids[edge.head], **_dotted(spaced, _EDGE_LABEL))
    return str(digraph.source)


def diagram_source(
    nodes: Sequence[NodeSpec],
    edges: Iterable[EdgeSpec],
    *,
    labels: Mapping[str, Sequence[str]],
    pictures: Mapping[str, str],
    header: Sequence[str],
    rankdir: str = "TB",
    folder: str = "",
) -> str:
    """Complete DOT text: each node shows its picture file and its label.

    Parameters
    ----------
    nodes, edges
        The graph; sizes of the nodes are left to Graphviz.
    labels
        Lines of text by node name; any characters.
    pictures
        Picture files by node name, relative to `folder`.
    header
        Lines above the diagram.
    folder
        Where Graphviz looks for the pictures, besides the folder it runs in.
    """
    digraph = _digraph("micam", rankdir, "spline")
    digraph.attr("graph", fontname="Helvetica", labelloc="t", labeljust="l")
    digraph.attr("graph", label=f"<{_lines(header)}>")
    if folder:
        digraph.attr("graph", imagepath=f"{folder}{os.pathsep}.")
    digraph.attr("node", shape="plain", fontname="Helvetica", fontsize="10")
    ids = {node.name: f"n{index}" for index, node in enumerate(nodes)}
    attributes = {}
    for node in nodes:
        picture = pictures.get(node.name)
        shown = f'<TD><IMG SRC="{html.escape(picture)}"/></TD>' if picture else ""
        text = f'<TD ALIGN="LEFT" VALIGN="TOP">{_lines(labels[node.name])}</TD>'
        table = '<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" COLOR="#c8c8c8">'
        attributes[node.name] = {"label": f"<{table}<TR>{shown}{text}</TR></TABLE>>"}
    titles = {path: f"<{_escape(path[-1])}>" for path in cluster_paths(nodes)}
    _add_nodes(digraph, nodes, attributes, ids, titles)
    for edge in edges:
        digraph.edge(ids[edge.tail], ids[edge.head], **_dotted(edge, 10))
    return str(digraph.source)


def _dotted(edge: EdgeSpec, size: float) -> dict[str, str]:
    """Attributes of an edge with a label, whose letters have so many points."""
    if not edge.label:
        return {}
    font = {"fontname": "Helvetica", "fontsize": f"{size:g}"}
    return {"label": edge.label, "style": "dotted", **font}


def _digraph(name: str, rankdir: str, splines: str) -> graphviz.Digraph:
    import graphviz

    check_choice("rankdir", rankdir, RANKDIRS)
    return graphviz.Digraph(
        name,
        graph_attr={"rankdir": rankdir, "splines": splines, "ranksep": "0.3", "nodesep": "0.3"},
    )


def cluster_paths(nodes: Iterable[NodeSpec]) -> list[tuple[str, ...]]:
    """All nested models by their place in the model; their index is their number in the DOT."""
    return list(
        dict.fromkeys(
            node.cluster[: depth + 1] for node in nodes for depth in range(len(node.cluster))
        )
    )


def _add_nodes(
    digraph: graphviz.Digraph,
    nodes: Sequence[NodeSpec],
    attributes: Mapping[str, Mapping[str, str]],
    ids: Mapping[str, str],
    titles: Mapping[tuple[str, ...], str],
    path: tuple[str, ...] = (),
) -> None:
    """Add nodes, those of a nested model within its cluster."""
    inner: dict[tuple[str, ...], list[NodeSpec]] = {}
    for node in nodes:
        if len(node.cluster) > len(path):
            inner.setdefault(node.cluster[: len(path) + 1], []).append(node)
        else:
            digraph.node(ids[node.name], **attributes[node.name])
    for deeper, members in inner.items():
        number = list(titles).index(deeper)
        with digraph.subgraph(name=f"cluster_{number}") as frame:
            frame.attr("graph", margin="14", label=titles[deeper], labeljust="l")
            _add_nodes(frame, members, attributes, ids, titles, deeper)


def _lines(lines: Sequence[str]) -> str:
    return "".join(f'{_escape(line)}<BR ALIGN="LEFT"/>' for line in lines) or " "


def _escape(text: str) -> str:
    """HTML-like label text; what is not printable has no place in it."""
    return html.escape(one_line(text, _LONGEST_LINE)).replace("\\", "\\\\") or " "
