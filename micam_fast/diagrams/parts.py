"""What every diagram is put together from: places for what a sample brings, edges, clusters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from micam_fast.diagrams.encoders.fonts import text_width
from micam_fast.diagrams.heading import MARGIN, frame
from micam_fast.diagrams.labels import fit_line, wrap_name
from micam_fast.diagrams.marks import (
    BLACK,
    GREY,
    INK,
    Hole,
    Mark,
    Path,
    Picture,
    Plane,
    Template,
    Text,
    enlarge,
    move,
)
from micam_fast.diagrams.places import EDGE_LABEL_SIZE, DiagramLayout, NestedFrame, Route

NAME_SIZE, LABEL_SIZE = 15.0, 13.0
LINE = 17.5
"""From one line of a label to the next."""
_ARROW_HALF_WIDTH = 7.0


@dataclass(frozen=True)
class Slot:
    """A place for what a sample brings: a mark that is like it in place and size."""

    mark: Text | Picture | Plane


AnySlot = TypeVar("AnySlot", bound=Slot)


def arrange(
    layout: DiagramLayout,
    head: tuple[float, float],
    top: Iterable[Mark | AnySlot],
    body: Iterable[Mark | AnySlot],
    *,
    title: str,
    scale: float,
) -> tuple[Template, list[AnySlot]]:
    """Put a diagram below its heading, in the middle; the result is that of `template_of`.

    `head` is the heading's width and height, `top` are its marks; those of `body` are in the
    coordinates of the layout.
    """
    width, height = picture_size(layout, head, scale)
    left = round((max(layout.width, head[0]) + 2 * MARGIN - layout.width) / 2)
    parts = [placed(part, 0, 0, scale) for part in top]
    parts += [placed(part, left, round(head[1]), scale) for part in body]
    return template_of(parts, width, height, title)


def picture_size(layout: DiagramLayout, head: tuple[float, float], scale: float) -> tuple[int, int]:
    """Width and height in pixels of a diagram with a heading of this width and height."""
    width = max(layout.width, head[0]) + 2 * MARGIN
    return round(width * scale), round((head[1] + layout.height + MARGIN) * scale)


def template_of(
    parts: Iterable[Mark | AnySlot], width: float, height: float, title: str
) -> tuple[Template, list[AnySlot]]:
    """The marks with holes where the slots are, and the slots in the order of the holes."""
    marks: list[Mark | Hole] = []
    slots: list[AnySlot] = []
    for part in parts:
        if isinstance(part, Slot):
            slots.append(part)
            marks.append(_hole(part.mark, width))
        else:
            marks.append(part)
    return Template(width, height, tuple(marks), title), slots


def _hole(mark: Text | Picture | Plane, width: float) -> Hole:
    """The rectangle that a mark stays within; lines of text may reach the right edge."""
    if isinstance(mark, Picture):
        return Hole(mark.x, mark.y, mark.width, mark.height)
    if isinstance(mark, Plane):
        (x, y), (across_x, across_y), (down_x, down_y) = mark.corner, mark.across, mark.down
        left, top = x + min(across_x, 0) + min(down_x, 0), y + min(across_y, 0) + min(down_y, 0)
        return Hole(left, top, abs(across_x) + abs(down_x), abs(across_y) + abs(down_y))
    return Hole(mark.x - mark.size, mark.y - 1.5 * mark.size, width - mark.x, 2.5 * mark.size)


def placed(part: Mark | AnySlot, x: float, y: float, scale: float) -> Mark | AnySlot:
    """Moved by so many pixels to the right and down, then enlarged."""
    if isinstance(part, Slot):
        return replace(part, mark=enlarge(move(part.mark, x, y), scale))
    return enlarge(move(part, x, y), scale)


def background_marks(layout: DiagramLayout) -> Iterator[Mark]:
    """What lies behind the nodes: frames of nested models, and edges."""
    for cluster in layout.clusters:
        yield from _cluster_marks(cluster)
    for route in layout.routes:
        yield from route_marks(route)


def _cluster_marks(cluster: NestedFrame) -> Iterator[Mark]:
    """A nested model's frame and title."""
    box = cluster.box
    yield replace(frame(box.x, box.y, box.width, box.height), colour=GREY)
    shown = fit_line(cluster.name, NAME_SIZE, box.width - 16)
    full = None if shown == cluster.name else cluster.name
    yield Text(box.x + 8, box.y + NAME_SIZE + 4, shown, NAME_SIZE, GREY, full)


def route_marks(route: Route) -> Iterator[Mark]:
    """An edge, its arrow's head and its label."""
    label = route.label
    yield Path(route.points, GREY, 1.5, curved=True, dotted=label is not None)
    if label is not None:
        x, y = label.place
        left = x - text_width(label.text, EDGE_LABEL_SIZE) / 2
        yield Text(left, y, label.text, EDGE_LABEL_SIZE, INK)
    end, tip = np.array(route.points[-1]), np.array(route.tip)
    along = tip - end
    length = float(np.hypot(*along))
    if length > 0:
        side = np.array([-along[1], along[0]]) / length * _ARROW_HALF_WIDTH
        corners = (tip, end + side, end - side)
        points = tuple((float(x), float(y)) for x, y in corners)
        yield Path(points, GREY, 1.0, filled=True, closed=True)


def name_marks(name: str, x: float, y: float, room: float) -> Iterator[Text]:
    """A layer's name, on two lines if need be."""
    for line in wrap_name(name, NAME_SIZE, room):
        yield Text(x, y, line, NAME_SIZE, BLACK, None if line == name else name)
        y += LINE


def label_mark(line: str, x: float, y: float, room: float) -> Text:
    """A further line of a label."""
    shown = fit_line(line, LABEL_SIZE, room)
    return Text(x, y, shown, LABEL_SIZE, INK, None if shown == line else line)
