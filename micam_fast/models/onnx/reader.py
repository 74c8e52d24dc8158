"""Layers of an ONNX graph: what a person would call one, its name, its kernel, its edges."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Literal

import onnx

from micam_fast.core.errors import ModelError
from micam_fast.core.layers import Axes, Layer, Reason, Shape, Tap
from micam_fast.core.texts import free_name
from micam_fast.models.onnx import kernels
from micam_fast.models.onnx.annotated import read_annotated
from micam_fast.models.onnx.annotations import METADATA_KEY, read_notes
from micam_fast.models.onnx.axes import infer_axes, only_moves_layout
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.dynamic_quantization import find_rescaling, is_scale_product
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.inference import shape_of
from micam_fast.models.onnx.layer_names import (
    MODULES_KEY,
    Modules,
    name_by_modules,
    name_like,
)
from micam_fast.models.onnx.leaf_modules import find_leaf_operations
from micam_fast.models.onnx.limits import LONGEST_NOTES, MOST_EDGES, reading, refuse_more
from micam_fast.models.onnx.model_graph import (
    FoundLayer,
    ModelGraph,
    Reading,
    assemble,
    read_inputs,
)
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.patterns import (
    Operation,
    find_operations,
    global_pool,
    operation_of,
)
from micam_fast.models.onnx.quantization import PairsBehind
from micam_fast.models.onnx.real_units import real_value
from micam_fast.models.onnx.sample_axes import is_whole_slice


def read_layers(
    model: OnnxFile, facts: Facts | None = None, like: Reading | None = None
) -> ModelGraph:
    """Find the layers of a model, with their kernels, edges, axes and names.

    An exported Keras model says itself what its layers are; in any other they are inferred.

    Parameters
    ----------
    facts
        Shapes of a run. Without them they are taken to be those of one sample where the batch alone
        is open; other open sizes stay unknown.
    like
        An earlier reading, whose layers are found again under the same names: the shapes of a
        sample must not change what the diagram shows.

    Raises
    ------
    ModelError
        If the graph is broken, or holds no layer.
    """
    with reading(model.name):
        notes = find_text(model, METADATA_KEY)
        if notes is not None:
            what = "characters in what the export wrote of its layers"
            refuse_more(model.name, len(notes), LONGEST_NOTES, what, "export the model again")
            read = read_notes(notes, model.name)
            before = () if like is None else like.outputs
            return read_annotated(model, read, facts or find_facts(model), before)
        if facts is None and (single := find_facts(model)) is not None:
            found = _Reader(model, single, like).read()
            # Where the open size is no batch, it is not known.
            if all(each.axes.batch == 0 or None not in each.shape for each in found.inputs):
                return found
        return _Reader(model, facts, like).read()


def find_facts(model: OnnxFile) -> Facts | None:
    """Shapes of one sample, for a model whose inputs leave open the first size at most."""
    fed = {}
    held = Constants(model).held
    for value in model.proto.graph.input:
        if value.name in held:
            continue
        shape = shape_of(value.type)
        if shape is None or None in shape[1:]:
            return None
        fed[value.name] = tuple(size or 1 for size in shape)
    return Facts(fed)


def find_text(model: OnnxFile, key: str) -> str | None:
    """What an exported model says, of its layers or modules, in its metadata."""
    found = (each.value for each in model.proto.metadata_props if each.key == key)
    return next(found, None)


class _Reader:
    def __init__(self, model: OnnxFile, facts: Facts | None, like: Reading | None) -> None:
        self.model = model
        self.graph = Graph(model, facts)
        self.before = () if like is None else like.outputs
        self.like = like
        self.pairs = PairsBehind(self.graph)
        self.conclusions = infer_axes(self.graph)
        self.axes = self.conclusions.axes
        # A model that takes pictures with channels last keeps them there where nothing says more.
        self.channels_last = any(
            self.graph.rank(value.name) == 4
            and self.conclusions.is_sure(value.name)
            and self.axes[value.name].channel == 3
            for value in self.graph.inputs
        )
        self.live = frozenset(self.graph.nodes_before(self.graph.outputs))
        # The layer that stands for a value, and the nodes that its bias Add swallows.
        self.owner: dict[str, str] = {}
        self.swallowed: set[int] = set()
        # The layers that each value comes from, and the lines of the diagram so far.
        self.owners: dict[str, tuple[str, ...]] = {}
        self.edges = 0
        # By index of its last node: what an exporter wrote as several operators.
        if like is None:
            known_operations = find_operations(self.graph, self.live, self._known_axes)
            taken = {node for each in known_operations.values() for node in each.nodes}
            by_hand = find_leaf_operations(self.graph, self.live, self.modules, taken)
            self.operations = {**known_operations, **by_hand}
        else:
            known = {name: like.nodes[name] for name in like.operations}
            self.operations = {n[0]: Operation(like.operations[k], n) for k, n in known.items()}
        inside = {node for each in self.operations.values() for node in each.nodes[1:]}
        self.outside = self.live - inside

    def read(self) -> ModelGraph:
        shown = self._find_shown() if self.like is None else _known_layers(self.like)
        found: list[FoundLayer] = []
        inputs = tuple(read_inputs(self.model, self.graph, self._axes_of))
        for each in inputs:
            shape = _with_open_batch(each.shape, each.axes)
            layer = Layer(each.name, "Input", "Input", (), (shape,) if shape else (), shape)
            tap = Tap(each.name, each.axes)
            found.append(FoundLayer(layer, tap, self._reason_of(each.name)))
            self.owner[each.name] = each.name
        for index, node in enumerate(self.graph.nodes):
            if index not in shown or index in self.swallowed:
                continue
            self.owner.update(dict.fromkeys(node.output, next(iter(shown[index]))))
            for name, place in shown[index].items():
                read = self._read_node(index, node, name, place)
                found.append(read)
                self.owner[node.output[place]] = self.owner[read.tap.value] = name
        if len(found) == len(inputs):
            raise ModelError(f"model {self.model.name!r} holds no layer between input and output")
        if self.like is None:
            named = name_by_modules(self.modules, found)
            folded = self.modules.count_folded(found)
        else:
            named, folded = name_like(self.like.layers, found), self.like.folded
        return assemble(
            self.model,
            self.graph,
            named,
            inputs,
            self._axes_of,
            before=self.before,
            folded=folded,
        )

    @functools.cached_property
    def modules(self) -> Modules:
        """What the file tells of modules; nobody asks where an earlier reading has named layers."""
        proto, exported = self.model.proto, find_text(self.model, MODULES_KEY)
        return Modules(self.graph, exported, proto.producer_name)

    def _known_axes(self, name: str) -> Axes:
        """The axes that evidence tells, without defaults for channels."""
        return self.axes.get(name, Axes(0, None, assumed_batch=True))

    def _axes_of(self, name: str) -> Axes:
        shape = self.graph.shape(name)
        found = self._known_axes(name)
        if shape is not None and not found.fit(len(shape)):
            # An operator that reads another number of axes; ONNX Runtime refuses it.
            found = Axes(None, None)
        if found.channel is None:
            found = replace(found, channels_last=self.channels_last)
        return found if shape is None else found.completed(len(shape))

    def _reason_of(self, name: str) -> Reason:
        shape, found = self.graph.shape(name), self.axes.get(name)
        if shape is not None and found is not None and not found.fit(len(shape)):
            return Reason(None, None)
        return self.conclusions.reason(name)

    def _find_shown(self) -> dict[int, dict[str, int]]:
        """By index of a layer's node: the layer's names, each with the place of its output.

        Names by SPEC: the node's, or its first output's where that is empty or not unique.
        """
        used = Counter(node.name for node in self.graph.nodes)
        used.update(value.name for value in self.graph.inputs)
        taken = {value.name for value in self.graph.inputs}
        read = self._read_by_layers()
        shown: dict[int, dict[str, int]] = {}
        for index, node in enumerate(self.graph.nodes):
            places = self._shown_outputs(node, read) if self._is_layer(index, node) else ()
            if not places:
                continue
            name = node.name if node.name and used[node.name] == 1 else node.output[0]
            shown[index] = {}
            for place in places:
                wanted = f"{name}:{place}" if shown[index] else name
                free = free_name(wanted, taken)
                taken.add(free)
                shown[index][free] = place
        return shown

    def _is_layer(self, index: int, node: onnx.NodeProto) -> bool:
        if index not in self.outside:
            return False
        if index in self.operations:
            return True
        role = find_operator(node).role
        if role == "bookkeeping" or (role == "layout" and only_moves_layout(self.graph, node)):
            return False
        return not is_scale_product(self.graph, node) and not is_whole_slice(self.graph, node)

    def _read_by_layers(self) -> set[str]:
        """The activations that a layer reads, be it through bookkeeping."""
        found: set[str] = set()
        for index in sorted(self.live, reverse=True):
            node = self.graph.nodes[index]
            if self._is_layer(index, node) or not found.isdisjoint(node.output):
                found.update(self.graph.activations(node))
        return found

    def _shown_outputs(self, node: onnx.NodeProto, read: Container[str]) -> Sequence[int]:
        """Places of the outputs that are shown: those that layers read, or one of the others."""
        named = [place for place, name in enumerate(node.output) if name]
        places = [place for place in named if self.graph.is_tensor(node.output[place])]
        wanted = [place for place in places if node.output[place] in read]
        given = [place for place in places if node.output[place] in self.graph.outputs]
        return wanted or given[:1] or places[:1]

    def _read_node(self, index: int, node: onnx.NodeProto, name: str, place: int) -> FoundLayer:
        operator, value = find_operator(node), node.output[place]
        squeezed: int | None = None
        kernel, bias = kernels.find_kernel(self.graph, node)
        bias_shape = None if bias is None else self.graph.constant_shape(bias)
        channels = kernels.count_channels(self.graph, node, kernel) if kernel else None
        operation = self.operations.get(index)
        rescaling = find_rescaling(self.graph, node, self.outside)
        scaled = () if rescaling is None else rescaling.nodes
        nodes: Sequence[int] = scaled if self.like is None else self.like.nodes[name][1:]
        self.swallowed.update(scaled)
        if operation is not None:
            nodes = operation.nodes[1:]
        elif nodes:
            value = self.graph.nodes[nodes[-1]].output[0]
        if bias is None and not place:
            merged = kernels.following_bias(
                self.graph, node, channels, self._axes_of, self.outside, scaled
            )
            if merged is not None and (self.like is None or merged[0] == value):
                value, bias, nodes = merged
                self.swallowed.update(nodes)
                if kernel is not None:
                    rank = len(self.graph.constant_shape(kernel))
                    squeezed = kernels.squeezed_axis(self.graph, nodes[:-1], rank)
        if bias is not None and channels is not None and operator.cost != "recurrent":
            bias_shape = (channels,)
        value = real_value(self.graph, self.pairs.value_behind(value))
        shape = self.graph.shape(value)
        axes = self._axes_of(value)
        pool = self._global_pool(node)
        op_type = pool or (operation_of(node) if operation is None else operation.name)
        layer = Layer(
            name=name,
            op_type=op_type,
            class_label=op_type,
            inputs=self._parents(node),
            input_shapes=tuple(
                _with_open_batch(self.graph.shape(read), self._axes_of(read))
                for read in self._inputs_of((index, *nodes) if operation else (index,))
            ),
            output_shape=_with_open_batch(shape, axes),
            kernel_shape=None if kernel is None else self.graph.constant_shape(kernel),
            bias_shape=bias_shape,
        )
        form: Literal["channels", "recurrent", "flat"] = "channels"
        if operator.flat or pool:
            form = "flat"
        elif operator.channels == "recurrent":
            # A last state has no steps.
            form = "flat" if place else "recurrent"
        tap = Tap(value, axes, form)
        found = FoundLayer(
            layer,
            tap,
            self._reason_of(value),
            nodes=(index, *nodes),
            place=place,
            operation=None if operation is None else operation.name,
        )
        if kernel is None or operator.cost != "convolution":
            return found
        assert layer.kernel_shape is not None
        geometry = kernels.read_geometry(node, len(layer.kernel_shape) - 2)
        try:
            kernels.check_groups(geometry, layer.kernel_shape)
        except ValueError as error:
            raise ModelError(
                f"model {self.model.name!r}: layer {name!r} has {error}; export the model again"
            ) from None
        source = next(read for read in node.input if self.graph.kind[read] is Kind.ACTIVATION)
        last = operator.channels == "last"
        channel = len(layer.kernel_shape) - 1 if last else 1
        tap = replace(
            tap, geometry=geometry, source=source, source_channel=channel, squeezed=squeezed
        )
        weights = kernels.with_quantization(self.graph, node, kernels.Weights(kernel, bias))
        if rescaling is not None:
            scale, unit = rescaling.weight_scale, rescaling.input_scale
            weights = replace(weights, scale=scale, scale_unit=unit)
        return replace(found, tap=tap, kernel=weights)

    def _inputs_of(self, nodes: Sequence[int]) -> dict[str, None]:
        """The activations that nodes together read, in their order."""
        made = {name for index in nodes for name in self.graph.nodes[index].output}
        read = (name for n in sorted(nodes) for name in self.graph.activations(self.graph.nodes[n]))
        return dict.fromkeys(name for name in read if name not in made)

    def _global_pool(self, node: onnx.NodeProto) -> str | None:
        """The global pool that a node is, where evidence says which axes are positions."""
        if not node.input or not self.conclusions.has_channels(node.input[0]):
            return None
        return global_pool(self.graph, node, self._axes_of(node.input[0]))

    def _parents(self, node: onnx.NodeProto) -> tuple[str, ...]:
        """Layers whose activations the node reads, bookkeeping seen through."""
        read = self.graph.activations(node)
        found = dict.fromkeys(owner for value in read for owner in self._owners(value))
        self._count_edges(len(found))
        return tuple(found)

    def _count_edges(self, more: int) -> None:
        self.edges += more
        remedy = "cut out a part with onnx.utils.extract_model"
        refuse_more(self.model.name, self.edges, MOST_EDGES, "edges between layers", remedy)

    def _owners(self, value: str) -> tuple[str, ...]:
        """Layers that a value comes from; each piece of bookkeeping is seen through but once."""
        waiting = [value]
        while waiting:
            each = waiting[-1]
            if each in self.owner:
                self.owners[each] = (self.owner[each],)
            if each in self.owners:
                waiting.pop()
                continue
            maker = self.graph.nodes[self.graph.producer[each]]
            read = self.graph.activations(maker)
            unseen = [name for name in read if name not in self.owners]
            waiting.extend(unseen)
            if not unseen:
                owners = (layer for name in read for layer in self.owners[name])
                self.owners[each] = tuple(dict.fromkeys(owners))
                self._count_edges(len(self.owners[each]) - 1)
        return self.owners[value]


def _known_layers(like: Reading) -> dict[int, dict[str, int]]:
    """The layers of an earlier reading, as `_Reader` finds them."""
    found: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for name, (index, *_) in like.nodes.items():
        found[index][name] = like.places.get(name, 0)
    return found


def _with_open_batch(shape: Shape | None, axes: Axes) -> Shape | None:
    if shape is None:
        return None
    return tuple(None if axis == axes.batch else size for axis, size in enumerate(shape))
