"""Names of layers by the modules that an ONNX file tells of."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import onnx

from micam_fast.core.layers import Layer
from micam_fast.models.modules import (
    Calls,
    Place,
    Scope,
    free_name,
    name_layers,
    path_of_weight,
    read_scopes,
    read_slashes,
)
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.limits import LONGEST_NAME, LONGEST_NOTES
from micam_fast.models.onnx.model_graph import FoundLayer
from micam_fast.models.onnx.operators import find_operator

MODULES_KEY = "micam_fast.modules"
"""Of a model's metadata: all modules, with their classes, as this project's export wrote them."""

_FORMAT = 1
_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
# A name that PyTorch's tracing exporter gives to a kernel that it has computed.
_COMPUTED = re.compile(r"onnx::Conv(Transpose)?_[0-9]+")
# Modules of PyTorch's own that hold no others compute one thing each time.
_PLAIN_CLASS = "torch.nn.modules."
# A weight is turned and scaled before it is read, by a few operators.
_MOST_CONSTANTS = 64


def name_by_modules(
    graph: Graph, found: Sequence[FoundLayer], exported: str | None
) -> list[FoundLayer]:
    """Layers that bear the names of ONNX, under those of their modules where the file tells them.

    Layers whose module is not known keep their names. `exported` is what this project's export
    wrote of modules, if it did.
    """
    modules = _Modules(graph, _read_modules(exported))
    first: dict[int, FoundLayer] = {}
    for each in found:
        if each.nodes:
            first.setdefault(each.nodes[0], each)
    places = modules.places(list(first.values()))
    taken = {each.layer.name for each in found if not each.nodes}
    names = name_layers(places, modules.classes, taken)
    told = dict(zip(first, zip(names, places, strict=True), strict=True))
    used = taken | {name.name for name in names if name is not None}
    named: dict[str, Layer] = {}
    for each in found:
        layer = each.layer
        if each.nodes:
            name, place = told[each.nodes[0]]
            layer = replace(layer, onnx_name=layer.name)
            if name is None or place is None:
                layer = replace(layer, name=free_name(layer.name, used))
            else:
                is_first = first[each.nodes[0]] is each
                further = name.name if is_first else free_name(f"{name.name}:{each.place}", used)
                layer = replace(
                    layer,
                    name=further,
                    cluster=name.around,
                    module=place.path,
                    module_class=modules.classes[place.path],
                )
            used.add(layer.name)
        named[each.layer.name] = layer
    return [
        replace(each, layer=replace(layer, inputs=tuple(named[n].name for n in layer.inputs)))
        for each, layer in zip(found, named.values(), strict=True)
    ]


def count_folded(graph: Graph, found: Sequence[FoundLayer], producer: str) -> int:
    """How many convolutions PyTorch's exporters have folded a batch normalization into.

    The scope of such a one is the normalization's, or its kernel is one that the tracing exporter
    has computed and named itself.
    """
    count = 0
    for each in found:
        if not each.nodes or find_operator(graph.nodes[each.nodes[0]]).cost != "convolution":
            continue
        node = graph.nodes[each.nodes[0]]
        scopes = _scopes(node)
        by_scope = bool(scopes) and ".batchnorm." in (scopes[-1].class_name or "")
        computed = producer == "pytorch" and _COMPUTED.fullmatch(node.input[1]) is not None
        count += by_scope or computed
    return count


def _scopes(node: onnx.NodeProto) -> tuple[Scope, ...]:
    """The modules around a node, as PyTorch's exporter writes them into it."""
    given = {each.key: each.value for each in node.metadata_props}
    return read_scopes(given.get(_SCOPES, ""), given.get(_CLASSES, ""))


def name_like(known: Sequence[Layer], found: Sequence[FoundLayer]) -> list[FoundLayer]:
    """Layers that bear names of an earlier reading, with all that belongs to a name."""
    by_name = {each.name: each for each in known}
    return [replace(each, layer=_named_as(each.layer, by_name[each.layer.name])) for each in found]


def _named_as(layer: Layer, known: Layer) -> Layer:
    return replace(
        layer,
        cluster=known.cluster,
        onnx_name=known.onnx_name,
        module=known.module,
        module_class=known.module_class,
    )


def write_modules(classes: Iterable[tuple[str, str]], made_by: Mapping[str, str]) -> str:
    """Modules by their paths, each with its class, and the versions that made them, as JSON."""
    content = {"format": _FORMAT, "made_by": dict(made_by), "modules": dict(classes)}
    return json.dumps(content, separators=(",", ":"))


def _read_modules(text: str | None) -> dict[str, str | None]:
    """What `write_modules` wrote; what another program made of it tells nothing."""
    if text is None or len(text) > LONGEST_NOTES:
        return {}
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        content = json.loads(text)
        found = {str(path): str(name) for path, name in content["modules"].items()}
        short = all(len(each) <= LONGEST_NAME for pair in found.items() for each in pair)
        return {**found} if content["format"] == _FORMAT and short else {}
    return {}


@dataclass(frozen=True)
class _Told:
    """What a node tells: the modules around it, whether by tracing, and the owner of its weight."""

    scopes: tuple[Scope, ...]
    traced: bool
    weight: str | None

    @property
    def path(self) -> str | None:
        return self.scopes[-1].path if self.scopes else None


class _Modules:
    """The modules of a network, as far as its file tells of them.

    Attributes
    ----------
    classes
        By path: the module's class, where the file tells it. The network itself is the empty path.
    """

    def __init__(self, graph: Graph, classes: Mapping[str, str | None]) -> None:
        self._graph = graph
        self._told = [self._read(node) for node in graph.nodes]
        self._told = [self._told_by_all(index) for index in range(len(graph.nodes))]
        self._calls = Calls()
        for told in self._told:
            if told.traced and told.path is not None:
                self._calls.add(told.path, told.weight)
        self.classes = dict(classes)
        for told in self._told:
            self._add(told)

    def places(self, layers: Sequence[FoundLayer]) -> list[Place | None]:
        """Where layers are called."""
        weights = [self._weight(each.nodes) for each in layers]
        # Exporters keep equal weights once: then one name stands for several modules.
        readers: defaultdict[str | None, set[str | None]] = defaultdict(set)
        for each, weight in zip(layers, weights, strict=True):
            readers[weight].add(self._path(each.nodes[0]))
        return [
            self._place(each, weight if len(readers[weight]) == 1 else None)
            for each, weight in zip(layers, weights, strict=True)
        ]

    def _read(self, node: onnx.NodeProto) -> _Told:
        scopes = _scopes(node)
        traced = not scopes
        weights = (path_of_weight(name) for name in self._constants(node))
        weight = next((each for each in weights if each is not None), None)
        return _Told(scopes or read_slashes(node.name), traced, weight)

    def _told_by_all(self, index: int) -> _Told:
        """What a node tells; of one that says nothing, the modules that all its neighbours share.

        PyTorch's optimizer makes a Split of a ``chunk``, and leaves out whose it was.
        """
        graph, told = self._graph, self._told[index]
        node = graph.nodes[index]
        if told.scopes or told.weight is not None:
            return told
        read = [name for name in node.input if not graph.is_constant(name)]
        around = [graph.producer[name] for name in read if name in graph.producer]
        around += [each for name in node.output for each in graph.consumers.get(name, ())]
        known = [self._told[each] for each in around]
        lists = [each.scopes for each in known if each.scopes and not each.traced]
        return _Told(_shared(lists), False, None) if lists else told

    def _constants(self, node: onnx.NodeProto) -> Iterator[str]:
        """Names of the constants that a node reads, then of those that they are made from."""
        graph = self._graph
        waiting = [name for name in node.input if name and graph.is_constant(name)]
        for name in waiting:
            yield name
            if name in graph.producer and len(waiting) < _MOST_CONSTANTS:
                made = graph.nodes[graph.producer[name]]
                waiting.extend(each for each in made.input if each and graph.is_constant(each))

    def _add(self, told: _Told) -> None:
        scopes = list(told.scopes)
        if told.traced:
            scopes = [Scope(self._calls.resolve(each.path)) for each in scopes]
        if told.weight is not None:
            scopes.append(Scope(told.weight))
        for scope in scopes:
            pieces = scope.path.split(".")
            for depth in range(len(pieces)):
                self.classes.setdefault(".".join(pieces[:depth]), None)
            if self.classes.get(scope.path) is None:
                self.classes[scope.path] = scope.class_name

    def _weight(self, nodes: Sequence[int]) -> str | None:
        found = (self._told[index].weight for index in nodes)
        return next((each for each in found if each is not None), None)

    def _path(self, index: int) -> str | None:
        told = self._told[index]
        if told.path is None or not told.traced:
            return told.path
        return self._calls.resolve(told.path)

    def _place(self, layer: FoundLayer, weight: str | None) -> Place | None:
        operator, index = layer.layer.class_label.lower(), layer.nodes[0]
        told = self._told[index]
        path = self._path(index) if weight is None else weight
        if path is None:
            return None
        if told.traced and told.path is not None:
            return Place(path, operator, told.path)
        known = self.classes.get(path) or ""
        plain = known.startswith(_PLAIN_CLASS) or weight is not None
        return Place(path, operator, str(index) if plain else None)


def _shared(lists: Sequence[tuple[Scope, ...]]) -> tuple[Scope, ...]:
    """The modules that all lists begin with."""
    pairs = enumerate(zip(*lists, strict=False))
    end = next((n for n, each in pairs if len({scope.path for scope in each}) > 1), None)
    return lists[0][: min(map(len, lists)) if end is None else end]
