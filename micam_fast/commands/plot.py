"""``micam-fast plot``: a diagram for each sample."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from micam_fast.choices import LOOKS
from micam_fast.commands.axes import (
    names_options,
    permute_options,
    read_axis_names,
    read_permutation,
)
from micam_fast.commands.common import (
    MODEL,
    Failure,
    diagram_options,
    note,
    note_compiling,
    output_dir_option,
)
from micam_fast.commands.opening import (
    SAMPLES,
    check_samples,
    engine_option,
    labels_option,
    layer_options,
    open_model,
    open_samples,
    projection_option,
    read_labels,
    running_options,
    sample_options,
)
from micam_fast.errors import MicamError
from micam_fast.options import FORMATS, choose_formats
from micam_fast.progress import progress, report, report_profile
from micam_fast.texts import count_of


@click.command()
@MODEL
@SAMPLES
@output_dir_option("micam-output")
@click.option(
    "--format",
    "formats",
    callback=choose_formats(FORMATS),
    metavar=",".join(FORMATS),
    default="png",
    show_default=True,
    help="What to write for each sample.",
)
@click.option(
    "--look",
    type=click.Choice(LOOKS),
    default="isometric",
    show_default=True,
    help="Maps as planes in perspective, or from above.",
)
@projection_option
@layer_options
@diagram_options
@labels_option
@sample_options
@names_options
@permute_options
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    help="Samples in one forward pass.  [default: what suits the model, 1 to 32]",
)
@running_options
@engine_option
@click.option(
    "--compress-level",
    type=click.IntRange(0, 9),
    default=1,
    show_default=True,
    help="PNG: 1 is fastest, 9 smallest, 0 not compressed.",
)
@click.option("--profile", is_flag=True, help="Tell where the time went.")
def plot(model_path: Path, sample_paths: tuple[str, ...], **given: Any) -> None:
    """Write a MiCAM diagram for each sample.

    SAMPLES are .npy files (one sample, or a batch with a leading axis), .npz files, CSV files,
    TFRecord files, pictures, folders of these, or '-' for a list of paths on standard input.
    FILE:N is sample N of a file, from 0.

    Exit code: 0 if all samples were written, 1 if some failed, 2 if none was written.
    """
    from micam_fast._loops.compiling import when_compiling
    from micam_fast.batch import PlotOptions, Summary, exit_code, plot_samples

    check_samples(sample_paths, given)
    labels = read_labels(given["labels"])
    summary = Summary()
    with summary.stages.stage("load the model"):
        model = open_model(model_path, given)
    options = PlotOptions(
        folder=given["output_dir"],
        formats=given["formats"],
        look=given["look"],
        projection=given["projection"],
        rankdir=given["rankdir"],
        batch_size=given["batch_size"],
        scale_tiles=given["scale_tiles"],
        compress_level=given["compress_level"],
    )
    names = read_axis_names(given, model, sample_paths)
    samples = open_samples(model, sample_paths, given, read_permutation(given, model, names))
    error: MicamError | None = None
    try:
        with progress() as done, when_compiling(note_compiling):
            plot_samples(
                model, samples, options, labels=labels, summary=summary, done=done, say=note
            )
    except MicamError as raised:
        error = raised
    report(summary, options)
    if given["profile"]:
        report_profile(summary, model.threads)
    count = len(summary.written) + len(summary.failed)
    if given["labels"] and error is None and len(labels) != count:
        note(f"{count_of(len(labels), 'label')} for {count_of(count, 'sample')}")
    if error is not None:
        Failure(str(error)).show()
    elif not summary.written and not summary.failed:
        Failure(f"no sample in {', '.join(sample_paths)}").show()
    sys.exit(exit_code(summary, error))
