"""How two explanations differ, layer by layer: two samples, two means, or two models.

Everywhere the difference is B - A, the change from A to B.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from micam_fast.axis_names import AxisNames
from micam_fast.errors import AxisError, ModelError
from micam_fast.explanation import Explanation
from micam_fast.layers import Layer
from micam_fast.notebooks import diagram_bundle
from micam_fast.permutations import Permutation, lies_on_input
from micam_fast.results import LayerMap

_NAN = math.nan


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
        The scale that A, B and B - A are drawn on: the largest absolute value of all three.
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

    @property
    def note(self) -> str:
        """Why there is no difference; empty where there is one."""
        if self.a is None or self.b is None:
            return "only in B" if self.a is None else "only in A"
        if not self.sizes_agree:
            return f"A is {_size(self.a)}, B is {_size(self.b)}"
        bad = [side for side, found in (("A", self.a), ("B", self.b)) if not is_finite(found)]
        return f"{' and '.join(bad)} {'is' if len(bad) == 1 else 'are'} not finite" if bad else ""

    @property
    def sizes_agree(self) -> bool:
        """Whether there are two maps, and they have as many rows and columns."""
        return self.a is not None and self.b is not None and self.a.cam.shape == self.b.cam.shape

    @property
    def largest(self) -> tuple[int, int] | None:
        """Row and column of the largest absolute difference, the first of several.

        ``None`` where there is no difference, or none but zero.
        """
        if self.difference is None or not self.difference.any():
            return None
        row, column = np.unravel_index(np.abs(self.difference).argmax(), self.difference.shape)
        return int(row), int(column)


@dataclass(frozen=True, eq=False)
class Difference:
    """How two explanations differ; made by `diff`.

    Attributes
    ----------
    a, b
        The explanations; of B, maps on the input's grid are in the order of A's input.
    layers
        By name: every layer with a map in A or B, in the order of A's diagram, then B's own.
    names
        Of the rows and columns of A's input.
    permutation
        The order in which B's model saw the input; ``None`` for that of A.
    """

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
        """Those that differ most come first, by relative L2; of equal ones the first in order."""
        return sorted(self.compared, key=lambda each: -each.relative_l2)

    @property
    def mismatched(self) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
        """``(h', w')`` of A and of B, by name, where these are not the same."""
        return {
            name: (_shape(each.a), _shape(each.b))
            for name, each in self.layers.items()
            if each.a is not None and each.b is not None and not each.sizes_agree
        }

    @property
    def not_finite(self) -> list[str]:
        """Names of the layers that have no difference as A's or B's values are not finite."""
        return [
            name
            for name, each in self.layers.items()
            if each.sizes_agree and each.difference is None
        ]

    @property
    def only_a(self) -> list[str]:
        """Names of the layers that B has no map of."""
        return [name for name, each in self.layers.items() if each.b is None]

    @property
    def only_b(self) -> list[str]:
        """Names of the layers that A has no map of."""
        return [name for name, each in self.layers.items() if each.a is None]

    def name_cell(
        self, each: LayerDifference, row: int, column: int
    ) -> tuple[str | None, str | None]:
        """Names of a cell's row and column; ``None`` where there is none."""
        if not each.on_input_grid:
            return None, None
        rows, columns = self.names.rows, self.names.columns
        return (
            None if rows is None else rows[row],
            None if columns is None else columns[column],
        )

    def save(
        self,
        path: str | Path,
        *,
        rankdir: str = "TB",
        scale_tiles: float = 1.0,
        compress_level: int = 1,
    ) -> Path:
        """Write the diagram, the page or the numbers.

        Parameters
        ----------
        path
            The suffix says what is written: ``.png`` or ``.svg``, the diagram with A, B and B - A
            in each node; ``.html``, a page with both side by side (extra ``view``); ``.csv``, a
            row for each layer.
        rankdir, scale_tiles, compress_level
            As of `Explanation.save`.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputError
            If the format is unknown, the picture too large, or the file cannot be written.
        LayoutEngineError
            If Graphviz is missing or fails.
        MissingExtraError
            If the page is asked for and the extra ``view`` is not installed.
        ValueError
            If rankdir, scale_tiles or compress_level is none that there is.
        """
        from micam_fast.differences.files import save
        from micam_fast.saving import Style

        return save(self, Path(path), Style("flat", rankdir, scale_tiles, compress_level))

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """The diagram for notebooks, and a line of text."""
        from micam_fast.differences.files import svg_text
        from micam_fast.saving import Style

        return diagram_bundle(self, lambda: svg_text(self, Style("flat")), include, exclude)

    def __repr__(self) -> str:
        """What is compared, and in how many layers."""
        sides = [f"{each.sample or 'a sample'} by {each.scene.model}" for each in (self.a, self.b)]
        count = f"{len(self.compared)} of {len(self.layers)} layers"
        return f"<Difference from {' to '.join(sides)}: {count}>"


def diff(
    a: Explanation,
    b: Explanation,
    *,
    names: AxisNames | None = None,
    permutation: Permutation | None = None,
) -> Difference:
    """Compare two explanations: of two samples, of two means, or by two models.

    Layers are matched by name. Those whose maps are of different size, that one of the two lacks,
    or that are not finite have no difference; all others do.

    Parameters
    ----------
    a, b
        The difference is B - A.
    names
        Of the rows and columns of A's input.
    permutation
        The order in which B's model saw the input. Maps of B on the grid of its input are put back
        into A's order first, so that the difference shows what changed in the model and not the
        shuffle; maps on smaller grids stay as they are.

    Returns
    -------
    Difference

    Raises
    ------
    ModelError
        If the two have no layer of the same name.
    AxisError
        If there are more or fewer names than A's input has rows or columns.
    SampleError
        If the permutation is one of another size.

    Examples
    --------
    >>> import micam_fast
    >>> from micam_fast.demo import DIGITS, MODEL
    >>> model = micam_fast.load_model(MODEL)
    >>> three, eight = (model.explain(np.load(DIGITS)[digit]) for digit in (3, 8))
    >>> found = diff(three, eight)
    >>> found.layers["conv_1"].difference.shape
    (28, 28)
    >>> 0 < found.layers["conv_1"].correlation < 1
    True
    """
    names = names or AxisNames()
    for axis, given, size in zip(
        ("rows", "columns"), (names.rows, names.columns), a.input_size, strict=True
    ):
        if given is not None and len(given) != size:
            raise AxisError(f"{len(given)} names were given for the {size} {axis} of A's input")
    if permutation is not None:
        b = put_back(b, permutation)
    known = {layer.name: layer for each in (b, a) for layer in each.scene.layers}
    order = [layer.name for each in (a, b) for layer in each.scene.layers]
    layers = {
        name: compare_layer(known[name], a.maps.get(name), b.maps.get(name), a.input_size)
        for name in dict.fromkeys(order)
        if name in a.maps or name in b.maps
    }
    if not any(each.a is not None and each.b is not None for each in layers.values()):
        raise ModelError(
            f"no layer of {a.scene.model} ({_listed(a.maps)}) has the name of one of "
            f"{b.scene.model} ({_listed(b.maps)}); layers are matched by name"
        )
    return Difference(a, b, layers, names, permutation)


def compare_layer(
    layer: Layer, a: LayerMap | None, b: LayerMap | None, input_size: tuple[int, int]
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
    """
    finite = [each.cam for each in (a, b) if each is not None and is_finite(each)]
    bound = max((float(np.abs(cam).max()) for cam in finite), default=0.0)
    if len(finite) < 2 or finite[0].shape != finite[1].shape:
        return LayerDifference(layer, a, b, bound=bound)
    before, after = (cam.astype(np.float64) for cam in finite)
    difference = after - before
    difference.flags.writeable = False
    return LayerDifference(
        layer,
        a,
        b,
        difference,
        max(bound, float(np.abs(difference).max())),
        _relative(float(np.linalg.norm(difference)), float(np.linalg.norm(before))),
        _cosine(before, after),
        _correlation(before, after),
        a is not None and lies_on_input(layer, a, input_size),
    )


def put_back(explanation: Explanation, permutation: Permutation) -> Explanation:
    """An explanation of a permuted sample, its maps on the input's grid in the first order."""
    size = explanation.input_size
    maps = dict(explanation.maps)
    for layer in explanation.scene.layers:
        found = maps.get(layer.name)
        if found is not None and lies_on_input(layer, found, size):
            maps[layer.name] = replace(
                found,
                cam=permutation.undo(found.cam, size),
                rgba=permutation.undo(found.rgba, size),
            )
    return replace(explanation, maps=maps)


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


def _shape(found: LayerMap) -> tuple[int, int]:
    height, width = found.cam.shape
    return height, width


def _size(found: LayerMap) -> str:
    return " x ".join(map(str, found.cam.shape))


def _listed(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    more = ", ..." if len(names) > most else ""
    return ", ".join(names[:most]) + more
