"""The layout: which Graphviz there is, running it, reading where it put things."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from micam_fast.core.errors import LayoutEngineError
from micam_fast.diagrams.dot import (
    EdgeSpec,
    NodeSpec,
    cluster_paths,
    has_limits,
    layout_source,
)
from micam_fast.diagrams.marks import DPI, Point
from micam_fast.diagrams.places import Box, DiagramLayout, EdgeLabel, NestedFrame, Route

TIMEOUT = 60.0
"""Seconds that the engine may take before a plainer layout is asked for."""

_POINTS_TO_PIXELS = DPI / 72
_INSTALL = (
    "install one with 'pip install graphviz-pure' or your system's package graphviz, or name it "
    "with --engine"
)


def find_engine(path: str | Path | None = None) -> Path:
    """The Graphviz program to use.

    A path that the caller gives, else ``graphviz-pure`` beside this interpreter (a virtual
    environment's scripts need not be on PATH), else ``dot`` on PATH.

    Raises
    ------
    LayoutEngineError
        If there is none.
    """
    if path is not None:
        # With a folder in front, which() takes a path as it is; "./dot" has lost its own by now.
        place = Path(path)
        found = shutil.which(place.absolute()) or shutil.which(str(path))
        if found is None:
            raise LayoutEngineError(f"no Graphviz program at {path}; {_INSTALL}")
        return Path(found)
    suffix = ".exe" if sys.platform == "win32" else ""
    beside = Path(sysconfig.get_path("scripts")) / f"graphviz-pure{suffix}"
    if beside.is_file():
        return beside
    system = shutil.which("dot")
    if system is None:
        raise LayoutEngineError(f"no Graphviz to lay the diagram out; {_INSTALL}")
    return Path(system)


def lay_out(
    nodes: Sequence[NodeSpec],
    edges: Sequence[EdgeSpec],
    *,
    rankdir: str = "TB",
    engine: Path,
    timeout: float = TIMEOUT,
) -> DiagramLayout:
    """Ask Graphviz where nodes, edges and clusters go.

    Parameters
    ----------
    nodes, edges
        The graph; node sizes in pixels.
    rankdir
        ``"TB"`` or ``"LR"``.
    engine
        From `find_engine`.
    timeout
        Seconds; a layout with curves that takes longer is done again with straight lines.

    Raises
    ------
    LayoutEngineError
        If the engine fails, or takes too long twice.
    """
    if not nodes:
        return DiagramLayout(0, 0, {}, (), ())
    failure = None
    for splines, limited in (("spline", True), ("spline", False), ("line", True)):
        if not limited and failure is None:
            continue
        source = layout_source(nodes, edges, rankdir=rankdir, splines=splines, limited=limited)
        try:
            answer = subprocess.run(
                [engine, "-Kdot", "-Tjson"],
                input=source.encode(),
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            continue
        except OSError as error:
            raise LayoutEngineError(f"cannot run {engine}: {error}; {_INSTALL}") from None
        if answer.returncode:
            said = answer.stderr.decode(errors="replace").strip().splitlines()
            failure = LayoutEngineError(
                f"{engine} failed with exit code {answer.returncode}"
                + (f": {said[-1]}" if said else " and said nothing")
            )
            if limited and has_limits(edges):
                # graphviz-pure 0.2.2 fails where its limits stop it while it ranks (DenseNet-121
                # of PyTorch).
                continue
            raise failure
        try:
            return _read(json.loads(answer.stdout), nodes)
        except (ValueError, KeyError, IndexError, TypeError):
            raise LayoutEngineError(
                f"{engine} wrote no layout that can be read; it must be a Graphviz program like dot"
            ) from None
    raise failure or LayoutEngineError(
        f"{engine} took longer than {timeout:g} s to lay out {len(nodes)} nodes and {len(edges)} "
        "edges; choose fewer layers with --from and --to"
    )


def _read(graph: Mapping[str, Any], nodes: Sequence[NodeSpec]) -> DiagramLayout:
    """Take places from the drawing operations: ``pos`` and ``bb`` have five digits only.

    On a picture of 200,000 pixels these leave arrows 20 pixels away from their nodes; what is drawn
    has hundredths of a point.
    """
    objects, edges = graph["objects"], graph.get("edges", ())
    seen = [point for each in (*objects, *edges) for point in _drawn(each)]
    for text in (text for edge in edges for text in _texts(edge)):
        x, y = text["pt"]
        seen += [(x - text["width"] / 2, y), (x + text["width"] / 2, y)]
    xs, ys = zip(*seen, strict=True)
    left, right, bottom, top = min(xs), max(xs), min(ys), max(ys)

    def place(points: Sequence[Point]) -> list[Point]:
        return [((x - left) * _POINTS_TO_PIXELS, (top - y) * _POINTS_TO_PIXELS) for x, y in points]

    titles = [path[-1] for path in cluster_paths(nodes)]
    clusters: list[NestedFrame] = []
    boxes: dict[str, Box] = {}
    heads: dict[int, Box] = {}
    for each in objects:
        frame = _bounds(place(_drawn(each)))
        kind, _, number = each["name"].rpartition("_")
        if kind:
            clusters.append(NestedFrame(titles[int(number)], frame))
        else:
            node = nodes[int(number.removeprefix("n"))]
            # Whole pixels: tiles are pictures, and text is sharper on the grid.
            x = round(frame.x + (frame.width - node.width) / 2)
            y = round(frame.y + (frame.height - node.height) / 2)
            boxes[node.name] = heads[each["_gvid"]] = Box(x, y, node.width, node.height)
    routes = []
    for edge in edges:
        # The arrow head is a triangle with the tip in the middle; it stops a pen's width short.
        tip = place(_drawn(edge, "_hdraw_"))[1]
        end = _onto(tip, heads[edge["head"]])
        labels = [EdgeLabel(text["text"].strip(), *place([text["pt"]])) for text in _texts(edge)]
        routes.append(Route(tuple(place(_drawn(edge))), end, *labels))
    if len(boxes) != len(nodes):
        raise ValueError("nodes are missing")
    scale = _POINTS_TO_PIXELS
    size = (right - left) * scale, (top - bottom) * scale
    return DiagramLayout(*size, boxes, tuple(routes), tuple(clusters))


def _drawn(each: Mapping[str, Any], where: str = "_draw_") -> list[Point]:
    """Points of the polygon or Bezier curve that draws an object."""
    (points,) = (step["points"] for step in each[where] if step["op"] in ("p", "P", "b", "B"))
    return [(float(x), float(y)) for x, y in points]


def _texts(edge: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The drawing operation of an edge's label, if it has one."""
    return [step for step in edge.get("_ldraw_", ()) if step["op"] == "T"]


def _bounds(points: Sequence[Point]) -> Box:
    xs, ys = zip(*points, strict=True)
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def _onto(point: Point, box: Box) -> Point:
    """The nearest point of a box."""
    x, y = point
    return min(max(x, box.x), box.x + box.width), min(max(y, box.y), box.y + box.height)
