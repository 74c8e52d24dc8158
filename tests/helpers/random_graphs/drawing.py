"""Which operators follow which: from a seed to a graph."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import onnx
import onnxruntime
from onnx import TensorProto, helper

from tests.helpers.random_graphs import anywhere, layouts, pictures
from tests.helpers.random_graphs.builder import (
    OLDEST_OPSET,
    Builder,
    Drawn,
    Layer,
    Traits,
    Value,
    product,
)

Step = Callable[[Builder, Value], Value]

_ANYWHERE: tuple[tuple[Step, int], ...] = (
    (anywhere.calculate, 5), (anywhere.activate, 4), (anywhere.pad, 1), (anywhere.cut, 1),
    (anywhere.join, 2), (anywhere.combine, 2), (anywhere.hand_on, 1),
)  # fmt: skip
_FIRST: tuple[tuple[Step, int], ...] = (
    (pictures.convolve, 6), (pictures.convolve_back, 2), (pictures.pool, 2),
    (pictures.normalize, 3), (pictures.resize, 1), (pictures.depth_to_space, 1),
    (layouts.to_last, 2),
)  # fmt: skip
_LAST: tuple[tuple[Step, int], ...] = (
    (layouts.convolve_between, 3), (layouts.dense, 2), (layouts.to_first, 2),
)  # fmt: skip


@cache
def newest_opset() -> int:
    """The newest opset that both onnx and this ONNX Runtime know."""
    for opset in range(onnx.defs.onnx_opset_version(), OLDEST_OPSET, -1):
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
        made = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [made])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 10
        try:
            onnxruntime.InferenceSession(model.SerializeToString())
        except Exception:
            continue
        return opset
    return OLDEST_OPSET


@dataclass(frozen=True)
class Simpler:
    """How a graph is drawn with less in it: what shrinks a finding tries.

    Attributes
    ----------
    skipped
        Numbers of the steps that are left out; the others stay as they are, where they still fit.
    cut
        Index of the layer whose activation is the only output; ``None`` for the drawn outputs.
    traits
        What holds for the whole graph instead of what was drawn.
    whole
        Whether the model runs in one piece.
    """

    skipped: frozenset[int] = frozenset()
    cut: int | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False


def draw(seed: int, *, positive: bool = False, simpler: Simpler = Simpler()) -> Drawn:
    """The graph of a seed; `positive` ones have weights for receptive fields."""
    b = Builder(seed, replace(_traits(seed, positive), **simpler.traits))
    value = _begin(b)
    steps = _Steps(b, simpler.skipped)
    for _ in range(b.pick.randint(2, 8)):
        value = steps.take(_step, value)
        tokens = steps.take(_to_tokens, value)
        if tokens is not value:
            origin, count = value, b.pick.randint(1, 4)
            for _ in range(count):
                tokens = steps.take(_among_tokens, tokens)
            value = steps.take(_back_to(origin), tokens)
    b.begin_step(-1)
    outputs = [steps.take(_end, value)]
    b.begin_step(-2)
    given_out = [v for v in b.pool if v.name != outputs[0].name and v is not b.input]
    if given_out and b.chance(0.3):
        outputs.append(b.pick.choice(given_out))
        if b.chance(0.3):
            outputs.reverse()
    if simpler.cut is not None:
        outputs = [b.layers[simpler.cut].value]
    memory = b.pick.choice([1, 2000, 10_000]) if b.chance(0.25) else None
    return b.finish(outputs, None if simpler.whole else memory)


class _Steps:
    """Takes one step after the other, each with chances of its own."""

    def __init__(self, b: Builder, skipped: frozenset[int]) -> None:
        self._b, self._skipped = b, skipped
        self._count = 0

    def take(self, step: Step, value: Value) -> Value:
        """The value behind a step, or itself where that is left out."""
        self._b.begin_step(self._count)
        self._count += 1
        if self._count - 1 in self._skipped:
            return value
        made = step(self._b, value)
        if made is not value:
            self._b.pool.append(made)
        return made


def _traits(seed: int, positive: bool) -> Traits:
    pick = random.Random(f"traits {seed}")
    square = pick.randint(3, 6) if pick.random() < 0.3 else None
    batches: list[int | str] = ["N", "batch_size", "N", 1, 1, square or 3]
    return Traits(
        opset=pick.choice([pick.randint(OLDEST_OPSET, newest_opset()), 9, 11, 13, 17, 18, 21]),
        naming=pick.choice(["torch", "keras", "bare", "numbered"]),
        constants=pick.choice(["plain", "plain", "computed"]),
        positive=positive,
        square=square,
        batch=pick.choice(batches),
        is_open=tuple(pick.random() < share for share in [pick.choice([0, 0, 0.5, 1])] * 3),
        listed=pick.random() < 0.2,
        inferred=pick.random() < 0.3,
    )


def _begin(b: Builder) -> Value:
    """The input and, before long, a convolution that tells where channels lie."""
    rank = b.pick.choice([1, 2, 2, 2, 2, 2, 3])
    square = b.traits.square
    largest = {1: 12, 2: 9, 3: 5}[rank]
    space = [square or b.pick.randint(4 if rank < 3 else 3, largest) for _ in range(rank)]
    if rank == 2 and b.chance(0.05):
        space[0] = 1
    channels = square if square and b.chance(0.6) else b.pick.choice([1, 2, 3, 3, 4])
    last = b.chance(0.3)
    shape = (b.batch, *space, channels) if last else (b.batch, channels, *space)
    name = {"torch": "input.1", "keras": "input_1:0"}.get(b.traits.naming, "x")
    b.input = Value(name, shape, len(shape) - 1 if last else 1)
    b.layers.append(Layer(-1, b.input))
    b.note("opset", b.opset, b.traits)
    b.note("input", shape, "channels last" if last else "")
    value = b.input
    if b.chance(0.2):
        value = anywhere.calculate(b, value)
    if last:
        value = layouts.to_first(b, value)
    return pictures.convolve(b, value)


def _step(b: Builder, v: Value) -> Value:
    if v.rank < 3:
        return v
    steps = list(_ANYWHERE)
    if not b.traits.positive:
        steps += [(anywhere.soften, 1)] if v.last or b.opset >= 13 else []
    if v.first:
        steps += _FIRST
        if v.rank == 3:
            steps.append((pictures.convolve_a_row, 2))
        if not b.traits.positive:
            steps.append((pictures.gate, 1))
    elif v.last:
        steps += _LAST
        if not b.traits.positive and v.channels > 1:
            steps.append((layouts.layer_norm, 2))
    chosen, _ = b.pick.choices(steps, [weight for _, weight in steps])[0]
    return chosen(b, v)


def _to_tokens(b: Builder, v: Value) -> Value:
    if v.rank < 3 or len(v.space) == 3 or not b.chance(0.15):
        return v
    return layouts.to_tokens(b, v)


def _among_tokens(b: Builder, v: Value) -> Value:
    steps: list[Step] = [layouts.dense, anywhere.activate, anywhere.calculate, anywhere.combine]
    if not b.traits.positive and v.channels > 1:
        steps += [layouts.layer_norm] * 2
    return b.pick.choice(steps)(b, v)


def _back_to(origin: Value) -> Step:
    """From tokens to the grid that they come from, or not."""

    def step(b: Builder, v: Value) -> Value:
        return layouts.from_tokens(b, v, origin.space, origin) if b.chance(0.8) else v

    return step


def _end(b: Builder, v: Value) -> Value:
    """A head, or none."""
    draw = b.pick.random()
    if draw < 0.4:
        return v
    if v.first and draw < 0.6:
        return layouts.classify(b, layouts.flatten(b, pictures.global_pool(b, v)))
    if draw < 0.8 and product(v.space) > 1:
        return layouts.classify(b, layouts.average(b, v))
    if all(not each for each in b.traits.is_open) or b.chance(0.5):
        return layouts.classify(b, layouts.flatten(b, v))
    return v
