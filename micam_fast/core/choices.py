"""What a user may choose among; without slow imports, so that ``--help`` stays quick."""

from dataclasses import dataclass
from numbers import Integral
from typing import Literal

Look = Literal["isometric", "flat"]
LOOKS: tuple[Look, ...] = ("isometric", "flat")
LookChoice = Literal["auto", "isometric", "flat"]
LOOK_CHOICES: tuple[LookChoice, ...] = ("auto", *LOOKS)
"""``"auto"`` is settled by the size of the input, see `Style.look_for`."""

DrawingChoice = Literal["auto", "diagram", "poster"]
DRAWINGS: tuple[DrawingChoice, ...] = ("auto", "diagram", "poster")
LARGEST_DIAGRAM = 24
"""Nodes up to which a diagram is drawn where nobody chose; what has more is a poster."""
PAGES = {
    "screen": (1440, 900),
    "a4": (794, 1123),
    "a4-landscape": (1123, 794),
    "letter": (816, 1056),
    "slide": (1280, 720),
}
"""Width and height of a poster's page by its name, in 1/96 inch."""
_LEAST_PAGE, _MOST_PAGE = 500, 14400

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


def parse_page(text: str) -> tuple[int, int]:
    """Width and height of a page in 1/96 inch, by its name or as ``WxH``.

    Raises
    ------
    ValueError
        If it is neither, or too small for a header or too large for a PDF.
    """
    if text in PAGES:
        return PAGES[text]
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise ValueError(f"unknown page: {text!r} (must be one of {', '.join(PAGES)} or WxH)")
    width, height = (int(side[:6]) for side in sides)
    if not all(_LEAST_PAGE <= side <= _MOST_PAGE for side in (width, height)):
        raise ValueError(
            f"a page of {text} has sides beyond {_LEAST_PAGE} to {_MOST_PAGE} (in 1/96 inch)"
        )
    return width, height


def check_frame(frame: int | None) -> None:
    """Raise a ValueError for a frame that no sample can have.

    Raises
    ------
    ValueError
        If it is no whole number, or less than 0.
    """
    if frame is None:
        return
    if not _is_whole(frame):
        raise ValueError(f"frame must be a whole number, not {frame!r}")
    if frame < 0:
        raise ValueError(f"frame must be at least 0, not {frame}")


@dataclass(frozen=True)
class Detail:
    """How much of a network a diagram draws.

    Attributes
    ----------
    depth
        Modules within so many others, counted from 1, are one node each; ``None`` for no such node.
    only_mapped
        Whether layers without a map are left out; a dotted edge says how many lie on its way. There
        is none past a node that is drawn.

    Raises
    ------
    ValueError
        If the depth is no whole number, or less than 1.
    """

    depth: int | None = None
    only_mapped: bool = False

    def __post_init__(self) -> None:
        if self.depth is not None and (not _is_whole(self.depth) or self.depth < 1):
            raise ValueError(f"depth must be a whole number from 1 on, not {self.depth!r}")

    @property
    def whole(self) -> bool:
        """Whether each layer is drawn for itself."""
        return self.depth is None and not self.only_mapped


EVERYTHING = Detail()


def _is_whole(value: object) -> bool:
    """Tell whether a number that comes from the outside is a whole one; a flag is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)
