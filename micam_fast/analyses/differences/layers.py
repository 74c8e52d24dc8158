"""What two maps of one layer have in common, in numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from micam_fast.analyses.differences.noise import Noise
from micam_fast.analyses.differences.operations import family, kernel_size
from micam_fast.core.layers import Layer, Shape, show_shape
from micam_fast.maps.layer_map import LayerMap, lies_on_input

NOT_COMPARED = "maps are not compared:"
"""What stands before the reason why maps of one operation and size have no difference."""
_NAN = math.nan
CAPTIONS = ("A", "B", "B - A")
"""What the three maps of a layer are called."""


@dataclass(frozen=True, eq=False)
class LayerDifference:
    """How one layer's map changes from A to B.

    Attributes
    ----------
    layer
        The layer, as A's model has it; as B's where A's has none of this name.
    a, b
        The maps; ``None`` where there is none.
    difference
        ``(h', w')`` float64, B - A; ``None`` where the two cannot be compared, see `note`.
    bound
        The scale that A, B and B - A are drawn on: the largest absolute value of all three. Where
        a kernel weighs one map alone, B's is not drawn, and the scale is A's.
    relative_l2
        ``|B - A| / |A|`` with the Euclidean norm over all cells; 0 where both are all zero,
        infinite where A alone is.
    cosine
        ``A . B / (|A| |B|)``; NaN where either is all zero.
    correlation
        Pearson's; NaN where either has the same value in all cells.
    on_input_grid
        Whether the cells are those of the model's input, so that names of its rows and columns are
        names of theirs.
    partner
        B's layer, where it is matched with one of A's.
    changes
        What differs beside the maps: kernels, shapes, or layers that are read, in words.
    within
        Name of the layer that the other model computes this one together with.
    noise
        How far B's activations are from A's, where that was measured.
    joined
        Whether one model computes in this layer what is several layers of the other one.
    """

    layer: Layer
    a: LayerMap | None
    b: LayerMap | None
    difference: NDArray[np.float64] | None = None
    bound: float = 0.0
    relative_l2: float = _NAN
    cosine: float = _NAN
    correlation: float = _NAN
    on_input_grid: bool = False
    partner: Layer | None = None
    changes: tuple[str, ...] = ()
    within: str = ""
    noise: Noise | None = None
    joined: bool = False

    @property
    def added(self) -> float:
        """As in `Noise`; NaN where it was not measured."""
        return _NAN if self.noise is None else self.noise.added

    @property
    def note(self) -> str:
        """Why there is no difference; empty where there is one."""
        if self.a is None or self.b is None:
            mine, other = ("B", "A") if self.a is None else ("A", "B")
            return f"{other} computes it within {self.within}" if self.within else f"only in {mine}"
        if self.partner is not None and not self.types_agree:
            return f"A is {self.layer.class_label}, B is {self.partner.class_label}"
        if not self.projections_agree:
            with_kernel, other = ("A", "B") if self.a.weighted else ("B", "A")
            return f"{NOT_COMPARED} {with_kernel}'s is weighted through a kernel, {other}'s is not"
        if not self.sizes_agree:
            return f"A is {_size(self.a)}, B is {_size(self.b)}"
        bad = [side for side, found in (("A", self.a), ("B", self.b)) if not is_finite(found)]
        return f"{' and '.join(bad)} {'is' if len(bad) == 1 else 'are'} not finite" if bad else ""

    @property
    def types_agree(self) -> bool:
        """Whether the two maps are of the same operation, whatever computes it.

        Of joined layers those that stand for them may differ.
        """
        if self.partner is None or self.joined:
            return True
        return family(self.layer) == family(self.partner)

    @property
    def projections_agree(self) -> bool:
        """Whether a kernel weighs both maps or none; where there is one map, nothing disagrees."""
        return self.a is None or self.b is None or self.a.weighted == self.b.weighted

    @property
    def are_alike(self) -> bool:
        """Whether there are two maps of one kind and size, so that only values can differ."""
        return self.sizes_agree and self.types_agree and self.projections_agree

    @property
    def sizes_agree(self) -> bool:
        """Whether there are two maps, and they have as many rows and columns."""
        return self.a is not None and self.b is not None and self.a.cam.shape == self.b.cam.shape

    @property
    def drawn_b(self) -> LayerMap | None:
        """B's map, if it can be looked at beside A's: signs of other projections mislead."""
        return self.b if self.projections_agree else None

    @property
    def drawn(self) -> tuple[NDArray[np.floating] | None, ...]:
        """The values of A, B and B - A that can be looked at side by side, as `CAPTIONS` has them.

        ``None`` where there is none, or none that is finite.
        """
        sides = (None if m is None or not is_finite(m) else m.cam for m in (self.a, self.drawn_b))
        return *sides, self.difference

    @property
    def largest(self) -> tuple[int, int] | None:
        """Row and column of the largest absolute difference, the first of several.

        ``None`` where there is no difference, or none but zero.
        """
        if self.difference is None or not self.difference.any():
            return None
        row, column = np.unravel_index(np.abs(self.difference).argmax(), self.difference.shape)
        return int(row), int(column)


def compare_layer(
    layer: Layer,
    a: LayerMap | None,
    b: LayerMap | None,
    input_size: tuple[int, int],
    partner: Layer | None = None,
    *,
    joined: bool = False,
) -> LayerDifference:
    """Compare two maps of one layer.

    Parameters
    ----------
    layer
        Which one.
    a, b
        Its maps; ``None`` where there is none.
    input_size
        ``(Hin, Win)``.
    partner, joined
        As in `LayerDifference`.
    """
    empty = LayerDifference(layer, a, b, partner=partner, joined=joined)
    finite = [each.cam for each in (a, b) if each is not None and is_finite(each)]
    drawn = [each.cam for each in (a, empty.drawn_b) if each is not None and is_finite(each)]
    bound = max((float(np.abs(cam).max()) for cam in drawn), default=0.0)
    if len(finite) < 2 or not empty.are_alike:
        return replace(empty, bound=bound)
    before, after = (cam.astype(np.float64) for cam in finite)
    difference = after - before
    difference.flags.writeable = False
    return replace(
        empty,
        difference=difference,
        bound=max(bound, float(np.abs(difference).max())),
        relative_l2=_relative(float(np.linalg.norm(difference)), float(np.linalg.norm(before))),
        cosine=_cosine(before, after),
        correlation=_correlation(before, after),
        on_input_grid=a is not None and lies_on_input(layer, a, input_size),
    )


def find_changes(
    a: Layer, b: Layer, shapes: tuple[Shape, Shape] | None, inputs: tuple[list[str], list[str]]
) -> tuple[str, ...]:
    """What differs between two layers that are matched, beside their numbers.

    Parameters
    ----------
    a, b
        The layers that have the kernels.
    shapes
        Of their activations, where both are known.
    inputs
        What each reads, by the names in A as far as these are matched.
    """
    found = []
    if kernel_size(a) != kernel_size(b):
        kernels = ("none" if e.kernel_shape is None else show_shape(e.kernel_shape) for e in (a, b))
        found.append("kernels: A {}, B {}".format(*kernels))
    if shapes is not None and shapes[0] != shapes[1]:
        found.append("outputs: A {}, B {}".format(*map(show_shape, shapes)))
    if set(inputs[0]) != set(inputs[1]):
        read = (", ".join(names) or "nothing" for names in inputs)
        found.append("reads: A {}, B {}".format(*read))
    return tuple(found)


def is_finite(found: LayerMap) -> bool:
    """Whether a layer's map takes part."""
    return found.bad_values is None


def _relative(changed: float, size: float) -> float:
    if size == 0:
        return math.inf if changed else 0.0
    return changed / size


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Cosine of the angle between two maps; NaN where one is all zero."""
    # Scaled first, so that the squares of tiny values are not lost.
    sizes = [float(np.abs(each).max()) for each in (a, b)]
    if 0.0 in sizes:
        return _NAN
    one, other = (each / size for each, size in zip((a, b), sizes, strict=True))
    # The root of the product, not the product of roots: exactly 1 where both are the same.
    cosine = np.vdot(one, other) / math.sqrt(np.vdot(one, one) * np.vdot(other, other))
    return float(np.clip(cosine, -1, 1))


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation; NaN where one map has one value only."""
    if any(each.min() == each.max() for each in (a, b)):
        return _NAN
    return _cosine(a - a.mean(), b - b.mean())


def _size(found: LayerMap) -> str:
    return " x ".join(map(str, found.cam.shape))
