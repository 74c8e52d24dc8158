"""Where a network makes its maps smaller, or larger again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from micam_fast.core.layers import Layer
from micam_fast.diagrams.poster.flow import Flow
from micam_fast.diagrams.poster.kinds import CONVOLUTION, DEPTHWISE, POOL, RESIZE

_CHANGING = (CONVOLUTION, DEPTHWISE, POOL, RESIZE)
# A kernel without pads takes some pixels from the border, and no more.
_FACTOR = 1.5


@dataclass(frozen=True)
class Scales:
    """Steps that make maps smaller (`down`) or larger (`up`), and those of them that are pools."""

    down: frozenset[int]
    up: frozenset[int]
    pools: frozenset[int]

    def begins(self, steps: Iterable[int]) -> bool:
        """Tell whether a step with a kernel, or one that resizes, begins another size."""
        return any(step in self.up or step in self.down - self.pools for step in steps)

    def ends(self, steps: Iterable[int]) -> bool:
        """Tell whether a pool ends a size."""
        return any(step in self.pools for step in steps)


def scales_of(flow: Flow) -> Scales:
    """The steps that change the size of maps."""
    down, up = set(), set()
    for step, kind in enumerate(flow.kinds):
        if kind in _CHANGING:
            change = _change(flow.nodes[step].layer)
            if change is None:
                up.update([step] if kind is RESIZE else [])
            elif change >= _FACTOR:
                up.add(step)
            elif change <= 1 / _FACTOR:
                down.add(step)
    pools = {step for step in down if flow.kinds[step] is POOL}
    return Scales(frozenset(down), frozenset(up), frozenset(pools))


def _change(layer: Layer) -> float | None:
    """How many times as long an axis of positions is behind the layer; ``None`` if unknown."""
    read, made = (layer.input_shapes[0] if layer.input_shapes else None), layer.output_shape
    if read is None or made is None or len(read) != len(made) or len(made) < 3:
        return None
    # Behind the channels or before them: of four axes, the third is one of positions.
    axis = 1 if len(made) == 3 and layer.onnx_name is None else 2
    before, after = read[axis], made[axis]
    return None if not before or not after else after / before
