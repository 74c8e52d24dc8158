"""What a user may choose among; without slow imports, so that ``--help`` stays quick."""

from numbers import Integral
from typing import Literal

Look = Literal["isometric", "flat"]
LOOKS: tuple[Look, ...] = ("isometric", "flat")

Projection = Literal["published", "transposed"]
PROJECTIONS: tuple[Projection, ...] = ("published", "transposed")

ChannelKind = Literal["activations", "contributions"]
CHANNEL_KINDS: tuple[ChannelKind, ...] = ("activations", "contributions")

ArrayLayout = Literal["auto", "nchw", "nhwc"]
ARRAY_LAYOUTS: tuple[ArrayLayout, ...] = ("auto", "nchw", "nhwc")

Match = Literal["name", "structure"]
MATCHES: tuple[Match, ...] = ("name", "structure")

DIFFERENCE_METRICS = ("relative-l2", "relative-error", "noise-db", "saturated", "not-compared")

RANKDIRS = ("TB", "LR")
CHANNEL_ORDERS = ("rgb", "bgr")

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
PROGRAM_SUFFIX = ".pt2"

MODEL_SUFFIXES = (".onnx", *KERAS_SUFFIXES, PROGRAM_SUFFIX)


def check_choice(kind: str, value: str, known: tuple[str, ...]) -> None:
    """Raise a ValueError that lists the known values, unless the value is one of them."""
    if value not in known:
        raise ValueError(f"unknown {kind}: {value!r} (must be one of {', '.join(known)})")


def check_frame(frame: int | None) -> None:
    """Raise a ValueError for a frame that no sample can have.

    Raises
    ------
    ValueError
        If it is no whole number, or less than 0.
    """
    if frame is None:
        return
    # What comes from the outside is of any type; a flag is no number of a frame.
    if not isinstance(frame, Integral) or isinstance(frame, bool):
        raise ValueError(f"frame must be a whole number, not {frame!r}")
    if frame < 0:
        raise ValueError(f"frame must be at least 0, not {frame}")
