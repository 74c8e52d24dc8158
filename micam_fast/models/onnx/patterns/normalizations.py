"""Normalizations that exporters write as several operators.

What one is called depends on the axes that it takes (`taken_axes`), too: means over channels make a
layer normalization, the same operators over positions an instance normalization.
"""

from __future__ import annotations

from micam_fast.models.onnx.patterns.along_axes import (
    Epsilon,
    Given,
    Mean,
    Unmoved,
    Weights,
)
from micam_fast.models.onnx.patterns.matching import (
    Either,
    Expression,
    Input,
    Number,
    Op,
)

# --- Batch normalization at inference: a factor and a summand for each channel -----------------


def affine_by_channel() -> Expression:
    """``(x - mean) / deviation * gamma + beta``, and its shorter forms that end with a sum.

    An Add of its own is no end of a product by single numbers: all constants are `Weights`.
    """
    x = Input()
    w = Weights(x)
    centred = Op("Sub", x, w)
    normal = Either(Op("Div", centred, w), Op("Mul", centred, w))
    return Op("Add", Either(Op("Mul", normal, w), normal, Op("Mul", x, w)), w)


def scaled_by_channel() -> Expression:
    """``(x - mean) / deviation * gamma``, also with one factor."""
    x = Input()
    w = Weights(x)
    centred = Op("Sub", x, w)
    return Either(Op("Mul", Op("Div", centred, w), w), Op("Mul", centred, w))


def divided_by_channel() -> Expression:
    """``(x - mean) / deviation``."""
    x = Input()
    w = Weights(x)
    return Op("Div", Op("Sub", x, w), w)


def scale_behind_batch_norm() -> Expression:
    """A BatchNormalization whose factor and summand are operators of their own."""
    x = Input()
    w = Weights(x)
    normal = Op("BatchNormalization", x, Given(), Given(), Given(), Given())
    return Op("Add", Op("Mul", normal, w), w)


# --- Means and deviations of the sample itself -------------------------------------------------


def centred_affine() -> Expression:
    """``(x - mean) / sqrt(variance + e) * gamma + beta``, also without gamma."""
    x = Input()
    w, normal = Weights(x), _casted(_centred(x))
    return Op("Add", Either(Op("Mul", normal, w), normal), w)


def centred_scaled() -> Expression:
    """``(x - mean) / sqrt(variance + e) * gamma``."""
    x = Input()
    return Op("Mul", _casted(_centred(x)), Weights(x))


def centred() -> Expression:
    """``(x - mean) / sqrt(variance + e)``."""
    return _centred(Input())


def folded() -> Expression:
    """``x * f + (beta - mean * f)``, ``f = gamma / sqrt(variance + e)``."""
    return _folded(Input())


def root_mean_square_scaled() -> Expression:
    """``x / sqrt(mean(x^2) + e) * gamma``."""
    x = Input()
    w, root = Weights(x), _root(Mean(_square(x)))
    scaled = Op("Mul", x, Op("Mul", _inverse(root), w))
    return Either(Op("Mul", _casted(_quotient(x, root)), w), scaled)


def root_mean_square() -> Expression:
    """``x / sqrt(mean(x^2) + e)``."""
    x = Input()
    return _quotient(x, _root(Mean(_square(x))))


# --- Groups of channels ------------------------------------------------------------------------


def groups_affine() -> Expression:
    """Channels by groups as instances, then a factor and a summand for each channel."""
    x = Input()
    w = Weights(x, loose=True)
    return Op("Add", Op("Mul", _groups(x), w), w)


def groups() -> Expression:
    """Channels by groups as instances."""
    return _groups(Input())


def folded_groups() -> Expression:
    """`folded` of the channels by groups, along an axis of their own."""
    return Op("Reshape", _folded(Op("Reshape", Input(), Given())), Given())


def _groups(x: Expression) -> Expression:
    grouped = Op("Reshape", x, Given())
    return Op("Reshape", Op("InstanceNormalization", grouped, Given(), Given()), Given())


def _centred(x: Expression) -> Expression:
    centred = Op("Sub", x, Mean(x))
    # For numbers of half precision.
    wide = Op("Cast", centred)
    return Either(
        _quotient(centred, _root(Mean(_square(centred)))),
        _quotient(wide, _root(Mean(_square(wide)))),
    )


def _folded(x: Expression) -> Expression:
    mean, w = Mean(x), Weights(x)
    inverse = _inverse(_root(Mean(_square(Op("Sub", x, Unmoved(mean))))))
    factor = Either(Op("Mul", inverse, w), inverse)
    shift = Op("Mul", Op("Neg", mean), factor)
    summand = Either(shift, Op("Add", shift, w), Op("Sub", w, Op("Mul", mean, factor)))
    return Op("Add", Op("Mul", x, factor), summand)


def _casted(part: Expression) -> Expression:
    return Either(part, Op("Cast", part))


def _square(x: Expression) -> Expression:
    return Either(Op("Pow", x, Number(2)), Op("Mul", x, x))


def _root(variance: Expression) -> Op:
    return Op("Sqrt", Op("Add", variance, Epsilon()))


def _inverse(root: Expression) -> Expression:
    return Either(Op("Reciprocal", root), Op("Div", Number(1), root))


def _quotient(x: Expression, root: Expression) -> Expression:
    return Either(Op("Div", x, root), Op("Mul", x, _inverse(root)))
