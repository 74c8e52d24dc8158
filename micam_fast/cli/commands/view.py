"""``micam-fast view``: the interactive page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.axes import read_axis_names, read_permutation
from micam_fast.cli.common import Failure, note, note_compiling
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
    activation_range_option,
    axis_options,
    detail_options,
    engine_option,
    labels_option,
    map_options,
    model_and_samples,
    path_option,
    prediction_options,
    read_options,
    running_options,
    sample_options,
)
from micam_fast.core.choices import Detail, Projection
from micam_fast.core.errors import SampleError
from micam_fast.core.texts import count_of, printable, skipped

if TYPE_CHECKING:
    from micam_fast.api.explanation import Explanation
    from micam_fast.api.model import Model
    from micam_fast.samples import Sample


@dataclass(frozen=True)
class _Options:
    """What ``view`` is asked for."""

    output: Path
    show: bool
    feature_maps: str | None
    labels: Path | None
    axes: AxisOptions
    projection: Projection
    frame: int | None
    activation_range: bool
    detail: Detail
    model: ModelOptions
    samples: SampleOptions


@click.command()
@model_and_samples
@path_option("--output", default="micam-page.html", text="File of the page.")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--feature-maps",
    metavar="GLOB,...",
    help="Layers whose feature maps the page holds.  [default: all, if they take at most 12 MiB]",
)
@prediction_options
@labels_option
@axis_options
@map_options
@activation_range_option
@detail_options
@sample_options
@running_options
@engine_option
def view(model_path: Path, sample_paths: tuple[str, ...], **given: Any) -> None:
    """Write an interactive page of every layer for some samples.

    SAMPLES are as in 'plot'. The page is one file that works without a network.

    Exit code: 0 if all samples are in it, 1 if some failed, 2 if nothing was written.
    """
    from micam_fast._loops.compiling import when_compiling
    from micam_fast.core.extras import import_extra
    from micam_fast.core.layer_choice import match_layers
    from micam_fast.core.output_files import check_folder, make_folder
    from micam_fast.viewer import View, choose_layers, gather

    options = read_options(_Options, given)
    import_extra("bokeh.models", extra="view", purpose="the interactive page")
    check_samples(sample_paths, options.samples)
    check_folder(options.output.parent)
    labels = read_labels(options.labels)
    model = open_model(model_path, options.model, samples=(sample_paths, options.samples))
    names = read_axis_names(options.axes, model, sample_paths)
    permutation = read_permutation(options.axes, model, names)
    if permutation is not None:
        names = permutation.names(names)
    chosen = options.feature_maps and match_layers(model.layers, options.feature_maps)
    samples = list(open_samples(model, sample_paths, options.samples, permutation))
    if not samples:
        raise Failure(f"no sample in {', '.join(sample_paths)}")
    with when_compiling(note_compiling):
        explanations, arrays = _explain(model, samples, labels, options)
        if not explanations:
            sys.exit(2)
        layers = choose_layers(explanations) if chosen is None else chosen
        feature_maps = list(gather(model, arrays, layers, options.frame)) if layers else None
    if not layers:
        note(
            "the page is without feature maps, which would make it large; --feature-maps GLOB "
            "chooses layers"
        )
    make_folder(options.output.parent)
    page = View(
        explanations,
        feature_maps,
        names.rows,
        names.columns,
        depth=options.detail.depth,
        only_mapped=options.detail.only_mapped,
    )
    path = page.save(options.output)
    if labels and len(labels) != len(samples):
        note(f"{count_of(len(labels), 'label')} for {count_of(len(samples), 'sample')}")
    held = f"{count_of(len(explanations), 'sample')}, {path.stat().st_size / 1e6:.1f} MB"
    click.echo(f"wrote {printable(str(path))} ({held})")
    if options.show:
        click.launch(str(path))
    if len(explanations) < len(samples):
        sys.exit(1)


def _explain(
    model: Model, samples: list[Sample], labels: Sequence[str], options: _Options
) -> tuple[list[Explanation], list[Any]]:
    """Explanations of the samples that do not fail, and their arrays; the others are named."""
    explanations, arrays = [], []
    for index, sample, each in explain_opened(
        model, samples, options.projection, options.frame, activation_range=options.activation_range
    ):
        if isinstance(each, SampleError):
            Failure(skipped(index, sample.name, each)).show()
            continue
        label = (labels[index] if index < len(labels) else None) or sample.label
        explanations.append(replace(each, sample=sample.name, label=label))
        arrays.append(sample.arrays)
    return explanations, arrays
