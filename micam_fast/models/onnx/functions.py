"""Model-local functions: how much they come to, and putting them in the place of their calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from graphlib import CycleError, TopologicalSorter

import onnx

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx import limits
from micam_fast.models.onnx.files import OnnxFile, bodies
from micam_fast.models.onnx.operator_row import ONNX_DOMAINS

_Key = tuple[str, str, str]


def inline_functions(model: OnnxFile) -> onnx.ModelProto:
    """The model with the nodes of functions in the place of their calls.

    Functions that call others twice each grow by powers of two: they are counted before.

    Raises
    ------
    ModelError
        If functions call themselves, or come to more operators or bytes than are read.
    """
    from onnx import inliner

    _check_expansion(model)
    try:
        return inliner.inline_local_functions(model.proto)
    except Exception as error:
        raise ModelError(
            f"model {model.name!r}: its functions cannot be inlined ({limits.shown(str(error))}); "
            "export the model without functions"
        ) from None


def _check_expansion(model: OnnxFile) -> None:
    functions = {(_domain(f.domain), f.name, f.overload): f for f in model.proto.functions}
    if len(functions) < len(model.proto.functions):
        raise ModelError(f"model {model.name!r} defines a function twice; export the model again")
    calls = {key: _calls(list(f.node), functions.keys()) for key, f in functions.items()}
    nodes = {key: len(f.node) for key, f in functions.items()}
    size = {key: f.ByteSize() for key, f in functions.items()}
    depth = dict.fromkeys(functions, 1)
    try:
        # Each after those that it calls.
        order = list(TopologicalSorter(calls).static_order())
    except CycleError as error:
        raise ModelError(
            f"model {model.name!r}: function {limits.shown(error.args[1][0][1])!r} calls itself, "
            "so it has no end; export the model without functions"
        ) from None
    for key in order:
        for called, count in calls[key].items():
            nodes[key] += nodes[called] * count
            size[key] += size[called] * count
            depth[key] = max(depth[key], depth[called] + 1)
    outer = _calls(list(model.proto.graph.node), functions.keys())
    what = "operators once its functions are inlined"
    remedy = "export it without functions"
    total = len(model.proto.graph.node) + sum(nodes[each] * n for each, n in outer.items())
    limits.refuse_more(model.name, total, limits.MOST_NODES, what, remedy)
    total = model.proto.ByteSize() + sum(size[each] * n for each, n in outer.items())
    what = "bytes once its functions are inlined"
    limits.refuse_more(model.name, total, limits.LARGEST_FILE, what, remedy)
    what = "functions that call each other in turn"
    limits.refuse_more(model.name, max(depth.values()), limits.DEEPEST_CALLS, what, remedy)


def _calls(nodes: list[onnx.NodeProto], known: Container[_Key]) -> Counter[_Key]:
    """Which functions some nodes call, those in subgraphs included, and how often."""
    found: Counter[_Key] = Counter()
    while nodes:
        node = nodes.pop()
        key = (_domain(node.domain), node.op_type, node.overload)
        if key in known:
            found[key] += 1
        nodes.extend(inner for body in bodies(node) for inner in body.node)
    return found


def _domain(name: str) -> str:
    return "" if name in ONNX_DOMAINS else name
