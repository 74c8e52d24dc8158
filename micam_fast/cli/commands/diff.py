"""``micam-fast diff``: what changes between two samples, two sets of samples, or two models."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.axes import read_axis_names, read_permutation
from micam_fast.cli.common import Failure, note, note_compiling
from micam_fast.cli.difference_table import show_table, tell_what_is_left_out
from micam_fast.cli.opening import (
    check_samples,
    explain_opened,
    open_model,
    open_samples,
    read_labels,
)
from micam_fast.cli.options import (
    AxisOptions,
    DrawingOptions,
    ModelOptions,
    PosterOptions,
    SampleOptions,
    axis_options,
    check_drawing,
    diagram_options,
    engine_option,
    labels_option,
    map_options,
    option,
    output_dir_option,
    poster_options,
    prediction_options,
    read_options,
    running_options,
    sample_options,
)
from micam_fast.cli.values import formats_option, parse_number
from micam_fast.core.choices import (
    DIFFERENCE_METRICS as _METRICS,
    MATCHES,
    MODEL_SUFFIXES,
    Match,
    Projection,
)
from micam_fast.core.errors import MicamError, SampleError
from micam_fast.core.texts import count_of, printable, skipped

if TYPE_CHECKING:
    from micam_fast.analyses.differences import Difference, Noise
    from micam_fast.analyses.differences.gates import Verdict
    from micam_fast.api.explanation import Explanation
    from micam_fast.api.model import Model
    from micam_fast.core.layers import Layer
    from micam_fast.samples.orders import Permutation

_ABOVE = 3
_USAGE = (
    "expected is MODEL A B (two samples of one model), or MODEL MODEL A [B] (two models); models "
    f"are the first arguments that end in {', '.join(MODEL_SUFFIXES)}"
)


@dataclass(frozen=True)
class _Options:
    """What ``diff`` is asked for."""

    output_dir: Path
    formats: tuple[str, ...]
    projection: Projection
    frame: int | None
    model: ModelOptions
    drawing: DrawingOptions
    poster: PosterOptions
    labels: Path | None
    samples: SampleOptions
    axes: AxisOptions
    match: Match
    limits: tuple[tuple[str, float], ...]
    as_json: bool


def _parse_limits(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[tuple[str, float], ...]:
    """Metrics and their largest values."""
    limits = []
    for text in value:
        metric, _, number = text.partition("=")
        if metric not in _METRICS:
            raise click.BadParameter(
                f"{text!r} is no METRIC=VALUE (METRIC must be one of {', '.join(_METRICS)})"
            )
        limits.append((metric, parse_number(ctx, param, number)))
    return tuple(limits)


@click.command(short_help="Draw what changes between two samples, folders or models.")
@click.argument("arguments", metavar="MODEL [MODEL] A [B]", nargs=-1)
@output_dir_option("micam-diff")
@formats_option("difference", "Files to write.", default="png,csv")
@option(
    "--match",
    type=click.Choice(MATCHES),
    default="name",
    help="Which layers of two models belong together: those of one name, or those that do and read "
    "the same.",
)
@option(
    "--fail-above",
    "limits",
    multiple=True,
    callback=_parse_limits,
    metavar="METRIC=VALUE",
    help=f"Exit with code {_ABOVE} if a layer exceeds VALUE. METRIC is one of "
    f"{', '.join(_METRICS)}. Can be given several times.",
)
@option("--json", "as_json", is_flag=True, help="Print all numbers as JSON instead of a table.")
@map_options
@diagram_options
@poster_options
@prediction_options
@labels_option
@sample_options
@axis_options
@running_options
@engine_option
def diff(arguments: tuple[str, ...], **given: Any) -> None:
    """Draw A, B and the signed difference B - A of every layer on one scale.

    A and B are samples (FILE:N is sample N of a file, from 0); of a folder, or a file with several
    samples, the mean is taken. With two models, the first sees A and the second B, or A, too, if B
    is left out; where both see the same samples, the activations are compared, too. --permute-...
    is for B alone: its maps on the grid of the input are put back into A's order before they are
    compared. Of --labels, the first line is A's, the second B's.

    Exit code: 0 if all was written, 1 if a sample was left out or a file could not be written, 2 if
    nothing was written, 3 if all was written and a layer is above a limit of --fail-above.
    """
    from micam_fast._loops.compiling import when_compiling
    from micam_fast.analyses.differences import diff as compare
    from micam_fast.analyses.differences.gates import as_record, judge
    from micam_fast.core.output_files import check_folder

    options = read_options(_Options, given)
    check_drawing(options.drawing, options.poster)
    models, samples = _sort(arguments, permuted=options.axes.permuted)
    check_samples(samples, options.samples)
    labels = [*read_labels(options.labels), "", ""]
    check_folder(options.output_dir)
    first = open_model(Path(models[0]), options.model, samples=(samples[:1], options.samples))
    same = Path(models[1]) == Path(models[0])
    second = first if same else _open_second(Path(models[1]), first, samples[1], options)
    names = read_axis_names(options.axes, first, samples)
    ours, theirs = (read_axis_names(AxisOptions(), first, [path]).columns for path in samples)
    if None not in (ours, theirs) and ours != theirs:
        note(
            f"{samples[1]} names other columns than {samples[0]}; columns are taken in their "
            "order, whatever their names"
        )
    permutation = read_permutation(options.axes, second, names)
    shown = _tell_apart(*samples)
    sides = (
        _Side("A", first, samples[0], shown[0], labels[0]),
        _Side("B", second, samples[1], shown[1], labels[1], permutation),
    )
    with when_compiling(note_compiling):
        (a, a_failed), (b, b_failed) = (_explain(side, options) for side in sides)
        noise = _measure(sides, options) if first is not second else None
    if a.sample == b.sample and samples[0] != samples[1]:
        a, b = replace(a, sample=shown[0]), replace(b, sample=shown[1])
    if first is not second and first.name == second.name:
        a, b = (
            replace(each, scene=replace(each.scene, model=name))
            for each, name in zip((a, b), _tell_apart(*models), strict=True)
        )
    difference = compare(
        a, b, names=names, permutation=permutation, match=options.match, noise=noise
    )
    tell_what_is_left_out(difference, options.match, options.formats, as_json=options.as_json)
    stem = _stem([a.scene.model, b.scene.model, *shown])
    written, errors = _write(difference, stem, options)
    verdicts = judge(difference, options.limits)
    folder = printable(str(given["output_dir"]))
    if options.as_json:
        files = [f"{folder}/{stem}.{name}" for name in written]
        click.echo(json.dumps(as_record(difference, verdicts) | {"files": files}, indent=1))
    elif written:
        show_table(difference)
        click.echo(f"wrote {stem} ({', '.join(written)}) to {folder}")
    for error in errors:
        Failure(str(error)).show()
    _tell_verdicts(verdicts)
    if errors or a_failed or b_failed:
        sys.exit(1 if written else 2)
    if any(verdict.fails for verdict in verdicts):
        sys.exit(_ABOVE)


def _open_second(path: Path, first: Model, sample: str, options: _Options) -> Model:
    """B's model; where layers are chosen, with those that belong to A's."""
    from micam_fast.analyses.differences import match_layers

    def partners(layers: Sequence[Layer]) -> list[str]:
        pairs = match_layers(first.layers, layers, options.match).pairs
        found = [other for name, other in pairs.items() if name in first.mapped]
        # Without any, the comparison says why.
        return found or [layer.name for layer in layers]

    given = options.model
    ways = (given.include, given.exclude, given.start, given.stop)
    chosen = any(way is not None for way in ways)
    layers = partners if chosen else None
    return open_model(path, given, samples=([sample], options.samples), layers=layers)


def _measure(sides: tuple[_Side, _Side], options: _Options) -> dict[str, Noise] | None:
    """The noise of B's activations, where both models see the same samples in the same order."""
    from micam_fast.analyses.differences import match_layers, measure_noise

    a, b = sides
    if a.path != b.path or b.permutation is not None:
        return None
    matched = match_layers(a.model.layers, b.model.layers, options.match).pairs
    pairs = {
        one: other
        for one, other in matched.items()
        if one in a.model.mapped and other in b.model.mapped
    }
    if not pairs:
        return None
    given = (
        (
            sample.given
            for sample in open_samples(side.model, [side.path], options.samples, say=_say_nothing)
        )
        for side in sides
    )
    return measure_noise(a.model, b.model, zip(*given, strict=True), pairs, frame=options.frame)


def _say_nothing(text: str) -> None:
    """The first reading of the samples said it."""


def _tell_verdicts(verdicts: Iterable[Verdict]) -> None:
    for verdict in verdicts:
        if verdict.fails:
            Failure(str(verdict)).show()


@dataclass(frozen=True)
class _Side:
    """What A or B is: a model and its samples, how these are called, and their known label."""

    name: str
    model: Model
    path: str
    shown: str
    label: str
    permutation: Permutation | None = None


def _sort(arguments: Sequence[str], *, permuted: bool) -> tuple[tuple[str, str], tuple[str, str]]:
    """Models and samples of A and B."""
    models = list(
        itertools.takewhile(lambda word: word.lower().endswith(MODEL_SUFFIXES), arguments)
    )
    samples = list(arguments[len(models) :])
    if len(models) not in (1, 2) or len(samples) not in (1, 2):
        raise click.UsageError(
            f"{count_of(len(models), 'model')} and {count_of(len(samples), 'sample')} were given; "
            f"{_USAGE}"
        )
    if len(models) == len(samples) == 1 and not permuted:
        raise click.UsageError(f"one model and one sample leave nothing to compare; {_USAGE}")
    return (models[0], models[-1]), (samples[0], samples[-1])


def _tell_apart(one: str, other: str) -> tuple[str, str]:
    """Names of two files, with as many of their folders as it takes to tell them apart."""
    parts = [PurePath(path).parts for path in (one, other)]
    longest = max(map(len, parts))
    count = next((n for n in range(1, longest + 1) if parts[0][-n:] != parts[1][-n:]), 1)
    a, b = (str(PurePath(*each[-count:])) for each in parts)
    return a, b


def _explain(side: _Side, options: _Options) -> tuple[Explanation, int]:
    """Explain a sample, or take the mean of several; also how many were named and left out."""
    from micam_fast.api.averages import Average

    average = Average()
    alone: Explanation | None = None
    failed = 0
    samples = open_samples(side.model, [side.path], options.samples, side.permutation)
    for index, sample, found in explain_opened(
        side.model, samples, options.projection, options.frame
    ):
        # The heading tells of the order, of a mean's, too.
        name = sample.name.removesuffix(f", {side.permutation}")
        try:
            if isinstance(found, SampleError):
                raise found
            average.add(found)
        except SampleError as error:
            failed += 1
            Failure(f"{side.name}: {skipped(index, name, error)}").show()
        else:
            alone = replace(found, sample=name, label=side.label or sample.label)
    if alone is None:
        what = "no sample of {} can be compared" if failed else "{} holds no sample"
        raise SampleError(f"{side.name}: {what.format(side.path)}")
    if average.count == 1:
        return alone, failed
    shown = f"mean of {average.count} samples of {side.shown}"
    return average.mean(sample=shown, label=side.label or None), failed


def _stem(names: Iterable[str]) -> str:
    """File name without suffix: models, then samples, what is the same on both sides once."""
    from micam_fast.core.output_files import file_stem

    # Four of them stay within the 255 bytes that file systems take.
    return "_".join(["diff", *dict.fromkeys(file_stem(name, 56) for name in names)])


def _write(
    difference: Difference, stem: str, options: _Options
) -> tuple[list[str], list[MicamError]]:
    """Write all formats; one that fails does not keep the others from being written."""
    from micam_fast.core.output_files import make_folder

    folder, drawing, poster = make_folder(options.output_dir), options.drawing, options.poster
    written: list[str] = []
    errors: list[MicamError] = []
    for name in options.formats:
        path = folder / f"{stem}.{name}"
        try:
            difference.save(
                path,
                drawing=poster.drawing,
                page="{}x{}".format(*poster.page),
                scale_png=poster.scale_png,
                rankdir=drawing.rankdir,
                scale_tiles=drawing.scale_tiles,
            )
            written.append(name)
        except MicamError as error:
            errors.append(error)
    return written, errors
