"""What owners wrote by hand: a leaf module is one layer unless it computes several.

A table of patterns knows what frameworks write; nobody can list what people write. The scopes of a
file tell which operators are one call of one module without modules within, and its class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set

from micam_fast.core.grouping import connected
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.layer_names import Modules
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.patterns import Operation

_ARITHMETIC = frozenset({"elementwise", "reduction"})


def find_leaf_operations(
    graph: Graph, live: Set[int], modules: Modules, taken: Set[int]
) -> dict[int, Operation]:
    """Calls of leaf modules that are one operation each, by the index of their last operator.

    They compute element by element, or reduce, what they read from one value, and give one. A call
    that does more is as many layers as its operators say.

    Parameters
    ----------
    live
        Nodes that outputs depend on.
    taken
        Nodes of operations that are known already.
    """
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index in sorted(live):
        path = modules.leaf_of(index)
        if path is not None and graph.kind[graph.nodes[index].output[0]] is Kind.ACTIVATION:
            members[path].append(index)
    found = {}
    for path, nodes in members.items():
        for call in _calls(graph, nodes):
            last = _last_of(graph, call, live, taken)
            if last is not None:
                inner = tuple(index for index in call if index != last)
                name = str(modules.classes[path]).rpartition(".")[2]
                found[last] = Operation(name, (last, *inner))
    return found


def _calls(graph: Graph, nodes: Sequence[int]) -> list[list[int]]:
    """Nodes of a module that hang together, in the graph's order."""
    return connected(nodes, lambda n: map(graph.producer.get, graph.nodes[n].input))


def _last_of(graph: Graph, call: Sequence[int], live: Set[int], taken: Set[int]) -> int | None:
    """The node that gives what a call makes, if the call is one operation."""
    own = frozenset(call)
    rows = [find_operator(graph.nodes[index]) for index in call]
    if own & taken or sum(row.role == "layer" for row in rows) < 2:
        return None
    if any(row.role == "layer" and row.field not in _ARITHMETIC for row in rows):
        return None
    made = {name for index in call for name in graph.nodes[index].output}
    read = {name for index in call for name in graph.activations(graph.nodes[index])} - made
    given = [
        name
        for name in made
        if name in graph.outputs or not own >= live & set(graph.consumers[name])
    ]
    return graph.producer[given[0]] if len(read) == len(given) == 1 else None
