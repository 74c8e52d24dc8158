"""How two explanations differ, layer by layer: two samples, two means, or two models.

Everywhere the difference is B - A, the change from A to B.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from micam_fast.analyses.differences.comparison import Comparison
from micam_fast.analyses.differences.files import save, svg_text
from micam_fast.analyses.differences.labels import some_of
from micam_fast.analyses.differences.layers import compare_layer
from micam_fast.api.explanation import Explanation
from micam_fast.core.errors import AxisError, ModelError
from micam_fast.core.notebooks import diagram_bundle
from micam_fast.diagrams.style import Style
from micam_fast.maps.layer_map import lies_on_input
from micam_fast.samples.axis_names import AxisNames
from micam_fast.samples.orders import Permutation


@dataclass(frozen=True, eq=False)
class Difference(Comparison):
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
        return save(self, Path(path), Style("flat", rankdir, scale_tiles, compress_level))

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """The diagram for notebooks, and a line of text."""
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
            f"no layer of {a.scene.model} ({some_of(a.maps)}) has the name of one of "
            f"{b.scene.model} ({some_of(b.maps)}); layers are matched by name"
        )
    return Difference(a, b, layers, names, permutation)


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
