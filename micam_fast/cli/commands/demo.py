"""``micam-fast demo``: ten digits with the CNN in the package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from micam_fast.cli.common import note, note_compiling
from micam_fast.cli.options import (
    PosterOptions,
    output_dir_option,
    poster_options,
    read_options,
)
from micam_fast.cli.progress import progress, report


@click.command("demo", short_help="Plot ten real digits with the CNN in the package.")
@output_dir_option("micam-demo")
@poster_options
def run_demo(output_dir: Path, **given: Any) -> None:
    """Plot ten real MNIST digits with a small CNN that comes with the package."""
    from micam_fast import demo
    from micam_fast._loops.compiling import when_compiling
    from micam_fast.runs.plotting import plot_samples
    from micam_fast.runs.sample_files import PlotOptions
    from micam_fast.runs.summary import RunSummary, exit_code
    from micam_fast.samples import read_samples

    summary = RunSummary()
    with summary.stages.stage("load the model"):
        from micam_fast.api.loading import load_model

        model = load_model(demo.MODEL, say=note)
    poster = read_options(PosterOptions, given)
    options = PlotOptions(
        folder=output_dir,
        formats=("png", "svg", "npz"),
        drawing=poster.drawing,
        page=poster.page,
        scale_png=poster.scale_png,
    )
    samples = read_samples([str(demo.DIGITS)], model.inputs)
    with progress(note) as shown, when_compiling(note_compiling):
        plot_samples(
            model, samples, options, labels=demo.LABELS, summary=summary, observers=(shown,)
        )
    report(summary, options)
    sys.exit(exit_code(summary))
