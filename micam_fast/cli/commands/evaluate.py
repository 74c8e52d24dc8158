"""``micam-fast evaluate``: the table of a saved model on records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from micam_fast.cli.options import MODEL


def _size(name: str) -> Callable[[Any], Any]:
    text = f"{name.capitalize()} of a sample, where the model leaves it open."
    return click.option(f"--{name}", type=click.IntRange(1), metavar="N", help=text)


@click.command(short_help="Evaluate a saved model on TFRecord files.")
@MODEL
@click.argument("data", metavar="DATA_DIR", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(("test", "all")),
    default="test",
    show_default=True,
    help="The part that the training left for its test, or every record.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    default=64,
    show_default=True,
    help="As in the training: it decides where the test part of a single file begins, and drops "
    "the part's last incomplete batch.",
)
@_size("height")
@_size("width")
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the numbers to this file, too.",
)
def evaluate(model_path: Path, data: Path, json_path: Path | None, **given: Any) -> None:
    """Evaluate a saved model on TFRecord files: the table that 'train' prints.

    MODEL is a Keras file or an ONNX file with one input of height, width and channels, in this
    order or channels first. DATA_DIR is a folder of record files, or one record file. Needs the
    extra [training].
    """
    from micam_fast.core.output_files import atomic_file, check_folder
    from micam_fast.training.evaluation import evaluate_model

    if json_path is not None:
        check_folder(json_path.parent)
    evaluation = evaluate_model(model_path, data, **given)
    for line in evaluation.table():
        click.echo(line)
    if json_path is not None:
        with atomic_file(json_path) as file:
            file.write(evaluation.to_json().encode())
