"""What ``micam-fast diff`` prints of a difference: its notes, and the layers that differ most."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sized
from typing import TYPE_CHECKING

import click

from micam_fast.cli.common import note
from micam_fast.core.choices import Match
from micam_fast.core.texts import aligned, count_of

if TYPE_CHECKING:
    from micam_fast.analyses.differences import Difference, LayerDifference

_MOST_ROWS = 10


def tell_what_is_left_out(
    difference: Difference, match: Match, formats: Collection[str], *, as_json: bool
) -> None:
    """Say how many layers are not compared, or not alike; the files have their names."""
    kinds: tuple[tuple[str, Sized], ...] = (
        ("whose maps are not compared, as their types differ", difference.other_types),
        (
            "whose maps are not compared, as a kernel weighs one of the two alone",
            difference.other_projections,
        ),
        ("whose maps are not compared, as their sizes differ", difference.mismatched),
        ("whose maps are not compared, as they are not finite", difference.not_finite),
        ("only in A", difference.only_a),
        ("only in B", difference.only_b),
        ("computed within another one by the other model", difference.within),
        ("compared although kernels, shapes or what they read differ", difference.changed),
    )
    counts = [f"{count_of(len(names), 'layer')} {what}" for what, names in kinds if len(names)]
    for count in counts:
        note(count)
    if counts and not as_json:
        named = "csv" in formats
        note("the CSV names these layers" if named else "--format csv names these layers")
    if difference.only_a and difference.only_b and match == "name":
        note("--match structure matches layers by what they do, whatever their names")


def show_table(difference: Difference) -> None:
    """The layers that differ most: by the noise of the activations, else by relative L2."""
    ranked = difference.ranked
    if not ranked:
        click.echo("no layer can be compared")
        return
    measured = difference.measured
    how = (
        "by the noise that each adds to what it reads" if measured else "relative L2: |B - A| / |A|"
    )
    heads = ("added noise", "SNR", "saturated") if measured else ()
    rows: list[tuple[str, ...]] = [
        ("layer", "class", *heads, "relative L2", "cosine", "correlation", "largest B - A")
    ]
    rows += [_row(each, measured=measured) for each in ranked[:_MOST_ROWS]]
    more = f", {_MOST_ROWS} of {len(ranked)}" if len(ranked) > _MOST_ROWS else ""
    click.echo(f"layers that differ most{more} ({how}):")
    for line in aligned(rows, texts=2):
        click.echo(line)


def _row(each: LayerDifference, *, measured: bool) -> tuple[str, ...]:
    from micam_fast.analyses.differences.labels import show_db, show_number, show_share

    place = each.largest
    largest = "-" if each.difference is None else "0"
    if each.difference is not None and place is not None:
        largest = f"{each.difference[place]:+.4g}"
    numbers: Iterable[str] = ("-",) * 3
    if each.difference is not None:
        numbers = map(show_number, (each.relative_l2, each.cosine, each.correlation))
    noise: tuple[str, ...] = ()
    if measured and each.noise is not None:
        noise = show_share(each.added), show_db(each.noise.snr_db), show_share(each.noise.saturated)
    return (each.layer.name, each.layer.class_label, *noise, *numbers, largest)
