"""What a diagram draws as one node: a layer, or all layers of a module.

A module at the chosen depth is a node with the map of its exit, the last of its layers that another
module or nobody reads; where no exit is mapped, with that of its last layer that is. Its layers are
one node only if they hang together and no way leads out of them and back: a module that is called
again later is a node for each call, and one that would make a circle is drawn a level deeper.
"""

from __future__ import annotations

import graphlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from micam_fast.core.choices import EVERYTHING, Detail
from micam_fast.core.grouping import connected
from micam_fast.core.layers import Layer, readers_of
from micam_fast.core.texts import free_name

Cluster = tuple[str, ...]


_CONTAINERS = "torch.nn.modules.container."
_LISTS = {f"{_CONTAINERS}ModuleList", f"{_CONTAINERS}ModuleDict"}


@dataclass(frozen=True)
class Link:
    """What a node reads: another node, directly or through layers that are not drawn."""

    source: str
    hidden: int = 0


@dataclass(frozen=True)
class Holding:
    """A module that is one node.

    Attributes
    ----------
    title
        Its path; a further node of the same module has a number.
    class_name
        ``None`` where the file does not tell it.
    layers
        How many it holds.
    exits
        How many of them are read from outside, or are outputs.
    is_exit
        Whether the one whose map is shown is one of these.
    """

    title: str
    class_name: str | None
    layers: int
    exits: int
    is_exit: bool = True


@dataclass(frozen=True)
class Node:
    """A node of the diagram.

    Attributes
    ----------
    layer
        The one whose map it shows; its name is the node's key.
    index
        The layer's place among all layers of the model, from 0.
    links
        What it reads.
    cluster
        The frames around it, outermost first.
    module
        The module that it stands for, if it is not a single layer.
    """

    layer: Layer
    index: int
    links: tuple[Link, ...] = ()
    cluster: Cluster = ()
    module: Holding | None = None

    @property
    def key(self) -> str:
        """What it is found by: its layer's name."""
        return self.layer.name

    @property
    def title(self) -> str:
        """What it is called."""
        return self.layer.name if self.module is None else self.module.title

    @property
    def holds(self) -> int:
        """How many layers it stands for."""
        return 1 if self.module is None else self.module.layers


def draw_nodes(
    layers: Sequence[Layer], mapped: Collection[str], detail: Detail = EVERYTHING
) -> tuple[Node, ...]:
    """The nodes of a diagram, in the order of their layers.

    Parameters
    ----------
    layers
        All of the model.
    mapped
        Names of those that have a map.
    detail
        How much is drawn.
    """
    nodes = _nodes(layers, _parts(layers, detail.depth), mapped)
    if detail.only_mapped:
        nodes = _without_hidden(nodes, mapped)
    return _with_needed_frames(nodes)


# --- Modules as one node ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """Layers that are one node, in their order, and the frames that may be around it."""

    layers: tuple[Layer, ...]
    around: Cluster


def _parts(layers: Sequence[Layer], depth: int | None) -> list[_Part]:
    if depth is None:
        return [_Part((layer,), layer.cluster) for layer in layers]
    levels = {layer.name: depth for layer in layers}
    # Where there is no circle, no way comes back to a module.
    rounds = dict.fromkeys(levels, 0)
    deeper = False
    while True:
        parts = list(_pieces(layers, levels, rounds))
        try:
            graphlib.TopologicalSorter(_reads(parts)).prepare()
        except graphlib.CycleError as error:
            if deeper:
                for number in set(error.args[1]):
                    for layer in parts[number].layers:
                        levels[layer.name] += 1
            deeper = True
            rounds = _rounds(layers, levels)
        else:
            return parts


def _reads(parts: Sequence[_Part]) -> dict[int, list[int]]:
    """Numbers of the parts that each part reads, in the order of its inputs."""
    owner = {layer.name: number for number, part in enumerate(parts) for layer in part.layers}
    read = [[owner[name] for layer in part.layers for name in layer.inputs] for part in parts]
    return {
        number: [each for each in dict.fromkeys(found) if each != number]
        for number, found in enumerate(read)
    }


def _home(layer: Layer, level: int) -> Cluster | None:
    """The module at this level that a layer lies in."""
    return layer.cluster[:level] if len(layer.cluster) >= level else None


def _rounds(layers: Sequence[Layer], levels: Mapping[str, int]) -> dict[str, int]:
    """How often ways that lead to a layer have left its module and come back."""
    homes = {layer.name: _home(layer, levels[layer.name]) for layer in layers}
    # By layer: the same for each module.
    past: dict[str, dict[Cluster, int]] = {}
    for layer in layers:
        home = homes[layer.name]
        found: dict[Cluster, int] = {}
        for parent in layer.inputs:
            for module, count in past[parent].items():
                back = module == home and homes[parent] != module
                found[module] = max(found.get(module, 0), count + back)
        if home is not None:
            found.setdefault(home, 0)
        past[layer.name] = found
    return {name: 0 if home is None else past[name][home] for name, home in homes.items()}


def _pieces(
    layers: Sequence[Layer], levels: Mapping[str, int], rounds: Mapping[str, int]
) -> Iterator[_Part]:
    """Layers of a module that hang together, of one round each."""
    by_name = {layer.name: layer for layer in layers}
    members: defaultdict[tuple[Cluster, int], list[str]] = defaultdict(list)
    for layer in layers:
        home = _home(layer, levels[layer.name])
        if home is None:
            yield _Part((layer,), layer.cluster)
        else:
            members[home, rounds[layer.name]].append(layer.name)
    for (home, _), names in members.items():
        for piece in connected(names, lambda name: by_name[name].inputs):
            yield _Part(tuple(by_name[name] for name in piece), home[:-1])


def _nodes(layers: Sequence[Layer], parts: Sequence[_Part], mapped: Collection[str]) -> list[Node]:
    """The nodes of parts, in the order of their exits."""
    places = {layer.name: place for place, layer in enumerate(layers)}
    readers = readers_of(layers)
    exits = [_exits(part, readers) for part in parts]
    shown_by = [
        next((e for e in (*reversed(ends), *reversed(part.layers)) if e.name in mapped), ends[-1])
        for part, ends in zip(parts, exits, strict=True)
    ]
    reads = _reads(parts)
    titles: set[str] = set()
    nodes = []
    for number in sorted(reads, key=lambda each: places[exits[each][-1].name]):
        part, shown = parts[number], shown_by[number]
        links = tuple(Link(shown_by[each].name) for each in reads[number])
        module, cluster = None, part.around
        if len(part.layers) > 1:
            around = _common([layer.cluster for layer in part.layers])
            title = free_name(around[-1], titles)
            titles.add(title)
            class_name = dict(zip(shown.cluster, shown.cluster_classes, strict=False)).get(
                around[-1]
            )
            is_exit = shown in exits[number]
            module = Holding(title, class_name, len(part.layers), len(exits[number]), is_exit)
            cluster = around[:-1]
        nodes.append(Node(shown, places[shown.name], links, cluster, module))
    return nodes


def _exits(part: _Part, readers: Mapping[str, Sequence[str]]) -> list[Layer]:
    """The layers of a part that another one reads, or nobody."""
    own = {layer.name for layer in part.layers}
    return [each for each in part.layers if not _is_read_by(own, readers.get(each.name, ()))]


def _is_read_by(own: set[str], readers: Sequence[str]) -> bool:
    """Tell whether there are readers, and all are of a part."""
    return bool(readers) and own.issuperset(readers)


def _common(clusters: Sequence[Cluster]) -> Cluster:
    """The modules that are around all."""
    first, last = min(clusters), max(clusters)
    depth = 0
    while depth < min(len(first), len(last)) and first[depth] == last[depth]:
        depth += 1
    return first[:depth]


# --- Mapped layers alone ---------------------------------------------------------------------


def _without_hidden(nodes: Sequence[Node], mapped: Collection[str]) -> list[Node]:
    """Nodes that have a map; links through others tell how many layers lie on all such ways.

    A link that leads past a node that is drawn is left out: by its skip connections each block of a
    residual network would be linked to all behind it.
    """
    order = graphlib.TopologicalSorter(
        {node.key: [link.source for link in node.links] for node in nodes}
    )
    by_key = {node.key: node for node in nodes}
    sequence = [by_key[key] for key in order.static_order()]
    # Sets as bits: layers that are not drawn, nodes that are.
    layers: dict[str, int] = {}
    first = 0
    for node in sequence:
        if node.key not in mapped:
            layers[node.key] = ((1 << node.holds) - 1) << first
            first += node.holds
    drawn = [node for node in sequence if node.key in mapped]
    bit = {node.key: 1 << place for place, node in enumerate(drawn)}
    # Hidden layers on ways to a node and from one; drawn nodes where such ways begin.
    before: defaultdict[str, int] = defaultdict(int)
    after: defaultdict[str, int] = defaultdict(int)
    begins: defaultdict[str, int] = defaultdict(int)
    for node in sequence:
        for source in (link.source for link in node.links):
            if source in layers:
                before[node.key] |= before[source] | layers[source]
                begins[node.key] |= begins[source]
            elif node.key in layers:
                begins[node.key] |= bit[source]
    for node in reversed(sequence):
        if node.key in layers:
            for link in node.links:
                after[link.source] |= after[node.key] | layers[node.key]
    links: dict[str, list[Link]] = {}
    # Nodes from which a way leads to a node.
    above: defaultdict[str, int] = defaultdict(int)
    for node in drawn:
        found = [link for link in node.links if link.source in bit]
        for link in found:
            above[node.key] |= above[link.source]
        left = begins[node.key] & ~above[node.key]
        while left:
            # The last one first: it may lie on a way from another.
            source = drawn[left.bit_length() - 1].key
            hidden = (after[source] & before[node.key]).bit_count()
            found.append(Link(source, hidden))
            above[node.key] |= above[source]
            left &= ~(bit[source] | above[source])
        for link in found:
            above[node.key] |= bit[link.source]
        links[node.key] = found
    places = {node.key: place for place, node in enumerate(nodes)}
    return [
        replace(node, links=tuple(sorted(links[node.key], key=lambda e: places[e.source])))
        for node in nodes
        if node.key in links
    ]


# --- Frames ----------------------------------------------------------------------------------


def _with_needed_frames(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Nodes without frames of lists, which nobody calls, and without those that say nothing more.

    A frame around a single thing says nothing where that one's name begins with its own.
    """
    nodes = [replace(node, cluster=_called(node)) for node in nodes]
    inside: defaultdict[Cluster, Counter[str | Cluster]] = defaultdict(Counter)
    for node in nodes:
        path = node.cluster
        inside[path][node.title] += 1
        for depth in range(len(path)):
            inside[path[:depth]][path[: depth + 1]] += 1

    def needed(frame: Cluster) -> bool:
        held, *more = inside[frame]
        name = held if isinstance(held, str) else held[-1]
        return bool(more) or not name.startswith(f"{frame[-1]}.")

    def kept(path: Cluster) -> Cluster:
        depths = range(1, len(path) + 1)
        return tuple(path[depth - 1] for depth in depths if needed(path[:depth]))

    return tuple(replace(node, cluster=kept(node.cluster)) for node in nodes)


def _called(node: Node) -> Cluster:
    """The frames around a node but those of lists: what is in one need not follow each other."""
    classes = dict(zip(node.layer.cluster, node.layer.cluster_classes, strict=False))
    return tuple(path for path in node.cluster if classes.get(path) not in _LISTS)
