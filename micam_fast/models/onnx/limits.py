"""How large a model may be. A file from anyone may promise anything; these are far above real ones.

Real networks have up to some 5,000 operators. At 20,000 a model opens in about 7 s, most of it in
ONNX Runtime, whose time grows by the square; a diagram is no use long before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from micam_fast.core.errors import MicamError, ModelError
from micam_fast.core.machine import machine_memory
from micam_fast.core.texts import one_line

MOST_NODES = 25_000
"""Operators, those in functions (once for each call) and bodies of If, Loop and Scan counted."""

MOST_VALUES = 250_000
"""Initializers, and inputs and outputs of a graph: ten for each operator."""

MOST_EDGES = 250_000
"""Lines between layers; only lists of values that many layers read have so many."""

DEEPEST = 16
"""Graphs within graphs: what reads them calls itself for each."""

DEEPEST_CALLS = 64
"""Functions that call each other in turn; ONNX's inliner calls itself for each."""

MOST_AXES = 64
"""A value has at most so many axes, as NumPy has no more."""

LARGEST_BATCH = 4_096
"""Samples that a model may be fixed to: it runs with as many, if only one is given."""

LONGEST_NAME = 2_000
"""Characters of a name: it stands in diagrams, tables and file names."""

LONGEST_NOTES = 2**25
"""Characters that an export has written of its layers: about a thousand for each."""

LARGEST_FILE = 2**31
"""Bytes of an ONNX file: protocol buffers end there. Larger weights lie in files beside it."""

_LONGEST_SHOWN = 200


def largest_value() -> int:
    """Bytes that one value may take, and all constants together: half of the machine's memory."""
    return machine_memory() // 2


def refuse_more(model: str, count: int, most: int, what: str, remedy: str) -> None:
    """Raise if there is more of something than is read.

    Raises
    ------
    ModelError
        With the count, the limit and the remedy.
    """
    if count > most:
        raise ModelError(
            f"model {model!r} has {count:,} {what}, and at most {most:,} are read; {remedy}"
        )


@contextmanager
def reading(model: str) -> Iterator[None]:
    """The outermost net around what reads a graph: what no check has foreseen.

    Raises
    ------
    ModelError
        In the place of any error that is not one of ours.
    """
    try:
        yield
    except (MicamError, NameError, ImportError):
        # The last two are faults of ours, or of the installation.
        raise
    except Exception as error:
        said = shown(" ".join(f"{type(error).__name__}: {error}".split()))
        raise ModelError(
            f"model {model!r} cannot be read: its graph is broken ({said}); check it with "
            "onnx.checker, or export the model again"
        ) from error


def shown(text: str) -> str:
    """As much of a text as fits in a message."""
    return one_line(text, _LONGEST_SHOWN)
