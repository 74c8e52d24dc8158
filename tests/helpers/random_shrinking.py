"""Less of a graph that shows the same fault, and a description of it for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import onnx
from onnx import numpy_helper

from tests.helpers.random_checks import Finding, check
from tests.helpers.random_graphs import Drawn, Simpler, draw

_MOST_STEPS = 45
_SIMPLER_TRAITS = (
    {"naming": "numbered"}, {"listed": False}, {"inferred": False}, {"constants": "plain"},
    {"batch": 1}, {"is_open": (False,) * 3}, {"opset": 17},
)  # fmt: skip
_MOST_NUMBERS = 12


def shrink(seed: int, part: str, *, positive: bool = False) -> tuple[Drawn, list[Finding]]:
    """A graph that is as small as leaving out makes it, with a finding of the same part."""

    def try_out(simpler: Simpler) -> list[Finding]:
        try:
            drawn = draw(seed, positive=positive, simpler=simpler)
            if not any(layer.convolution for layer in drawn.layers.values()):
                # Nothing is left that tells where channels lie.
                return []
            found = check(drawn)
        except Exception:
            # What is left is no graph.
            return []
        return [each for each in found if each.part == part]

    best = Simpler()
    findings = try_out(best)
    for way in (_in_one_piece, _cuts, _without_steps, _cuts, _with_simpler_traits):
        for simpler in way(lambda: best, lambda s: draw(seed, positive=positive, simpler=s)):
            if found := try_out(simpler):
                best, findings = simpler, found
                if way is _cuts:
                    break
    return draw(seed, positive=positive, simpler=best), findings


Now = Callable[[], Simpler]
Redraw = Callable[[Simpler], Drawn]


def _in_one_piece(now: Now, redraw: Redraw) -> Iterator[Simpler]:
    yield replace(now(), whole=True)


def _cuts(now: Now, redraw: Redraw) -> Iterator[Simpler]:
    """Only what one layer needs, the first layers first."""
    for index in range(1, len(redraw(replace(now(), cut=None)).layers) + _MOST_STEPS):
        yield replace(now(), cut=index)


def _without_steps(now: Now, redraw: Redraw) -> Iterator[Simpler]:
    """One step less, the last ones first."""
    for step in reversed(range(_MOST_STEPS)):
        yield replace(now(), skipped=now().skipped | {step}, cut=None)


def _with_simpler_traits(now: Now, redraw: Redraw) -> Iterator[Simpler]:
    for traits in _SIMPLER_TRAITS:
        yield replace(now(), traits={**now().traits, **traits})


def describe(drawn: Drawn) -> str:
    """A graph as lines: what goes in, constants, operators."""
    graph = drawn.model.graph
    held = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    opset = drawn.model.opset_import[0].version
    lines = [
        f"opset {opset}, IR {drawn.model.ir_version}, batch {drawn.batch}, memory {drawn.memory}"
    ]
    for value in graph.input:
        if value.name not in held:
            sizes = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            lines.append(f"in  {value.name} {sizes}, a sample of {drawn.input_shape}")
    lines += [f"    {name} = {_shown(array)}" for name, array in held.items()]
    lines += [f"    {_node(node)}" for node in graph.node]
    lines.append("out " + ", ".join(value.name for value in graph.output))
    return "\n".join(lines)


def _shown(array: np.ndarray) -> str:
    if array.size <= _MOST_NUMBERS and array.dtype == np.int64:
        return f"{array.tolist()}"
    return f"{array.dtype}{list(array.shape)}"


def _node(node: onnx.NodeProto) -> str:
    given = {}
    for each in node.attribute:
        value = onnx.helper.get_attribute_value(each)
        if isinstance(value, onnx.TensorProto):
            value = _shown(numpy_helper.to_array(value))
        given[each.name] = value.decode() if isinstance(value, bytes) else value
    shown = ", ".join([*(name or '""' for name in node.input), *(f"{k}={v}" for k, v in given.items())])
    return f"{', '.join(node.output)} = {node.op_type}({shown})"
