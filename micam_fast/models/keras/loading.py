"""Keras files of all three generations."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from micam_fast.core.choices import KERAS_SUFFIXES
from micam_fast.core.errors import ExportError
from micam_fast.core.extras import import_extra
from micam_fast.models.keras.trust import check_content

_LONGEST_REASON = 300


def check_keras_file(path: Path) -> None:
    """Find out what can be seen of a Keras file without Keras.

    Raises
    ------
    ExportError
        If it is a folder, is not there, or has another suffix.
    """
    if path.is_dir():
        raise ExportError(
            f"{path} is a folder; a SavedModel is not taken: load it where it was made and save it "
            "as one file, model.save('model.keras')"
        )
    if not path.is_file():
        raise ExportError(f"cannot read Keras model {path}: no such file")
    # Keras itself knows these in small letters only.
    if path.suffix not in KERAS_SUFFIXES:
        raise ExportError(
            f"{path} is no Keras file by its name (must end in one of {', '.join(KERAS_SUFFIXES)})"
        )


def open_keras(
    path: Path, custom_objects: Mapping[str, Any] | None = None, *, trust: bool = False
) -> Any:
    """Load a Keras model for inference.

    Parameters
    ----------
    path
        A ``.keras`` file, or an ``.h5`` or ``.hdf5`` file of Keras 2 or 3.
    custom_objects
        Classes and functions that the file names and Keras does not know.
    trust
        Whether Python code in the file, of Lambda layers, may run.

    Raises
    ------
    ExportError
        If the file is not there, holds code that must not run or ways to other files, or Keras
        cannot open it.
    MissingExtraError
        If TensorFlow is not installed.
    """
    check_keras_file(path)
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ExportError(
            f"Keras cannot open {path.name}: it is no archive of Keras "
            f"({path.stat().st_size} bytes); the file is cut off, or of another kind"
        )
    check_content(path, trust=trust)
    import_extra("tensorflow", extra="tensorflow", purpose="reading a Keras file")
    keras = import_extra("keras", extra="tensorflow", purpose="reading a Keras file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            objects = dict(custom_objects or {})
            return keras.models.load_model(
                path, custom_objects=objects, compile=False, safe_mode=not trust
            )
    except Exception as error:
        raise ExportError(
            f"Keras {keras.__version__} cannot open {path.name}: "
            f"{_reason(str(error)) or type(error).__name__}"
        ) from error


def _reason(text: str) -> str:
    """What Keras says, without the configurations that it prints around it."""
    said = text.rpartition("Exception encountered: ")[2].partition("Full object config:")[0]
    line = " ".join(said.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."
