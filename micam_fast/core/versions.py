"""Libraries that decide over what is written."""

from __future__ import annotations

from collections.abc import Collection

from micam_fast.core.formats import FORMATS

_COMPUTING = ("micam-fast", "numpy", "numba", "onnx", "onnxruntime")


def deciding_libraries(formats: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the libraries that have a say in the bytes of what is written.

    Those of an extra count if one of their formats is asked for, the others always.
    """
    rows = [each for each in FORMATS if not each.optional or each.name in formats]
    return tuple(dict.fromkeys([*_COMPUTING, *(name for row in rows for name in row.libraries)]))
