"""Activation functions that exporters write as several operators."""

from __future__ import annotations

import math

from micam_fast.models.onnx.patterns.matching import (
    Bounded,
    Either,
    Expression,
    Input,
    Number,
    Op,
    Product,
    TurnedBack,
)

_CUBIC = 0.044715
_SCALE = math.sqrt(2 / math.pi)


def silu() -> Expression:
    """``x * sigmoid(x)``."""
    x = Input()
    return Product(1, x, Op("Sigmoid", Either(x, Product(1, x))))


def hard_swish() -> Expression:
    """``x * min(max(x + 3, 0), 6) / 6``."""
    x = Input()
    gate = Op("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    return Either(Product(1 / 6, x, _six_above(x)), Product(1, x, gate))


def hard_sigmoid() -> Expression:
    """``min(max(x + 3, 0), 6) / 6``."""
    return Product(1 / 6, _six_above(Input()))


def gelu() -> Expression:
    """``x / 2 * (1 + erf(x / sqrt(2)))``."""
    x = Input()
    return Product(0.5, x, _one_and(Op("Erf", Product(math.sqrt(0.5), x))))


def gelu_by_tanh() -> Expression:
    """``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))``."""
    x = Input()
    turned = Op("Transpose", x)
    cubes = Either(
        Product(_CUBIC, x, x, x),
        Product(_CUBIC, Op("Pow", x, Number(3))),
        TurnedBack(Product(_CUBIC, Op("Pow", turned, Number(3))), turned),
    )
    squares = Either(Product(_CUBIC, x, x), Product(_CUBIC, Op("Pow", x, Number(2))))
    inner = Either(
        Product(_SCALE, Op("Add", x, cubes)),
        Product(_SCALE, x, _one_and(squares)),
    )
    return Product(0.5, x, _one_and(Op("Tanh", inner)))


def mish() -> Expression:
    """``x * tanh(log(1 + exp(x)))``."""
    x = Input()
    soft = Either(Op("Softplus", x), Op("Log", _one_and(Op("Exp", x))))
    return Product(1, x, Op("Tanh", soft))


def _one_and(other: Expression) -> Expression:
    return Op("Add", other, Number(1))


def _six_above(x: Expression) -> Expression:
    """``min(max(x + 3, 0), 6)``."""
    return Bounded(Op("Add", x, Number(3)), 0, 6)
