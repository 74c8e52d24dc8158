"""Keras files of all three generations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from micam_fast.choices import KERAS_SUFFIXES
from micam_fast.errors import ExportError
from micam_fast.extras import import_extra

_LONGEST_REASON = 300


def open_keras(path: Path, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Load a Keras model for inference.

    Parameters
    ----------
    path
        A ``.keras`` file, or an ``.h5`` or ``.hdf5`` file of Keras 2 or 3.
    custom_objects
        Classes and functions that the file names and Keras does not know.

    Raises
    ------
    ExportError
        If the file is not there, or Keras cannot open it.
    MissingExtraError
        If TensorFlow is not installed.
    """
    if path.is_dir():
        raise ExportError(
            f"{path} is a folder; a SavedModel is not taken: load it where it was made and save it "
            "as one file, model.save('model.keras')"
        )
    if not path.is_file():
        raise ExportError(f"cannot read Keras model {path}: no such file")
    if path.suffix.lower() not in KERAS_SUFFIXES:
        raise ExportError(
            f"{path} is no Keras file by its name (must end in one of {', '.join(KERAS_SUFFIXES)})"
        )
    import_extra("tensorflow", extra="tensorflow", purpose="reading a Keras file")
    keras = import_extra("keras", extra="tensorflow", purpose="reading a Keras file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras.models.load_model(
                path, custom_objects=dict(custom_objects or {}), compile=False
            )
    except Exception as error:
        reason = " ".join(str(error).split())
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON]}..."
        raise ExportError(
            f"Keras {keras.__version__} cannot open {path.name}: {reason or type(error).__name__}"
        ) from error
