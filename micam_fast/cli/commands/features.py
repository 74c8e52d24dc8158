"""``micam-fast features``: the strongest cells of each layer, followed back to the input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.axes import read_axis_names, read_permutation
from micam_fast.cli.common import Failure, note_compiling
from micam_fast.cli.opening import (
    check_samples,
    explain_opened,
    open_model,
    open_samples,
    read_labels,
)
from micam_fast.cli.options import (
    AxisOptions,
    ModelOptions,
    SampleOptions,
    axis_options,
    count_option,
    labels_option,
    map_options,
    model_and_samples,
    path_option,
    prediction_options,
    read_options,
    running_options,
    sample_options,
)
from micam_fast.core.choices import Projection
from micam_fast.core.errors import MicamError, SampleError
from micam_fast.core.texts import aligned, count_of, one_line, printable, skipped

if TYPE_CHECKING:
    from micam_fast.analyses.features.features import Feature
    from micam_fast.api.explanation import Explanation
    from micam_fast.api.model import Model
    from micam_fast.samples import Sample
    from micam_fast.samples.axis_names import AxisNames

    _Followed = tuple[str, str, Explanation, tuple[Feature, ...]]

_COLUMNS = (
    "sample", "label", "layer", "map_row", "map_column", "value", "rows", "columns", "exact",
)  # fmt: skip


@dataclass(frozen=True)
class _Options:
    """What ``features`` is asked for."""

    top: int
    output: Path | None
    projection: Projection
    frame: int | None
    model: ModelOptions
    axes: AxisOptions
    labels: Path | None
    samples: SampleOptions


@click.command(short_help="Print which parts of the input the strongest cells see.")
@model_and_samples
@count_option("--top", "Cells of each layer to report.", metavar="K", default=3)
@path_option("--output", metavar="FILE.csv", text="Write a table instead of lines.")
@map_options
@axis_options
@prediction_options
@labels_option
@sample_options
@running_options
def features(model_path: Path, sample_paths: tuple[str, ...], **given: Any) -> None:
    """Print which rows and columns of the input the strongest cells depend on.

    For each spatial layer, the K cells of its map with the largest absolute values: the range of
    the input's rows and columns that such a cell depends on through all layers before, and the
    cell's value. Ranges are inclusive, by name or counted from 0. They follow from the model's
    structure; a weight that happens to be zero counts.

    Exit code: 0 if all samples were followed, 1 if some failed, 2 if none was.
    """
    from micam_fast._loops.compiling import when_compiling
    from micam_fast.core.csv_writing import write_csv
    from micam_fast.core.output_files import check_file, make_folder

    options = read_options(_Options, given)
    check_samples(sample_paths, options.samples)
    if options.output is not None:
        check_file(options.output)
    labels = read_labels(options.labels)
    model = open_model(model_path, options.model, samples=(sample_paths, options.samples))
    names = read_axis_names(options.axes, model, sample_paths)
    permutation = read_permutation(options.axes, model, names)
    if permutation is not None:
        names = permutation.names(names)
    samples = open_samples(model, sample_paths, options.samples, permutation)
    run = _Counts()
    with when_compiling(note_compiling):
        found = _follow(model, sample_paths, samples, labels, names, options, run)
        if options.output is None:
            _print(found, names)
        else:
            make_folder(options.output.parent)
            write_csv(options.output, _COLUMNS, _rows(found, names, run))
            click.echo(
                f"wrote {count_of(run.features, 'feature')} of "
                f"{count_of(run.followed, 'sample')} to {printable(str(given['output']))}"
            )
    if run.failed:
        sys.exit(1)


@dataclass
class _Counts:
    """How many samples were followed, or failed, and how many features that gave."""

    followed: int = 0
    failed: int = 0
    features: int = 0


def _follow(
    model: Model,
    paths: Sequence[str],
    samples: Iterator[Sample],
    labels: Sequence[str],
    names: AxisNames,
    options: _Options,
    run: _Counts,
) -> Iterator[_Followed]:
    """Name, label, explanation and features of each sample; those that fail are named.

    Raises
    ------
    Failure, SampleError
        In the end, if there was none, or none was followed.
    """
    from micam_fast.analyses.features.features import FeatureFinder

    finder = FeatureFinder(model, options.projection)
    for index, sample, explanation in explain_opened(
        model, samples, options.projection, options.frame
    ):
        try:
            if isinstance(explanation, SampleError):
                raise explanation
            _check_names(names, explanation.input_size)
            found = finder.find(explanation, sample.arrays, top=options.top)
        except MicamError as error:
            Failure(skipped(index, sample.name, error)).show()
            run.failed += 1
            continue
        run.followed += 1
        label = labels[index] if index < len(labels) else sample.label or ""
        yield sample.name, label, explanation, found
    if not run.followed and not run.failed:
        raise Failure(f"no sample in {', '.join(paths)}")
    if not run.followed:
        raise SampleError(f"no sample was followed, {count_of(run.failed, 'sample')} failed")


def _check_names(names: AxisNames, grid: tuple[int, int]) -> None:
    """Make sure of what only a sample tells where the model leaves its sizes open."""
    for axis, known, size in zip(
        ("rows", "columns"), (names.rows, names.columns), grid, strict=True
    ):
        if known is not None and len(known) != size:
            raise SampleError(f"{len(known)} {axis} are named, the sample has {size} {axis}")


def _print(found: Iterator[_Followed], names: AxisNames) -> None:
    """A heading and aligned lines for each sample."""
    from micam_fast.analyses.features.features import show_ranges

    for place, (sample, label, explanation, strongest) in enumerate(found):
        told = [sample, f"label {label}"] if label else [sample]
        if (prediction := explanation.prediction) is not None:
            told.append(prediction.brief("class"))
        click.echo(("\n" if place else "") + one_line(", ".join(told)))
        lines: list[tuple[str, ...]] = []
        for each in strongest:
            rows = show_ranges(each.rows, names.rows)
            columns = show_ranges(each.columns, names.columns)
            if each.rows:
                # A strip has one row, that need not be told.
                is_strip = explanation.input_size[0] == 1 and names.rows is None
                where = ("" if is_strip else f"rows {rows},", f"columns {columns},")
            else:
                where = ("no input cell,", "")
            end = f"{each.value:+.3g}" + ("" if each.exact else "  (at most)")
            lines.append((f"{each.layer}:", *where, end))
        for line in aligned(lines, texts=4) if lines else ("no spatial layer with a finite map",):
            click.echo(f"  {line}")


def _rows(
    found: Iterator[_Followed], names: AxisNames, run: _Counts
) -> Iterator[tuple[object, ...]]:
    """Lines of the table."""
    from micam_fast.analyses.features.features import show_ranges

    for sample, label, _, strongest in found:
        for each in strongest:
            run.features += 1
            ranges = show_ranges(each.rows, names.rows), show_ranges(each.columns, names.columns)
            cell = each.layer, each.row, each.column, each.value
            yield sample, label, *cell, *ranges, each.exact
