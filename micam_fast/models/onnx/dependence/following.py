"""What the activations of a model depend on, from its input through the whole graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx.dependence.cells import Dependence, everything
from micam_fast.models.onnx.dependence.layout import LAYOUT_RULES
from micam_fast.models.onnx.dependence.node_reading import NodeReading, Rule, added
from micam_fast.models.onnx.dependence.rules import RULES
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.operator_row import FieldRule

_RULES: Mapping[FieldRule, Rule] = {**RULES, **LAYOUT_RULES}


def follow(
    graph: Graph,
    inputs: Mapping[str, Dependence],
    shapes: Mapping[str, tuple[int, ...]],
    numbers: Mapping[str, NDArray[Any]],
    wanted: Iterable[str],
) -> dict[str, Dependence]:
    """What values of a graph depend on.

    Where an operator is unknown, or a shape is, each element of what it makes is said to depend on
    all that the operator reads, at most.

    `inputs` holds what those that lie on the grid depend on, and others count as depending on
    nothing; `shapes` are those of one run, `numbers` what is made of them, as far as known.
    """
    kept = {name for name in wanted if graph.kind.get(name) is Kind.ACTIVATION}
    nodes = [graph.nodes[index] for index in graph.nodes_before(kept)]
    readers = Counter(name for node in nodes for name in graph.activations(node))
    found: dict[str, Dependence] = {}
    for value in graph.inputs:
        nothing = Dependence(shapes.get(value.name), ())
        found[value.name] = inputs.get(value.name, nothing)
    for node in nodes:
        step = NodeReading(graph, node, shapes, numbers, found)
        made = [name for name in node.output if name]
        found.update(zip(made, _outputs(step, shapes, found), strict=True))
        for name in graph.activations(node):
            readers[name] -= 1
            if not readers[name] and name not in kept:
                del found[name]
    return {name: found[name] for name in kept}


def _outputs(
    step: NodeReading, shapes: Mapping[str, tuple[int, ...]], found: Mapping[str, Dependence]
) -> list[Dependence]:
    """What each named output depends on."""
    read = sorted(step.unread)
    rule = None if step.operator.field is None else _RULES[step.operator.field]
    known: list[Dependence] = []
    if rule is not None:
        try:
            told = rule(step)
        except (ValueError, LookupError, ModelError):
            step.unread.update(read)
        else:
            known = told if isinstance(told, list) else [told]
    outputs = []
    for place, name in enumerate(step.node.output):
        if not name:
            continue
        shape = shapes.get(name)
        if place < len(known) and (shape is None or known[place].shape == shape):
            rest = everything((found[each] for each in sorted(step.unread)), known[place].shape)
            outputs.append(added(known[place], rest))
        else:
            outputs.append(everything((found[each] for each in read), shape))
    return outputs
