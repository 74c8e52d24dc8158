"""``micam-fast train``: a CNN from records, its evaluation, and the diagrams of test samples."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from micam_fast.cli.common import note
from micam_fast.cli.options import count_option, option, path_option


def _print_networks(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value:
        return
    from micam_fast.training.networks import list_networks

    click.echo("\n".join(list_networks()))
    ctx.exit()


@click.command(short_help="Train a CNN on TFRecord files, and plot test samples.")
@path_option(
    "--data-dir",
    metavar="FOLDER",
    text="Folder of record files; the first 60 % of them train, 20 % validate, the rest test.",
)
@path_option(
    "--data-file", text="One record file instead; it is split by its batches in the same way."
)
@path_option(
    "--log-dir",
    metavar="FOLDER",
    default="micam-training",
    text="Folder for the TensorBoard log, the checkpoint, the models and the diagrams.",
)
@option(
    "--cnn-model",
    metavar="NAME",
    default="resnet50",
    help="lenet3, lenet5, resnet18, or any model of keras.applications.",
)
@click.option(
    "--list-models",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_networks,
    help="Print the names that --cnn-model takes, and exit.",
)
@count_option("--classes", "Number of classes; labels are 0 to N - 1.", least=2, default=2)
@count_option("--window-size", "Channels of a sample.", default=3)
@count_option("--height", "Height of a sample.", default=150)
@count_option("--width", "Width of a sample.", default=75)
@count_option("--batch-size", "Samples in a batch; the last incomplete one is dropped.", default=64)
@count_option("--num-epochs", "Epochs in all.", default=20)
@option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    metavar="NUMBER",
    default=1e-5,
    help="Learning rate of Adam.",
)
@option(
    "--dropout",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="NUMBER",
    default=0.5,
    help="Rate of the Dropout layers.",
)
@click.option(
    "--batch-normalization", is_flag=True, help="Normalize after each convolution of a LeNet."
)
@count_option("--seed", "Make the training repeatable.  [default: another each time]", least=0)
@count_option(
    "--early-stopping",
    "Stop after N epochs in a row without a lower validation loss, and go back to the best epoch.  "
    "[default: never]",
)
@count_option("--samples", "Test samples to plot into LOG_DIR/MCAM.", least=0, default=40)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from the last complete epoch of an interrupted training, with the same options.",
)
def train(data_dir: Path | None, data_file: Path | None, resume: bool, **given: Any) -> None:
    """Train a CNN on TFRecord files, evaluate it, and plot test samples.

    LOG_DIR gets a TensorBoard log, the table of the test data as evaluation.json, model.keras,
    model.onnx and the diagrams in MCAM. Needs the extra [training].

    Exit code: 0 if all went well, 1 if a diagram failed, 2 if the training did, 130 if it was
    interrupted.
    """
    data = data_dir if data_file is None else data_file
    if data is None or (data_dir is not None and data_file is not None):
        raise click.UsageError("give the records by --data-dir FOLDER or by --data-file FILE")
    if data_file is not None and data_file.is_dir():
        raise click.UsageError(f"--data-file {data_file} is a folder; --data-dir takes folders")
    if data_dir is not None and data_dir.is_file():
        raise click.UsageError(f"--data-dir {data_dir} is a file; --data-file takes files")
    from micam_fast.cli.progress import progress, report
    from micam_fast.cli.training_diagrams import plot_test_samples
    from micam_fast.runs.summary import exit_code
    from micam_fast.training.checkpoints import Checkpoint
    from micam_fast.training.settings import TrainSettings
    from micam_fast.training.training import train as run_training

    try:
        settings = TrainSettings(data=data, **given)
    except ValueError as error:
        # Click lets NaN through its ranges.
        raise click.UsageError(str(error)) from None
    try:
        trained = run_training(
            settings,
            resume=resume,
            verbose=1 if sys.stdout.isatty() else 2,
            say=click.echo,
            note=note,
        )
        if not settings.samples:
            return
        with progress(note) as shown:
            options, summary = plot_test_samples(
                trained.model,
                trained.test,
                settings.log_dir / "MCAM",
                settings.samples,
                observers=(shown,),
                say=note,
            )
    except KeyboardInterrupt:
        state = Checkpoint(settings.log_dir).read()
        kept = "no epoch was complete, so nothing is kept"
        if state is not None:
            kept = (
                f"{state.epochs} of {settings.num_epochs} epochs are kept in {settings.log_dir}; "
                "the same command with --resume goes on"
            )
        click.echo(f"micam-fast: interrupted: {kept}", err=True)
        sys.exit(130)
    report(summary, options)
    sys.exit(exit_code(summary))
