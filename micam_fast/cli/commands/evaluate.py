"""``micam-fast evaluate``: the table of a saved model on records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from micam_fast.cli.options import MODEL, choice_option, count_option, path_option

_SIZE = "{} of a sample, where the model leaves it open."


@click.command(short_help="Evaluate a saved model on TFRecord files.")
@MODEL
@click.argument("data", metavar="DATA_DIR", type=click.Path(path_type=Path))
@choice_option(
    "--split",
    ("test", "all"),
    "The part that the training left for its test, or every record.",
    "test",
)
@count_option(
    "--batch-size",
    "As in the training: it decides where the test part of a single file begins, and drops "
    "the part's last incomplete batch.",
    default=64,
)
@count_option("--height", _SIZE.format("Height"))
@count_option("--width", _SIZE.format("Width"))
@path_option("--json", "json_path", text="Write the numbers to this file, too.")
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
