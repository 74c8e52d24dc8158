"""A row of the table of operators: what there is to know of one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Literal

ONNX_DOMAINS = ("", "ai.onnx")
"""Two names of the domain of ONNX's own operators."""
MICROSOFT = "com.microsoft"
"""Domain of the operators that ONNX Runtime adds."""
REORDERED_DOMAINS = ("com.microsoft.nchwc", "com.ms.internal.nhwc")
"""Those of operators whose values lie in memory in an order of ONNX Runtime's own."""


class Measured(Enum):
    """Whether ONNX Runtime keeps the bits of an operator's results on a processor.

    What was not measured, or not in enough ways to rely on it, is unknown.
    """

    SAFE = "measured safe"
    UNSAFE = "measured unsafe"
    UNKNOWN = "unknown"


SAFE, UNSAFE, UNKNOWN = Measured.SAFE, Measured.UNSAFE, Measured.UNKNOWN
Condition = Literal[
    "blocked", "factor kept", "factor kept or stacked", "nearest or four axes", "not training",
    "sums the end", "weights kept",
]  # fmt: skip


@dataclass(frozen=True)
class Bits:
    """What the bits of an operator's results depend on (``tools/measure_operators.py``).

    Attributes
    ----------
    batch, threads
        Whether a sample has the same bits in every batch that one thread runs, and, too, however
        many threads share the operator.
    batch_if, threads_if
        A condition of `invariance`: a node that does not meet it counts as unsafe.
    """

    batch: Measured = UNKNOWN
    threads: Measured = UNKNOWN
    batch_if: Condition | None = None
    threads_if: Condition | None = None


@dataclass(frozen=True)
class Kernel:
    """Which inputs hold a kernel and what belongs to it.

    Attributes
    ----------
    place, bias, scale, zero, input_scale
        Positions among the inputs; the last three hold units of a quantized kernel and its input.
    axes
        The fewest axes that such a kernel has.
    """

    place: int
    bias: int | None = None
    scale: int | None = None
    zero: int | None = None
    input_scale: int | None = None
    axes: int = 3


Role = Literal["layer", "layout", "bookkeeping"]
Channels = Literal[
    "as read", "second", "last", "recurrent", "dense", "unknown", "gathered", "listed", "permuted",
    "reduced", "reshaped", "squeezed", "unsqueezed",
]  # fmt: skip
FieldRule = Literal[
    "along axis", "batch norm", "concat", "convolution", "depth to space", "dynamic quantization",
    "einsum", "elementwise", "expand", "first input", "gather", "gemm", "global pool", "group norm",
    "instance norm", "largest", "layer norm", "mean variance", "pad", "place of largest", "pool",
    "product", "recurrent", "reduction", "reshape", "resize", "response norm", "reverse",
    "running sum", "slice", "space to depth", "split", "tile", "transpose",
]  # fmt: skip
CostRule = Literal[
    "attention", "convolution", "einsum", "gemm", "packed product", "product", "quantized gemm",
    "recurrent", "unknown",
]  # fmt: skip


@dataclass(frozen=True)
class Operator:
    """What is known of an operator; a default says that there is nothing special about it.

    Attributes
    ----------
    name, domain
        As nodes have them.
    since, until
        The first opset whose operator the rules read in the newer of two ways, and the last opset
        that has it; ``None`` where opsets make no difference.
    role
        A bookkeeping operator is no layer, one of the layout is none where it moves axes alone. Nor
        is one that reads constants or a shape alone (`graph.Kind`), whatever its role.
    hands_on
        Whether it gives the very numbers that it reads, in other axes at most.
    channels
        On which axis of its output they lie: the second or last one, the axis of its input (``"as
        read"``, or moved there as its parameters say), or one that it alone does not tell.
    flat
        Whether its activation is drawn as a flat one.
    kernel
        Where a kernel and a bias are.
    factors, codes, settings
        Positions of a product's factors; of quantized weights, beside which other constants are
        units; and of constants that are bounds, sizes or units, and no weights.
    units
        Positions of the scale and the zero point of the codes that it makes.
    sizes
        Position of a list with one size for each axis of the result.
    affine
        What it does to each channel if its other input is one number for each.
    field, cost
        Rules of its receptive field, by default all that it reads, and of its multiply-adds.
    bits
        What its results depend on besides its input.
    measures
        Whether it reads a shape alone.
    random
        When it makes random numbers.
    """

    name: str
    domain: str = ""
    since: int | None = None
    until: int | None = None
    role: Role = "layer"
    hands_on: bool = False
    channels: Channels = "as read"
    flat: bool = False
    kernel: Kernel | None = None
    factors: tuple[int, int] = (0, 1)
    codes: tuple[int, ...] = ()
    settings: Collection[int] = ()
    units: tuple[int, int] | None = None
    sizes: int | None = None
    affine: Literal["bounds", "factor", "normalization", "summand"] | None = None
    field: FieldRule | None = None
    cost: CostRule | None = None
    bits: Bits = Bits()
    measures: bool = False
    random: Literal["never", "always", "training"] = "never"


KEPT = Bits(SAFE, SAFE)
LOST = Bits(UNSAFE, UNSAFE)
# Where a sample begins in memory was not varied: sums over sizes that are no multiple of 16, of
# InstanceNormalization too, were since seen to differ between batches.
SUMMED = Bits(SAFE, SAFE, batch_if="sums the end")
RESIZED = Bits(SAFE, SAFE, batch_if="nearest or four axes")
WALKED = Bits(SAFE, UNKNOWN, batch_if="weights kept")
EVERY = range(16)
"""Positions of all inputs."""
