"""Receptive fields that the rows of the table claim, against changes of each input cell."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from micam_fast.models.onnx import open_model
from micam_fast.models.onnx.dependence import follow, input_dependence
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.operator_row import Operator
from micam_fast.models.onnx.operators import OPERATORS
from tests.helpers.models import Array
from tests.helpers.operator_models import operator_models

SHAPES = [(4, 4, 5), (4, 5), (6,)]
STEPS = (1e4, -1e4, 3, -3, 0.6, -0.6)
HIDDEN = {
    "And", "BitwiseAnd", "Or", "Trilu", "Hardmax", "MatMulInteger", "QLinearConv", "QLinearMatMul",
}  # fmt: skip
"""Constants, rounding or another winner hide that a value is read: fields may look too large."""
UNBUILT = {"GroupNormalization", "SimplifiedLayerNormalization", "Swish", "ReverseSequence"}
UNITS_ALONE = {"DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"}
"""Its codes stand for values with units that all of the input decides over; these do not count."""


def whole_run(model: onnx.ModelProto) -> Callable[[Array], dict[str, Array]]:
    """Runs a model for all of its values."""
    names = [name for node in model.graph.node for name in node.output if name]
    told = onnx.ModelProto()
    told.CopyFrom(model)
    known = {value.name for value in told.graph.output}
    told.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    session = onnxruntime.InferenceSession(told.SerializeToString())
    return lambda sample: dict(zip(names, session.run(names, {"x": sample}), strict=True))


Fields = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Rows and columns ``(elements, size)`` of the input that each element of the output reads."""


def seen_fields(run: Callable[[Array], dict[str, Array]], shape: tuple[int, ...]) -> Fields:
    """What changes when each cell of the input changes, in all channels."""
    rows, columns = (shape[-2] if len(shape) > 2 else 1), shape[-1]
    rng = np.random.default_rng(1)
    changed: list[NDArray[np.bool_]] = []
    for sample in rng.normal(size=(3, 1, *shape)).astype(np.float32) * 3:
        plain = run(sample)["o"]
        for row, column in np.ndindex(rows, columns):
            place = (..., row, column) if len(shape) > 2 else (..., column)
            for step in STEPS:
                other = sample.copy()
                other[place] += np.float32(step)
                made = run(other)["o"]
                same = (made == plain) | ((made != made) & (plain != plain))
                changed.append(~same.reshape(-1))
    cells = np.logical_or.reduce(
        np.array(changed).reshape(3, rows, columns, len(STEPS), -1), axis=(0, 3)
    )
    return np.logical_or.reduce(cells, 1).T, np.logical_or.reduce(cells, 0).T


def said_fields(
    model: onnx.ModelProto, values: dict[str, Array], shape: tuple[int, ...]
) -> tuple[Fields, bool]:
    """What the rules say, and whether they say that it is exact."""
    graph = Graph(open_model(model))
    shapes = {"x": (1, *shape), **{name: array.shape for name, array in values.items()}}
    grid = (shape[-2] if len(shape) > 2 else 1), shape[-1]
    row_axis = len(shape) - 1 if len(shape) > 2 else None
    cells = {"x": input_dependence(shapes["x"], grid, row_axis, len(shape))}
    numbers = {n: array for n, array in values.items() if graph.kind.get(n) is Kind.SHAPE}
    found = follow(graph, cells, shapes, numbers, ["o"])["o"]
    *sets, exact = found.at(np.array(list(np.ndindex(*shapes["o"]))))
    rows, columns = (
        np.unpackbits(bits, axis=-1)[..., :size].astype(np.bool_)
        for bits, size in zip(sets, grid, strict=True)
    )
    return (rows, columns), bool(exact.all())


def label(row: Operator) -> str:
    return f"{row.domain}::{row.name}" if row.domain else row.name


def test_each_row_with_a_field_has_a_builder() -> None:
    """But for these, of which no small model was built yet: a new row is not among them."""
    rows = [row for row in OPERATORS if row.field is not None]
    built = [any(True for _ in operator_models(row, SHAPES)) for row in rows]
    assert {label(row) for row, there in zip(rows, built, strict=True) if not there} == UNBUILT


@pytest.mark.parametrize("row", [row for row in OPERATORS if row.field is not None], ids=label)
def test_what_a_row_says_of_its_field_is_true(row: Operator) -> None:
    for shape in SHAPES:
        for model in itertools.islice(operator_models(row, [shape]), 2):
            dims = model.graph.input[0].type.tensor_type.shape.dim[1:]
            own = tuple(dim.dim_value for dim in dims)
            run = whole_run(model)
            said, exact = said_fields(model, run(np.ones((1, *own), np.float32)), own)
            seen = seen_fields(run, own)
            if row.name in UNITS_ALONE:
                continue
            for claimed, changed in zip(said, seen, strict=True):
                assert not (changed & ~claimed).any(), "the field is too small"
                assert exact
                if changed.any() and row.name not in HIDDEN:
                    np.testing.assert_array_equal(claimed, changed, "the field is too large")
