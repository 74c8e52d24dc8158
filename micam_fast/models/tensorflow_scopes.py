"""Layers and nested models of TensorFlow, as scopes in the names that tf2onnx keeps tell them.

``StatefulPartitionedCall/model/block_1/conv2d/BiasAdd__6`` is an operator ``BiasAdd`` of the layer
``block_1/conv2d``. Before the layers stand calls of functions and the whole model, behind them
functions of TensorFlow's own that are made of several operators.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

SEPARATOR = "/"
_MOST_SCOPES = 64
_CALL = re.compile(r"(Stateful)?PartitionedCall(_[0-9]+)?")
# What tf2onnx appends to the name of an operator that it made from another, and of a value.
_MADE = re.compile(r"(__[0-9]+)?(:[0-9]+)?\Z")
_NUMBERED = re.compile(r"(.+)_[0-9]+")
_READING = re.compile(r"ReadVariableOp(_[0-9]+)?|merged_input")
_CONVOLUTIONS = frozenset({
    "Conv1D", "Conv2D", "Conv3D", "conv2d_transpose", "conv_transpose", "convolution", "depthwise",
    "separable_conv2d",
})  # fmt: skip
# Scopes of TensorFlow's own functions, with the operator; a layer may be called like some of them.
_FUNCTION = re.compile(
    r"(Conv[123]D|Reshape|Tensordot|einsum|moments|resize)/.*"
    r"|batchnorm/(Rsqrt|add|mul|sub)(_[0-9]+)?|separable_conv2d/depthwise"
)
# Only Keras 3 calls a convolution so.
_KERAS_3 = "convolution"


@dataclass(frozen=True)
class TensorFlowScope:
    """A layer's place, ``()`` for the whole model, and the scope that tells one call of it."""

    path: tuple[str, ...]
    call: str


class TensorFlowScopes:
    """The scopes of a file.

    Keras 3 opens the scope of each layer twice, so TensorFlow gives each a number: ``conv_1`` is
    the layer ``conv``, and ``conv_3`` a further call of it. In files of Keras 3, where the first
    scope of each operator has such a number, they are left out.

    Parameters
    ----------
    names
        Of all nodes.
    """

    def __init__(self, names: Iterable[str]) -> None:
        known = [pieces for name in names if (pieces := _split(name)) is not None]
        self._numbered = any(_KERAS_3 in pieces for pieces in known) and all(
            _NUMBERED.fullmatch(pieces[0]) for pieces in known
        )
        layers = {self._layer(pieces) for pieces in known}
        first = {layer[0] for layer in layers if layer}
        deeper = any(len(layer) > 1 for layer in layers)
        self._root = first.pop() if len(first) == 1 and deeper else None

    def of_node(self, name: str) -> TensorFlowScope | None:
        """Where an operator is called; ``None`` where its name tells nothing."""
        pieces = _split(name)
        return None if pieces is None else self._scope(self._layer(pieces))

    def of_kernel(self, name: str) -> TensorFlowScope | None:
        """Where the convolution is called that reads a variable of this name."""
        pieces = _split(name)
        if pieces is None or not _READING.fullmatch(pieces[-1]) or pieces[-2] not in _CONVOLUTIONS:
            return None
        return self._scope(self._layer(pieces[:-1])) if len(pieces) > 2 else None

    def _layer(self, pieces: list[str]) -> tuple[str, ...]:
        """Scopes of a layer, the root included, without those of functions."""
        *scopes, operator = pieces
        if self._numbered:
            return tuple(itertools.takewhile(_NUMBERED.fullmatch, scopes))
        inside = len(scopes) > 1 and _FUNCTION.fullmatch(f"{scopes[-1]}/{operator}")
        return tuple(scopes[:-1] if inside else scopes)

    def _scope(self, layer: tuple[str, ...]) -> TensorFlowScope:
        path = layer[1:] if layer[:1] == (self._root,) else layer
        if self._numbered:
            path = tuple(each.rpartition("_")[0] for each in path)
        return TensorFlowScope(path, SEPARATOR.join(layer))


def _split(name: str) -> list[str] | None:
    """Scopes of a name and its operator; ``None`` where there are no scopes."""
    # TFLite joins the names of operators that it has fused; the convolution stands for all.
    names = [_parts(each) for each in name.split(";")]
    found = next((each for each in names if each[-1] in _CONVOLUTIONS), names[0])
    fits = 1 < len(found) <= _MOST_SCOPES and all(found)
    return found if fits else None


def _parts(name: str) -> list[str]:
    *scopes, operator = name.split(SEPARATOR)
    return [*itertools.dropwhile(_CALL.fullmatch, scopes), _MADE.sub("", operator, count=1)]
