"""What a user may choose among; without imports, so that ``--help`` stays quick."""

from typing import Literal

Look = Literal["isometric", "flat"]
LOOKS: tuple[Look, ...] = ("isometric", "flat")

Projection = Literal["published", "transposed"]
PROJECTIONS: tuple[Projection, ...] = ("published", "transposed")

ChannelKind = Literal["activations", "contributions"]
CHANNEL_KINDS: tuple[ChannelKind, ...] = ("activations", "contributions")

ArrayLayout = Literal["auto", "nchw", "nhwc"]
ARRAY_LAYOUTS: tuple[ArrayLayout, ...] = ("auto", "nchw", "nhwc")

RANKDIRS = ("TB", "LR")
CHANNEL_ORDERS = ("rgb", "bgr")

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")

MODEL_SUFFIXES = (".onnx", *KERAS_SUFFIXES)


def check_projection(projection: Projection) -> None:
    """Refuse what is no projection.

    Raises
    ------
    ValueError
        With those that there are.
    """
    if projection not in PROJECTIONS:
        raise ValueError(
            f"unknown projection: {projection!r} (must be one of {', '.join(PROJECTIONS)})"
        )
