"""``micam-fast grids``: all feature maps of a layer in one picture."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from micam_fast.cli.axes import read_axis_names
from micam_fast.cli.common import Failure, note, note_compiling
from micam_fast.cli.opening import check_samples, open_model, open_samples
from micam_fast.cli.options import (
    AxisOptions,
    ModelOptions,
    SampleOptions,
    choice_option,
    map_options,
    model_and_samples,
    output_dir_option,
    read_options,
    row_names_option,
    running_options,
    sample_options,
)
from micam_fast.cli.progress import progress, report
from micam_fast.cli.values import formats_option
from micam_fast.core.choices import CHANNEL_KINDS, ChannelKind, Projection
from micam_fast.core.errors import MicamError, SampleError
from micam_fast.core.texts import count_of, first_of

_MOST_NAMED = 6


@dataclass(frozen=True)
class _Options:
    """What ``grids`` is asked for."""

    output_dir: Path
    of: ChannelKind
    formats: tuple[str, ...]
    projection: Projection
    frame: int | None
    model: ModelOptions
    samples: SampleOptions
    axes: AxisOptions


@click.command()
@model_and_samples
@output_dir_option("micam-grids")
@choice_option(
    "--of",
    CHANNEL_KINDS,
    "Show the feature maps, or what each channel adds to the layer's map.",
    "activations",
)
@formats_option("grid", "Files to write for each layer.")
@map_options
@sample_options
@row_names_option
@running_options
def grids(model_path: Path, sample_paths: tuple[str, ...], **given: Any) -> None:
    """Write a picture of each layer with all its feature maps.

    SAMPLES are as in 'micam-fast plot'. With --of contributions the pictures show what each channel
    adds to the layer's map, the largest share first; --projection says to which map.

    Exit code: 0 if all samples were written, 1 if some failed, 2 if none was written.
    """
    from micam_fast._loops.compiling import when_compiling
    from micam_fast.analyses.grids.files import save_grids
    from micam_fast.runs.sample_files import PlotOptions
    from micam_fast.runs.summary import RunSummary, exit_code

    options = read_options(_Options, given)
    check_samples(sample_paths, options.samples)
    summary = RunSummary()
    model = open_model(model_path, options.model, samples=(sample_paths, options.samples))
    names = read_axis_names(options.axes, model)
    samples = open_samples(model, sample_paths, options.samples)
    if len(model.mapped) == len(model.layers):
        note(
            f"a picture for each of up to {count_of(len(model.layers), 'layer')}; "
            "--layers chooses some"
        )
    flat: dict[str, None] = {}
    error: MicamError | None = None
    try:
        with progress(note) as lines, when_compiling(note_compiling):
            found = save_grids(
                model,
                samples,
                options.output_dir,
                of=options.of,
                formats=options.formats,
                projection=options.projection,
                frame=options.frame,
                row_names=names.rows or (),
            )
            for index, (name, each) in enumerate(found):
                shown = (
                    each if isinstance(each, SampleError) else [path.name for path in each.paths]
                )
                summary.count(index, name, shown)
                lines.show(index, name, shown)
                if isinstance(each, SampleError):
                    continue
                if each.bad:
                    note(
                        f"sample {index} ({name}): channels that are not finite, drawn hatched, in "
                        f"{first_of(each.bad, _MOST_NAMED)}"
                    )
                flat.update(dict.fromkeys(each.flat))
    except MicamError as raised:
        error = raised
    if flat:
        named = first_of(list(flat), _MOST_NAMED)
        note(f"no feature maps, as their activation is a list of values: {named}")
    report(summary, PlotOptions(options.output_dir, options.formats))
    if error is not None:
        Failure(str(error)).show()
    elif not summary.samples:
        Failure(f"no sample in {', '.join(sample_paths)}").show()
    sys.exit(exit_code(summary, error))
