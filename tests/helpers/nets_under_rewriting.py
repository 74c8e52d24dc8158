"""Models that are rewritten, rewritings that are wrong on purpose, and a count of sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from micam_fast.core.layers import Pointwise
from micam_fast.engine import sessions
from micam_fast.engine.onnx_runtime import open_session
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.merging import merge_scalings
from micam_fast.models.onnx.pointwise import Chain
from tests.helpers.chains import KERNEL, op
from tests.helpers.models import Array, make_model, random_array

SHAPE = (3, 6, 7)
SAMPLES = random_array(31, 4, *SHAPE)


def scaled_net(*size: int | str, seed: int = 0) -> onnx.ModelProto:
    """Conv, Mul and Add that are merged, and a pool of what they make."""
    constants = {
        "w": random_array(seed, *KERNEL.shape),
        "factor": random_array(1, 5, 1, 1),
        "summand": random_array(2, 5, 1, 1),
    }
    nodes = [
        op("Conv", "x w", "conv", pads=[1, 1, 1, 1]),
        op("Mul", "conv factor", "product"),
        op("Add", "product summand", "sum"),
        op("GlobalAveragePool", "sum", "pool"),
        op("Flatten", "pool", "out"),
    ]
    return make_model(nodes, {"x": ["N", 3, *(size or SHAPE[1:])]}, ["out"], constants)


def followed_net() -> onnx.ModelProto:
    """A convolution, and an output that follows from it number by number."""
    nodes = [
        op("Conv", "x w", "conv", pads=[1, 1, 1, 1]),
        op("Mul", "conv factor", "product"),
        op("Relu", "product", "relu"),
    ]
    constants = {"w": KERNEL, "factor": random_array(1, 5, 1, 1)}
    return make_model(nodes, {"x": ["N", *SHAPE]}, ["relu"], constants)


def merge_wrongly(patch: pytest.MonkeyPatch) -> None:
    """Let a Mul and an Add be merged with other numbers than theirs."""

    class Wrong(Constants):
        def array(self, name: str) -> Array:
            found = super().array(name)
            return found + np.float32(0.25) if name == "summand" else found

    def merge(proto: onnx.ModelProto, scalings: Any, constants: Constants) -> None:
        merge_scalings(proto, scalings, Wrong(constants._model))

    patch.setattr(sessions, "merge_scalings", merge)


def follow_wrongly(patch: pytest.MonkeyPatch) -> None:
    """Let layers that follow from another one be off."""
    numbers = Chain.numbers

    def wrong(self: Chain, constants: Constants) -> Pointwise | None:
        found = numbers(self, constants)
        return None if found is None else replace(found, shift=found.shift + np.float32(0.25))

    patch.setattr(Chain, "numbers", wrong)


@contextmanager
def opened_sessions() -> Iterator[list[onnx.ModelProto]]:
    """The models of all sessions that are opened within."""
    found: list[onnx.ModelProto] = []

    def opened(proto: onnx.ModelProto, **given: Any) -> Any:
        found.append(proto)
        return open_session(proto, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "open_session", opened)
        yield found
