"""Keras and PyTorch files as models to plot: exported once, into the user's cache folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from micam_fast.core.choices import KERAS_SUFFIXES, PROGRAM_SUFFIX
from micam_fast.core.digests import file_digest, short_digest
from micam_fast.core.errors import ExportError, ModelError, os_errors_as
from micam_fast.core.output_files import check_folder
from micam_fast.models.onnx import OnnxFile, open_model
from micam_fast.models.onnx.annotations import FORMAT

if TYPE_CHECKING:
    from micam_fast.api.export import CheckSample, CheckSampleOf


_EXPORT = 2
"""Counts up where a file's export becomes another one."""


def is_keras_file(path: Path) -> bool:
    """Tell by its name whether a file, or a SavedModel folder, is for Keras to open."""
    return path.suffix.lower() in KERAS_SUFFIXES or (path / "saved_model.pb").exists()


def is_program_file(path: Path) -> bool:
    """Tell by its name whether a file is a program of ``torch.export``."""
    return path.suffix.lower() == PROGRAM_SUFFIX


def exported_file(
    path: Path,
    say: Callable[[str], None],
    *,
    trust: bool = False,
    sample: CheckSample | CheckSampleOf | None = None,
) -> Path:
    """The ONNX file of a Keras or ``.pt2`` file, made now if the cache does not hold it.

    The cache is keyed by the file's content, and by `trust`: no code is left in an export, but
    whether a file is taken must not depend on who opened it before. The framework is needed once.
    `say` is told what is made and where it is kept. The export is checked with `sample`, as
    `export` has it, and so at its sizes.

    Raises
    ------
    ExportError
        If the file cannot be read or converted, or holds code that must not run.
    MissingExtraError
        If it is not in the cache, and TensorFlow or PyTorch is not installed.
    OutputError
        If the cache folder cannot be written.
    """
    _check(path, trust)
    kept = _place(path, trust)
    if kept.is_file():
        return kept
    from micam_fast.api.export import export

    check_folder(kept.parent)
    say(f"exporting {path.name} to ONNX, once; it is kept in {kept.parent}")
    found = export(path, kept, trust=trust, sample=sample)
    for line in (*found.remarks, found.summary):
        say(line)
    return kept


def open_exported(
    path: Path,
    say: Callable[[str], None],
    *,
    trust: bool = False,
    sample: CheckSample | CheckSampleOf | None = None,
) -> OnnxFile:
    """The export of a Keras or ``.pt2`` file, opened, under that file's name.

    Parameters and errors are those of `exported_file`.
    """
    try:
        file = open_model(exported_file(path, say, trust=trust, sample=sample))
    except ModelError:
        # A full disk or a copy has cut the file of the cache.
        _place(path, trust).unlink(missing_ok=True)
        file = open_model(exported_file(path, say, trust=trust, sample=sample))
    return replace(file, name=path.stem)


def _check(path: Path, trust: bool) -> None:
    """What can be told without the framework."""
    if is_program_file(path):
        from micam_fast.models.pytorch import check_program_file

        check_program_file(path, trust=trust)
    else:
        from micam_fast.models.keras import check_keras_file

        check_keras_file(path)


def _place(path: Path, trust: bool) -> Path:
    from importlib.metadata import version

    from platformdirs import user_cache_path

    with os_errors_as(ExportError, f"cannot read model {path}"):
        content = file_digest(path)
    framework = "torch" if is_program_file(path) else "keras"
    name = short_digest(f"{version('micam-fast')} {framework} {FORMAT} {_EXPORT} {trust} {content}")
    return user_cache_path("micam-fast") / framework / f"{name}.onnx"
