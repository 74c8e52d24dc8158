"""Libraries of the extras: imported when first needed, or one line that says how to get them."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from micam_fast.core.errors import MissingExtraError


def import_extra(name: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module that an extra of this package brings; the purpose begins the error's line.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    # TensorFlow's own log would bury our lines; Keras must not look for another backend. Whoever
    # set these decided otherwise.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs {missing}, which is not installed: pip install 'micam-fast[{extra}]'"
        ) from None
