"""Two explanations side by side: what labels, diagram and files of a difference read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from micam_fast.analyses.differences.layers import LayerDifference
from micam_fast.api.explanation import Explanation
from micam_fast.samples.axis_names import AxisNames
from micam_fast.samples.orders import Permutation


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two explanations side by side; its attributes are described at `Difference`."""

    a: Explanation
    b: Explanation
    layers: Mapping[str, LayerDifference]
    names: AxisNames = field(default_factory=AxisNames)
    permutation: Permutation | None = None

    @property
    def compared(self) -> list[LayerDifference]:
        """The layers that have a difference, in the diagram's order."""
        return [each for each in self.layers.values() if each.difference is not None]

    @property
    def ranked(self) -> list[LayerDifference]:
        """Those that differ most come first; of equal ones the first in order.

        By the noise that they add to what they read where that was measured, else by relative L2.
        """
        if self.measured:
            noisy = [each for each in self.layers.values() if each.noise is not None]
            return sorted(noisy, key=_by_noise)
        return sorted(self.compared, key=lambda each: -each.relative_l2)

    @property
    def measured(self) -> bool:
        """Whether the noise of the activations was measured."""
        return any(each.noise is not None for each in self.layers.values())

    @property
    def other_types(self) -> list[str]:
        """Names of the layers that have no difference as B's are of another type."""
        return [name for name, each in self.layers.items() if not each.types_agree]

    @property
    def other_projections(self) -> list[str]:
        """Names of the layers that have no difference as a kernel weighs one map alone."""
        found = self.layers.items()
        return [name for name, each in found if each.types_agree and not each.projections_agree]

    @property
    def changed(self) -> list[str]:
        """Names of the layers that have a difference though kernels, shapes or inputs differ."""
        return [each.layer.name for each in self.compared if each.changes]

    @property
    def within(self) -> list[str]:
        """Names of the layers that the other model computes within another one."""
        return [name for name, each in self.layers.items() if each.within]

    @property
    def mismatched(self) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
        """``(h', w')`` of A and of B, by name, where these are not the same."""
        return {
            name: (each.a.cam.shape, each.b.cam.shape)
            for name, each in self.layers.items()
            if each.a is not None and each.b is not None and not each.sizes_agree
            if each.types_agree and each.projections_agree
        }

    @property
    def not_finite(self) -> list[str]:
        """Names of the layers that have no difference as A's or B's values are not finite."""
        found = self.layers.items()
        return [name for name, each in found if each.are_alike and each.difference is None]

    @property
    def only_a(self) -> list[str]:
        """Names of the layers that B has no map of."""
        found = self.layers.items()
        return [name for name, each in found if each.b is None and not each.within]

    @property
    def only_b(self) -> list[str]:
        """Names of the layers that A has no map of."""
        found = self.layers.items()
        return [name for name, each in found if each.a is None and not each.within]

    def name_cell(
        self, each: LayerDifference, row: int, column: int
    ) -> tuple[str | None, str | None]:
        """Names of a cell's row and column; ``None`` where there is none."""
        if not each.on_input_grid:
            return None, None
        rows, columns = self.names.rows, self.names.columns
        return None if rows is None else rows[row], None if columns is None else columns[column]


def _by_noise(each: LayerDifference) -> tuple[float, float]:
    """Not finite first; of equal ones, those with more noise whoever added it.

    Where nobody knows what a layer adds, it stands behind those of which it is known.
    """
    relative = math.nan if each.noise is None else each.noise.relative_error
    if math.isnan(relative):
        return -math.inf, -math.inf
    return 0.0 if math.isnan(each.added) else -each.added, -relative
