"""Less of a graph that shows the same fault, and a description of it for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx
from onnx import numpy_helper

from tests.helpers.random_checks import Array, Finding, check
from tests.helpers.random_graphs import Drawn, Simpler, draw

_MOST_STEPS = 45
_SIMPLER_TRAITS = (
    {"naming": "numbered"}, {"listed": False}, {"inferred": False}, {"constants": "plain"},
    {"batch": 1}, {"is_open": (False,) * 3}, {"opset": 17},
)  # fmt: skip
_MOST_NUMBERS = 12


def shrink(seed: int, part: str, *, positive: bool = False) -> tuple[Drawn, list[Finding]]:
    """A graph that is as small as leaving out makes it, with a finding of the same part."""
    shrinking = _Shrinking(seed, part, positive)
    shrinking.try_out(replace(shrinking.best, whole=True))
    shrinking.cut()
    for step in reversed(range(_MOST_STEPS)):
        best = shrinking.best
        shrinking.try_out(replace(best, skipped=best.skipped | {step}, cut=None))
    shrinking.cut()
    for traits in _SIMPLER_TRAITS:
        shrinking.try_out(replace(shrinking.best, traits={**shrinking.best.traits, **traits}))
    return shrinking.draw(shrinking.best), shrinking.findings


class _Shrinking:
    def __init__(self, seed: int, part: str, positive: bool) -> None:
        self._seed, self._part, self._positive = seed, part, positive
        self.best = Simpler()
        self.findings: list[Finding] = []
        self.try_out(self.best)

    def draw(self, simpler: Simpler) -> Drawn:
        return draw(self._seed, positive=self._positive, simpler=simpler)

    def try_out(self, simpler: Simpler) -> bool:
        """Keep what still shows the fault."""
        try:
            drawn = self.draw(simpler)
            if not any(layer.convolution for layer in drawn.layers.values()):
                # Nothing is left that tells where channels lie.
                return False
            found = [each for each in check(drawn) if each.part == self._part]
        except Exception:
            # What is left is no graph.
            return False
        if found:
            self.best, self.findings = simpler, found
        return bool(found)

    def cut(self) -> None:
        """Only what one layer needs, the first layers first."""
        count = len(self.draw(replace(self.best, cut=None)).layers) + _MOST_STEPS
        any(self.try_out(replace(self.best, cut=index)) for index in range(1, count))


def describe(drawn: Drawn) -> str:
    """A graph as lines: what goes in, constants, operators."""
    return "\n".join(_lines(drawn))


def _lines(drawn: Drawn) -> Iterator[str]:
    model = drawn.model
    yield (
        f"opset {model.opset_import[0].version}, IR {model.ir_version}, batch {drawn.batch}, "
        f"memory {drawn.memory}"
    )
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in held:
            sizes = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
            yield f"in  {value.name} {sizes}, a sample of {drawn.input_shape}"
    yield from (f"    {name} = {_shown(array)}" for name, array in held.items())
    yield from (f"    {_show_node(node)}" for node in model.graph.node)
    yield "out " + ", ".join(value.name for value in model.graph.output)


def _shown(array: Array) -> str:
    if array.size <= _MOST_NUMBERS and array.dtype == np.int64:
        return f"{array.tolist()}"
    return f"{array.dtype}{list(array.shape)}"


def _show_node(node: onnx.NodeProto) -> str:
    words = [name or '""' for name in node.input]
    for each in node.attribute:
        value = onnx.helper.get_attribute_value(each)
        if isinstance(value, onnx.TensorProto):
            value = _shown(numpy_helper.to_array(value))
        words.append(f"{each.name}={value.decode() if isinstance(value, bytes) else value}")
    return f"{', '.join(node.output)} = {node.op_type}({', '.join(words)})"
