"""``micam-fast plot``: a diagram for each sample."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from micam_fast.cli.axes import read_axis_names, read_permutation
from micam_fast.cli.common import Failure, note, note_compiling, opened_cluster
from micam_fast.cli.opening import check_samples, open_model, open_samples, read_labels
from micam_fast.cli.options import (
    AxisOptions,
    DrawingOptions,
    ModelOptions,
    PosterOptions,
    SampleOptions,
    activation_range_option,
    axis_options,
    check_drawing,
    choice_option,
    count_option,
    detail_options,
    diagram_options,
    engine_option,
    labels_option,
    map_options,
    model_and_samples,
    output_dir_option,
    path_option,
    poster_options,
    prediction_options,
    read_options,
    running_options,
    sample_options,
    scheduler_option,
)
from micam_fast.cli.progress import progress, report, report_profile
from micam_fast.cli.values import formats_option
from micam_fast.core.choices import LOOK_CHOICES, Detail, LookChoice, Projection
from micam_fast.core.errors import MicamError
from micam_fast.core.texts import count_of
from micam_fast.runs.interrupts import stop_on_signals
from micam_fast.runs.manifest import NAME

if TYPE_CHECKING:
    from micam_fast.runs.event_log import RunLog
    from micam_fast.runs.summary import RunSummary

_RUNNING = ("threads", "batch_size", "max_errors", "fail_fast", "scheduler")
"""Options that change no byte of what is written."""
_OF_THE_RUN = ("output_dir", "resume", "log_json", "profile")
"""Options that no manifest tells."""
_GO_ON = "--resume goes on with the run"


@dataclass(frozen=True)
class _Options:
    """What ``plot`` is asked for."""

    output_dir: Path | str
    formats: tuple[str, ...]
    look: LookChoice
    projection: Projection
    frame: int | None
    activation_range: bool
    model: ModelOptions
    drawing: DrawingOptions
    poster: PosterOptions
    detail: Detail
    labels: Path | None
    samples: SampleOptions
    axes: AxisOptions
    batch_size: int | None
    scheduler: str | None
    compress_level: int
    resume: bool
    fail_fast: bool
    max_errors: int | None
    log_json: Path | None
    profile: bool


@click.command()
@model_and_samples
@output_dir_option("micam-output", urls=True)
@formats_option("diagram", "Files to write for each sample.")
@choice_option(
    "--look",
    LOOK_CHOICES,
    "Draw maps as planes in perspective, or as seen from above; 'auto': planes for inputs of up to "
    "75 x 75.",
    "auto",
)
@map_options
@activation_range_option
@detail_options
@poster_options
@diagram_options
@prediction_options
@labels_option
@sample_options
@axis_options
@count_option(
    "--batch-size",
    "Largest number of samples in one forward pass.  [default: what suits the model, 1 to 32]",
)
@running_options
@scheduler_option
@engine_option
@count_option(
    "--compress-level",
    "PNG: 1 is fastest, 9 smallest, 0 not compressed.",
    least=0,
    most=9,
    default=1,
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run in the output folder, and skip the samples that are finished.",
)
@click.option("--fail-fast", is_flag=True, help="Begin no further sample when one has failed.")
@count_option("--max-errors", "Begin no further sample when N have failed.  [default: go on]")
@path_option("--log-json", text="Append a line of JSON to this file for each event.")
@click.option("--profile", is_flag=True, help="Print where the time went.")
def plot(model_path: Path, sample_paths: tuple[str, ...], **given: Any) -> None:
    """Write a MiCAM diagram for each sample.

    SAMPLES are .npy files (one sample, or a batch with a leading axis), .npz files, CSV files,
    TFRecord files, pictures, folders of these, patterns like 'data/**/*.npy', or '-' for a list of
    paths on standard input. FILE:N is sample N of a file, from 0.

    The folder gets a manifest.jsonl with a line for each sample. Ctrl-C finishes the samples in
    hand; --resume continues the run.

    Exit code: 0 if all samples were written, 1 if some failed or lack a format or the run ended
    early, 2 if none was written, 130 if it was interrupted.
    """
    from micam_fast.runs.event_log import RunLog

    options = read_options(_Options, given)
    check_drawing(options.drawing, options.poster)
    check_samples(sample_paths, options.samples)
    if options.fail_fast and options.max_errors is not None:
        raise click.UsageError("choose one of --fail-fast and --max-errors")
    with RunLog(options.log_json) as log:
        try:
            code = _plot(model_path, sample_paths, options, log)
        except MicamError as error:
            log.write("end", exit_code=2, error=str(error))
            raise
        except KeyboardInterrupt as interrupt:
            # Before the first sample was begun, or for the second time.
            code = 128 + (interrupt.args or (signal.SIGINT,))[0]
            Failure(f"interrupted; {_GO_ON}").show()
            log.write("end", exit_code=code, error="interrupted")
            if interrupt.args:
                # The threads may be at work for long, and nobody wants what they make.
                sys.stdout.flush()
                os._exit(code)
    sys.exit(code)


def _plot(model_path: Path, sample_paths: tuple[str, ...], options: _Options, log: RunLog) -> int:
    """Do the run and tell of it; the exit code."""
    from micam_fast._loops.compiling import when_compiling
    from micam_fast.runs.journal import Journal
    from micam_fast.runs.observing import ErrorLimit
    from micam_fast.runs.output_folder import describe_run, open_run
    from micam_fast.runs.plotting import Execute, plot_samples
    from micam_fast.runs.sample_files import PlotOptions, check_output
    from micam_fast.runs.summary import RunSummary, exit_code

    def say(text: str) -> None:
        note(text)
        log.write("note", text=text)

    labels = read_labels(options.labels)
    summary = RunSummary()
    with summary.stages.stage("load the model"):
        model = open_model(model_path, options.model, say, samples=(sample_paths, options.samples))
    names = read_axis_names(options.axes, model, sample_paths)
    order = read_permutation(options.axes, model, names)
    shown_names = names if order is None else order.names(names)
    output = PlotOptions(
        folder=options.output_dir,
        formats=options.formats,
        look=options.look,
        projection=options.projection,
        frame=options.frame,
        activation_range=options.activation_range,
        rankdir=options.drawing.rankdir,
        batch_size=options.batch_size,
        scale_tiles=options.drawing.scale_tiles,
        drawing=options.poster.drawing,
        page=options.poster.page,
        scale_png=options.poster.scale_png,
        compress_level=options.compress_level,
        row_names=shown_names.rows or (),
        detail=options.detail,
    )
    samples = open_samples(model, sample_paths, options.samples, order, say=say)
    with summary.stages.stage("lay out"):
        check_output(model, output)
    header = describe_run(model, model_path, output, *_told())
    error: MicamError | None = None
    execute: Execute | None = None
    with (
        opened_cluster(options.scheduler, options.model.threads, say) as cluster,
        open_run(output.store, header, resume=options.resume, say=say) as manifest,
        stop_on_signals(say) as stop,
    ):
        if cluster is not None:
            from micam_fast.runs.on_cluster import execute_on

            execute = execute_on(cluster, model, output, summary.stages)
        log.write("start", samples=sample_paths, folder=str(output.folder), **header)
        try:
            limit = ErrorLimit(stop, 1 if options.fail_fast else options.max_errors)
            with progress(say) as shown, when_compiling(note_compiling):
                plot_samples(
                    model,
                    samples,
                    output,
                    labels=labels,
                    summary=summary,
                    journal=Journal(manifest, output.store, say, model.outcomes),
                    stop=stop,
                    execute=execute,
                    observers=(log, shown, limit),
                )
        except MicamError as raised:
            error = raised
        if summary.samples == summary.failed <= 1 and not options.resume:
            manifest.discard()
    report(summary, output, f"{output.folder}/{NAME}")
    if options.profile:
        report_profile(summary, model.threads)
    log.write("summary", written=summary.written, resumed=summary.resumed, failed=summary.failed)
    ended = stop.reason if error is None else str(error)
    if ended is not None:
        Failure(f"{ended}; {_GO_ON}" if summary.samples else ended).show()
    else:
        _check_counts(summary, labels, options, sample_paths)
    code = exit_code(summary, error) if stop.signal is None else 128 + stop.signal
    log.write("end", exit_code=code, **({} if ended is None else {"error": ended}))
    return code


def _check_counts(
    summary: RunSummary, labels: Sequence[str], options: _Options, sample_paths: Sequence[str]
) -> None:
    if not summary.samples:
        Failure(
            f"no sample in {', '.join(sample_paths)} (folders below a folder are left out; "
            "'FOLDER/**/*.npy' takes them)"
        ).show()
    if options.labels and len(labels) != summary.samples:
        note(f"{count_of(len(labels), 'label')} for {count_of(summary.samples, 'sample')}")


def _told() -> tuple[dict[str, Any], dict[str, Any]]:
    """The options as a manifest has them: those that decide over the bytes, and the others."""
    told: dict[str, Any] = {}
    running: dict[str, Any] = {}
    context = click.get_current_context()
    for param in context.command.params:
        name = param.name or ""
        if isinstance(param, click.Option) and name in context.params and name not in _OF_THE_RUN:
            value = context.params[name]
            shown = str(value) if isinstance(value, Path) else value
            (running if name in _RUNNING else told)[param.opts[0]] = shown
    return told, running
