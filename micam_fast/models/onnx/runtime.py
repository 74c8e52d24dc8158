"""ONNX Runtime itself: loaded when it is first needed, and what its errors say."""

from __future__ import annotations

import os
import re
from typing import Any

from micam_fast.core.texts import first_line_of

_LONGEST_MESSAGE = 300
# Else it notes machine and process in the user's cache folder from the moment it is imported, to
# send them to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def quiet_options(threads: int) -> Any:
    """Options of a session whose own pool has so many threads, and which prints nothing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Errors come as exceptions; what ONNX Runtime prints besides would bury our one line.
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    return options


def words_of(error: Exception) -> str:
    """ONNX Runtime's message, without its code and its paths of source files."""
    text = first_line_of(error)
    if isinstance(error, UnicodeDecodeError):
        text = "a text in it is no UTF-8"
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    # C++ source places and signatures stand before the message proper.
    text = text[: 10 * _LONGEST_MESSAGE].removeprefix("Exception during initialization: ")
    text = re.sub(r"^\S+\.(?:cc|h):\d+ .*?\) (?=\S)", "", text)
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}..."
