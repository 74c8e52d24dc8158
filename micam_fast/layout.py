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

from micam_fast.diagrams import Box, Cluster, DiagramLayout, Route
from micam_fast.dot import NodeSpec, cluster_paths, layout_source
from micam_fast.drawing import DPI, Point
from micam_fast.errors import LayoutEngineError

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
    edges: Sequence[tuple[str, str]],
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
    for splines in ("spline", "line"):
        source = layout_source(nodes, edges, rankdir=rankdir, splines=splines)
        try:
            answer = subprocess.run(
                [engine, "-Kdot", "-Tjson0"],
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
            raise LayoutEngineError(
                f"{engine} failed with exit code {answer.returncode}"
                + (f": {said[-1]}" if said else " and said nothing")
            )
        try:
            return _read(json.loads(answer.stdout), nodes)
        except (ValueError, KeyError, IndexError):
            raise LayoutEngineError(
                f"{engine} wrote no layout that can be read; it must be a Graphviz program like dot"
            ) from None
    raise LayoutEngineError(
        f"{engine} took longer than {timeout:g} s to lay out {len(nodes)} nodes and {len(edges)} "
        "edges; choose fewer layers with --from and --to"
    )


def _read(graph: Mapping[str, Any], nodes: Sequence[NodeSpec]) -> DiagramLayout:
    left, bottom, right, top = _numbers(graph["bb"])
    width, height = (right - left) * _POINTS_TO_PIXELS, (top - bottom) * _POINTS_TO_PIXELS

    def point(x: float, y: float) -> Point:
        return (x - left) * _POINTS_TO_PIXELS, (top - y) * _POINTS_TO_PIXELS

    boxes: dict[str, Box] = {}
    clusters: list[Cluster] = []
    names = {f"n{index}": node for index, node in enumerate(nodes)}
    titles = [path[-1] for path in cluster_paths(nodes)]
    for each in graph.get("objects", ()):
        if each["name"] in names:
            node = names[each["name"]]
            x, y = point(*_numbers(each["pos"]))
            # Whole pixels: tiles are pictures, and text is sharper on the grid.
            corner = round(x - node.width / 2), round(y - node.height / 2)
            boxes[node.name] = Box(*corner, node.width, node.height)
        elif each["name"].startswith("cluster_") and "bb" in each:
            x0, y0, x1, y1 = _numbers(each["bb"])
            (west, north), (east, south) = point(x0, y1), point(x1, y0)
            title = titles[int(each["name"].removeprefix("cluster_"))]
            clusters.append(Cluster(title, Box(west, north, east - west, south - north)))
    routes = [
        route
        for edge in graph.get("edges", ())
        for part in edge["pos"].split(";")
        if (route := _route(part, point)) is not None
    ]
    return DiagramLayout(width, height, boxes, tuple(routes), tuple(clusters))


def _route(text: str, point: Any) -> Route | None:
    points: list[Point] = []
    tip: Point | None = None
    for word in text.split():
        if word.startswith("e,"):
            tip = point(*_numbers(word[2:]))
        elif not word.startswith("s,"):
            points.append(point(*_numbers(word)))
    if len(points) < 4:
        return None
    return Route(tuple(points), tip or points[-1])


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]
