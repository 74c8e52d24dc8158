"""``micam-fast export``: a Keras or PyTorch model to an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from micam_fast.cli.common import Failure, note
from micam_fast.cli.options import path_option, trust_option
from micam_fast.core.texts import count_of, one_line

if TYPE_CHECKING:
    from micam_fast.api.export_report import ExportReport


@click.command()
@click.argument("model_path", metavar="MODEL", type=click.Path(path_type=Path))
@click.argument("onnx_path", metavar="OUT.onnx", type=click.Path(path_type=Path))
@path_option(
    "--sample",
    "sample_path",
    text="An .npy or .npz to check the export with, besides random values.",
)
@trust_option
def export(model_path: Path, onnx_path: Path, sample_path: Path | None, trust: bool) -> None:
    """Convert a Keras or PyTorch model to ONNX.

    MODEL is a .keras, .h5 or .hdf5 file, or a .pt2 file of torch.export.save, which needs --trust.
    Every layer or module is run by its framework and by ONNX Runtime; where they differ by more
    than 1e-3, nothing is written. Needs the extra [tensorflow], or [torch] for a .pt2 file.
    """
    from micam_fast.api.export import export as run_export
    from micam_fast.samples import load_array

    if onnx_path.suffix.lower() != ".onnx":
        raise Failure(f"the file to write must end in .onnx, not {onnx_path.name!r}")
    sample = None if sample_path is None else load_array(sample_path)
    found = run_export(model_path, onnx_path, sample=sample, trust=trust)
    for remark in found.remarks:
        note(remark)
    click.echo(describe_export(found))


def describe_export(report: ExportReport) -> str:
    """What an export did, in a line."""
    from micam_fast.api.export_report import part_of

    part = part_of(report.framework)
    checks = ", ".join(
        f"{each.relative:.1e} on the {each.sample} sample ({part} {each.layer})"
        for each in report.differences
    )
    return one_line(
        f"wrote {report.path}: {count_of(report.layers, 'layer')}, {report.size / 1e6:.1f} MB, in "
        f"{report.seconds:.1f} s; largest relative difference to {report.framework} {checks}"
    )
