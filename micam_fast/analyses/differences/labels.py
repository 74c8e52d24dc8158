"""What the diagram of a difference says: the lines above it, and each layer's label."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Iterator
from dataclasses import replace

from micam_fast.analyses.differences.comparison import Comparison
from micam_fast.analyses.differences.layers import NOT_COMPARED, LayerDifference, is_finite
from micam_fast.api.explanation import Explanation
from micam_fast.core.layers import Layer, show_shape
from micam_fast.diagrams.heading import fit_header
from micam_fast.diagrams.labels import copies_line, label_parts, trouble_line
from micam_fast.diagrams.numbers import show_value
from micam_fast.maps.layer_map import lies_on_input

_LINE = 38
"""Letters of a sentence in a line of a label."""


def header_lines(difference: Comparison) -> list[str]:
    """What stands above the diagram: models, samples, predictions, what is not compared."""
    a, b = difference.a, difference.b
    models = list(dict.fromkeys(each.scene.model for each in (a, b)))
    lines = [f"{' and '.join(models)}: difference B - A"]
    for side, each in (("A", a), ("B", b)):
        lines.append(f"{side}: {', '.join(source_parts(each, named=a.scene is not b.scene))}")
    if difference.permutation is not None:
        lines.append(order_line(difference))
    lines.append(counts_line(difference))
    if difference.measured:
        worst = (
            f"{e.layer.name} {show_db(e.noise.snr_db)}" for e in difference.ranked[:3] if e.noise
        )
        lines.append(f"most noise is added by (signal-to-noise ratio): {', '.join(worst)}")
    return fit_header(lines)


def counts_line(difference: Comparison) -> str:
    """How many layers are compared, and which are not."""
    counts = [f"compared: {len(difference.compared)} of {len(difference.layers)} layers"]
    left_out: tuple[tuple[str, Collection[str]], ...] = (
        ("not finite", difference.not_finite),
        ("of other type", difference.other_types),
        ("weighted through a kernel in one alone", difference.other_projections),
        ("of different size", difference.mismatched),
        ("only in A", difference.only_a),
        ("only in B", difference.only_b),
        ("within others", difference.within),
        ("with other kernels, shapes or inputs", difference.changed),
    )
    for what, names in left_out:
        if names:
            counts.append(f"{len(names)} {what}: {some_of(names)}")
    return "; ".join(counts)


def some_of(names: Collection[str]) -> str:
    """The first three names."""
    shown = list(names)
    return ", ".join([*shown[:3], "..."] if len(shown) > 3 else shown)


def order_line(difference: Comparison) -> str:
    """The order of B's input, and which of its maps are put back."""
    b = difference.b
    on_input = sum(
        lies_on_input(layer, b.maps[layer.name], b.input_size)
        for layer in b.scene.layers
        if layer.name in b.maps
    )
    put_back = f"its maps on the input's grid ({on_input} of {len(b.maps)}) are put back"
    return f"order of B's input: {difference.permutation}; {put_back} into A's order"


def source_parts(each: Explanation, *, named: bool) -> list[str]:
    """What a side is: its sample, its model where the sides have two, label, prediction."""
    parts = [each.sample or "a sample"]
    if named:
        parts.append(f"by {each.scene.model}")
    if each.label is not None:
        parts.append(f"label {each.label}")
    if each.prediction is not None:
        parts.append(f"prediction: {each.prediction}")
    return parts


def label_lines(difference: Comparison, each: LayerDifference) -> list[str]:
    """The lines of a layer's label, its name first."""
    found = [m for m in (each.a, each.b) if m is not None]
    lines, _, _ = label_parts(each.layer, replace(found[0], bad_values=None, doubt=None))
    if each.partner is not None and _tells(each.layer) != _tells(each.partner):
        lines.append(f"B: {', '.join(_tells(each.partner))}")
    if found[-1].shape != found[0].shape:
        lines.append(f"B's O: {show_shape(found[-1].shape)}")
    if found[-1].copies != found[0].copies:
        m = found[-1]
        lines.append(f"B: {copies_line(m.copies, m.frame, steps=m.steps)}")
    sides = [(side, m) for side, m in (("A", each.a), ("B", each.b)) if m is not None]
    doubts = {m.doubt for m in found}
    who = [""] if len(doubts) == 1 else [f"{side}: " for side, _ in sides]
    lines += [f"{side}{m.doubt}" for side, m in zip(who, found, strict=False) if m.doubt]
    even = [side for side, m in sides if m.even_weights]
    if even:
        lines.append(f"{' and '.join(even)}: bias all zero, 1/C used")
    lines += [f"{side}: {trouble_line(m)}" for side, m in sides if not is_finite(m)]
    lines += [text for text in each.changes if not text.startswith("outputs")]
    if each.noise is not None:
        lines.append(f"SNR: {show_db(each.noise.snr_db)}")
        lines.append(f"added noise: {show_share(each.added)}")
        if each.noise.saturated is not None:
            lines.append(f"saturated: {show_share(each.noise.saturated)}")
    if each.difference is None:
        # A sentence without names; lines with names are shortened, to leave room for the rest.
        sentence = each.note.startswith(NOT_COMPARED)
        note = textwrap.wrap(each.note, _LINE) if sentence else [each.note]
        return [*lines, *note, f"scale: ±{show_value(each.bound)}"]
    return [
        *lines,
        f"relative L2: {show_number(each.relative_l2)}",
        f"cosine: {show_number(each.cosine)}",
        f"correlation: {show_number(each.correlation)}",
        f"scale: ±{show_value(each.bound)}",
        *_largest(difference, each),
    ]


def _tells(layer: Layer) -> tuple[str, str]:
    return layer.name, layer.class_label


def _largest(difference: Comparison, each: LayerDifference) -> Iterator[str]:
    """The largest difference, and where it is, by the names of row and column if there are any."""
    place = each.largest
    if place is None or each.difference is None:
        return
    if each.a is not None and each.a.flat and not each.on_input_grid:
        words = [f"value {place[0] * each.difference.shape[1] + place[1]}"]
    else:
        words = [
            f"{axis} {index}" if name is None else name
            for axis, index, name in zip(
                ("row", "column"), place, difference.name_cell(each, *place), strict=True
            )
        ]
        if len(each.difference) == 1 and difference.name_cell(each, *place)[0] is None:
            # The one row of a sequence needs no number.
            del words[0]
    largest = float(each.difference[place])
    yield f"largest: {'+' if largest > 0 else ''}{show_value(largest)}"
    yield f"at {', '.join(words)}"


def show_number(value: float) -> str:
    """A measure in a label or table; it may be undefined.

    What is small but not zero does not look like zero.
    """
    if math.isnan(value):
        return "undefined"
    return f"{value:.4f}" if value == 0 or 5e-5 < abs(value) < 1e4 else f"{value:.4g}"


def show_db(value: float) -> str:
    """A ratio in decibels; it may be undefined."""
    if math.isnan(value):
        return "undefined"
    return "no noise" if value == math.inf else f"{value:.1f} dB"


def show_share(value: float | None) -> str:
    """A share in percent; what is small but not zero does not look like zero."""
    if value is None or math.isnan(value):
        return "-"
    percent = 100 * value
    return f"{percent:.2f} %" if percent == 0 or percent >= 0.005 else f"{percent:.1g} %"
