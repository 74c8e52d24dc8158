"""Names of layers by the modules that an ONNX file tells of."""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import onnx

from micam_fast.core.grouping import connected
from micam_fast.core.layers import Layer
from micam_fast.core.texts import free_name
from micam_fast.models.modules import (
    PYTORCH,
    TENSORFLOW,
    Calls,
    Place,
    Scope,
    name_layers,
    path_of_weight,
    read_scopes,
    read_slashes,
)
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.limits import LONGEST_NAME, LONGEST_NOTES
from micam_fast.models.onnx.model_graph import FoundLayer
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.tensorflow_scopes import SEPARATOR, TensorFlowScopes

MODULES_KEY = "micam_fast.modules"
"""Of a model's metadata: all modules, with their classes, as this project's export wrote them."""

_FORMAT = 1
_TF2ONNX, _PYTORCH = "tf2onnx", "pytorch"
# tf2onnx names all that a SavedModel calls so; other tools change the producer, not the names.
_SAVED_MODEL = "StatefulPartitionedCall/"
_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
# A name that PyTorch's tracing exporter gives to a kernel that it has computed.
_COMPUTED = re.compile(r"onnx::Conv(Transpose)?_[0-9]+")
_NORMALIZATION = re.compile(r"/(batchnorm/mul|FusedBatchNorm)")
# Modules of PyTorch's own that hold no others compute one thing each time.
_PLAIN_CLASS = "torch.nn.modules."
# A weight is turned and scaled before it is read, by a few operators.
_MOST_CONSTANTS = 64


def name_by_modules(modules: Modules, found: Sequence[FoundLayer]) -> list[FoundLayer]:
    """Layers that bear the names of ONNX, under those of their modules where the file tells them.

    Layers whose module is not known keep their names.
    """
    first: dict[int, FoundLayer] = {}
    for each in found:
        if each.nodes:
            first.setdefault(each.nodes[0], each)
    places = modules.places(list(first.values()))
    taken = {each.layer.name for each in found if not each.nodes}
    names = name_layers(places, modules.classes, taken, modules.style)
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
                    cluster_classes=tuple(modules.classes[path] for path in name.around),
                )
            used.add(layer.name)
        named[each.layer.name] = layer
    return [
        replace(each, layer=replace(layer, inputs=tuple(named[n].name for n in layer.inputs)))
        for each, layer in zip(found, named.values(), strict=True)
    ]


def _scopes(node: onnx.NodeProto) -> tuple[Scope, ...]:
    """The modules around a node, as PyTorch's exporter writes them into it."""
    given = {each.key: each.value for each in node.metadata_props}
    return read_scopes(given.get(_SCOPES, ""), given.get(_CLASSES, ""))


def _tensorflow_scopes(graph: Graph, producer: str) -> TensorFlowScopes | None:
    """The scopes in names of nodes, where TensorFlow wrote them."""
    names = [node.name for node in graph.nodes]
    told = producer == _TF2ONNX or any(name.startswith(_SAVED_MODEL) for name in names)
    return TensorFlowScopes(names) if told else None


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
        cluster_classes=known.cluster_classes,
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
    """What a node tells.

    Attributes
    ----------
    scopes
        The modules around it.
    traced
        Whether they are scopes of a traced network, of which some are further calls of a module.
    weight
        The owner of its weight.
    call
        What tells this call of the innermost module from its others.
    """

    scopes: tuple[Scope, ...]
    traced: bool
    weight: str | None
    call: str | None

    @property
    def path(self) -> str | None:
        return self.scopes[-1].path if self.scopes else None


class Modules:
    """The modules of a network, as far as its file tells of them.

    `exported` is what this project's export wrote of them, if it did; `producer` is the program
    that wrote the file.

    Attributes
    ----------
    classes
        By path: the module's class, where the file tells it. The network itself is the empty path.
    style
        Of the paths.
    """

    def __init__(self, graph: Graph, exported: str | None, producer: str) -> None:
        self._graph, self._producer = graph, producer
        self._tensorflow = _tensorflow_scopes(graph, producer)
        self.style = PYTORCH if self._tensorflow is None else TENSORFLOW
        self._told = [self._read(node) for node in graph.nodes]
        if self._tensorflow is None and any(told.scopes for told in self._told):
            self._tell_silent()
        self._calls = Calls()
        for told in self._told:
            if told.traced and told.path is not None:
                self._calls.add(told.path, told.weight)
        self.classes = _read_modules(exported)
        for told in self._told:
            self._add(told)

    def count_folded(self, found: Sequence[FoundLayer]) -> int:
        """How many convolutions an exporter has folded a batch normalization into."""
        return sum(self._is_folded(each.nodes[0]) for each in found if each.nodes)

    def _is_folded(self, index: int) -> bool:
        """Tell whether a convolution's scope is that of a batch normalization.

        Or its kernel is one that PyTorch's tracing exporter has computed and named itself.
        """
        node, told = self._graph.nodes[index], self._told[index]
        if find_operator(node).cost != "convolution":
            return False
        if told.scopes and ".batchnorm." in (told.scopes[-1].class_name or ""):
            return True
        if self._producer == _PYTORCH and _COMPUTED.fullmatch(node.input[1]):
            return True
        elsewhere = told.weight is not None and told.weight != told.path
        return elsewhere and _NORMALIZATION.search(node.name) is not None

    def leaf_of(self, index: int) -> str | None:
        """The module that calls a node, if its class is known and no module lies within."""
        told = self._told[index]
        if told.traced or not told.path or self.classes[told.path] is None:
            return None
        return None if told.path in self._holding else told.path

    @functools.cached_property
    def _holding(self) -> frozenset[str]:
        """Modules with modules within."""
        return frozenset(path.rpartition(".")[0] for path in self.classes)

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
        if self._tensorflow is not None:
            return self._read_tensorflow(node, self._tensorflow)
        scopes = _scopes(node)
        traced = not scopes
        scopes = scopes or read_slashes(node.name)
        weights = (path_of_weight(name) for name in self._constants(node))
        weight = next((each for each in weights if each is not None), None)
        return _Told(scopes, traced, weight, scopes[-1].path if traced and scopes else None)

    def _read_tensorflow(self, node: onnx.NodeProto, known: TensorFlowScopes) -> _Told:
        own = known.of_node(node.name)
        kernels = (known.of_kernel(name) for name in self._constants(node))
        kernel = next((each for each in kernels if each is not None), None)
        scopes = () if own is None else (Scope(SEPARATOR.join(own.path)),)
        weight = None if kernel is None else SEPARATOR.join(kernel.path)
        return _Told(scopes, False, weight, None if own is None else own.call)

    def _tell_silent(self) -> None:
        """Have operators that say nothing tell the innermost module that holds all around them.

        PyTorch's optimizer makes a Split of a ``chunk``, and leaves out whose it was. Beside the
        network itself there must be such a module, and each neighbour must tell its own.
        """
        for group in self._silent_groups():
            around = self._neighbours(group)
            told = [self._told[each] for each in around if each is not None]
            lists = [each.scopes for each in told] + [(Scope(""),)] * (None in around)
            shared, traced = _shared(lists), {each.traced for each in told}
            if len(shared) > 1 and len(traced) == 1:
                for index in group:
                    self._told[index] = _Told(shared, traced == {True}, None, None)

    def _silent_groups(self) -> list[list[int]]:
        """Operators that say nothing, those together that read each other."""
        silent = (n for n, told in enumerate(self._told) if not told.scopes and told.weight is None)
        return connected(silent, lambda index: self._neighbours([index]))

    def _neighbours(self, nodes: Sequence[int]) -> set[int | None]:
        """Nodes outside that these read from, and that read them; ``None`` for the model's ends."""
        graph = self._graph
        read = {name for index in nodes for name in graph.nodes[index].input if name}
        made = {name for index in nodes for name in graph.nodes[index].output if name}
        found = {graph.producer.get(name) for name in read if not graph.is_constant(name)}
        found |= {each for name in made for each in graph.consumers.get(name, ())}
        found |= {None for name in made if name in graph.outputs}
        return found - set(nodes)

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
            for around in ("", *self.style.around(scope.path)):
                self.classes.setdefault(around, None)
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
        if told.call is not None:
            return Place(path, operator, told.call)
        known = self.classes.get(path) or ""
        # A layer that is called as its module's class is a whole call of it.
        by_hand = layer.operation is not None and layer.operation == known.rpartition(".")[2]
        plain = known.startswith(_PLAIN_CLASS) or weight is not None or by_hand
        return Place(path, operator, str(index) if plain else None)


def _shared(lists: Sequence[tuple[Scope, ...]]) -> tuple[Scope, ...]:
    """The modules that all lists begin with."""
    found = []
    for each in zip(*lists, strict=False):
        if len({scope.path for scope in each}) > 1:
            break
        found.append(each[0])
    return tuple(found)
