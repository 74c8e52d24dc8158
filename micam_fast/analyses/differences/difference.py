"""How two explanations differ, layer by layer: two samples, two means, or two models.

Everywhere the difference is B - A, the change from A to B.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from micam_fast.analyses.differences.comparison import Comparison
from micam_fast.analyses.differences.files import save, svg_text
from micam_fast.analyses.differences.labels import some_of
from micam_fast.analyses.differences.layers import (
    LayerDifference,
    compare_layer,
    find_changes,
)
from micam_fast.analyses.differences.matching import Matching, match_layers
from micam_fast.analyses.differences.noise import Noise
from micam_fast.api.explanation import Explanation
from micam_fast.core.choices import MATCHES, DrawingChoice, Match, check_choice, parse_page
from micam_fast.core.errors import AxisError, ModelError
from micam_fast.core.layers import Layer
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
        By A's name: every layer with a map in A or B, in the order of A's diagram, then B's own.
    names
        Of the rows and columns of A's input.
    permutation
        The order in which B's model saw the input; ``None`` for that of A.
    """

    def save(
        self,
        path: str | Path,
        *,
        drawing: DrawingChoice = "auto",
        page: str = "screen",
        scale_png: float = 1.5,
        rankdir: str | None = None,
        scale_tiles: float | None = None,
        compress_level: int = 1,
    ) -> Path:
        """Write the diagram or poster, the page or the numbers.

        Parameters
        ----------
        path
            The suffix says what is written: ``.png``, ``.svg`` or ``.pdf``, the diagram with A, B
            and B - A in each node, or the poster with the three in each card; ``.html``, a page
            with both side by side (extra ``view``); ``.csv``, a row for each layer.
        drawing, page, scale_png, rankdir, scale_tiles, compress_level
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
            If drawing, page, a scale, rankdir or compress_level is none that there is.
        """
        style = Style(
            "flat",
            rankdir,
            scale_tiles,
            compress_level,
            drawing=drawing,
            page=parse_page(page),
            scale_png=scale_png,
        )
        return save(self, Path(path), style)

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """The diagram or poster for notebooks, and a line of text."""
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
    match: Match = "name",
    noise: Mapping[str, Noise] | None = None,
) -> Difference:
    """Compare two explanations: of two samples, of two means, or by two models.

    Those layers whose types or sizes of maps are different, that one of the two lacks, or that are
    not finite have no difference; all others do, and say what else is different.

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
    match
        ``"name"``: layers of one name belong together, where what a quantizing tool appends to a
        name does not count. ``"structure"``: those that do the same and read the same, whatever
        their names.
    noise
        By A's name: what `measure_noise` found.

    Returns
    -------
    Difference

    Raises
    ------
    ModelError
        If no layer of the two is matched.
    AxisError
        If there are more or fewer names than A's input has rows or columns.
    SampleError
        If the permutation is one of another size.
    ValueError
        If `match` is none that there is.

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
    check_choice("match", match, MATCHES)
    matching = match_layers(a.scene.layers, b.scene.layers, match)
    layers = _compare_layers(a, b, matching)
    if not any(each.a is not None and each.b is not None for each in layers.values()):
        how = {"name": "has the name", "structure": "has the place"}[match]
        raise ModelError(
            f"no layer of {a.scene.model} ({some_of(a.maps)}) {how} of one of "
            f"{b.scene.model} ({some_of(b.maps)}); layers are matched by {match}"
        )
    for name, each in (noise or {}).items():
        if name in layers:
            layers[name] = replace(layers[name], noise=each)
    return Difference(a, b, layers, names, permutation)


def _compare_layers(
    a: Explanation, b: Explanation, matching: Matching
) -> dict[str, LayerDifference]:
    ours, theirs = ({each.name: each for each in side.scene.layers} for side in (a, b))
    found = {}
    for name, layer in ours.items():
        partner = theirs.get(matching.pairs.get(name, ""))
        maps = a.maps.get(name), None if partner is None else b.maps.get(partner.name)
        if maps == (None, None):
            continue
        joined = name in matching.starts
        each = compare_layer(layer, *maps, a.input_size, partner, joined=joined)
        if partner is not None:
            changes = _find_changes(each, ours, theirs, matching)
            each = replace(each, changes=changes)
        end = matching.within[0].get(name, "")
        found[name] = replace(each, within=matching.pairs.get(end, ""))
    names = {other: name for name, other in matching.pairs.items()}
    for name, layer in theirs.items():
        if name not in names and name in b.maps:
            each = compare_layer(layer, None, b.maps[name], a.input_size)
            # A's layer of this name is matched with another one.
            free = name if name not in ours else f"{name} (B)"
            end = matching.within[1].get(name, "")
            found[free] = replace(each, within=names.get(end, ""))
    return found


def _find_changes(
    each: LayerDifference,
    ours: Mapping[str, Layer],
    theirs: Mapping[str, Layer],
    matching: Matching,
) -> tuple[str, ...]:
    assert each.partner is not None
    name = each.layer.name
    one, other = matching.starts.get(name, (name, each.partner.name))
    names = {theirs_: ours_ for ours_, theirs_ in matching.pairs.items()}
    shapes = None if each.a is None or each.b is None else (each.a.shape, each.b.shape)
    inputs = list(ours[one].inputs), [names.get(read, read) for read in theirs[other].inputs]
    return find_changes(ours[one], theirs[other], shapes, inputs)


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
