"""Receptive fields by brute force: change each input cell, and see which cells of maps change.

All weights are to be positive, so that nothing cancels out, and the change is so large that it wins
every maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import micam_fast
from micam_fast.analyses.features.features import FeatureFinder
from micam_fast.analyses.features.receptive_fields import LayerField
from micam_fast.core.choices import Projection
from tests.helpers.models import Array

Changes = dict[str, NDArray[np.bool_]]
"""By layer ``(h', w', Hin, Win)``: whether a cell of the map changes with a cell of the input."""

Axes = tuple[int | None, int]
"""A sample's axes: its rows, if it has any, and its columns."""


def positive(seed: int, *shape: int) -> NDArray[np.float32]:
    """Random weights from 0.5 to 1.5."""
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape).astype(np.float32)


def find_changes(
    model: micam_fast.Model,
    sample: Array,
    axes: Axes,
    projection: Projection,
    by: float = 1e4,
) -> Changes:
    """Change the sample cell by cell, in all channels."""
    height, width = (1 if axis is None else sample.shape[axis] for axis in axes)
    changed = []
    for row in range(height):
        for column in range(width):
            other = sample.copy()
            place = {axes[0]: row, axes[1]: column}
            other[tuple(place.get(axis, slice(None)) for axis in range(other.ndim))] += by
            changed.append(other)
    plain = model.explain(sample, projection=projection)
    found: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in plain.cams}
    for explanation in model.explain_many(changed, batch_size=1, projection=projection):
        for name, cam in explanation.cams.items():
            found[name].append(cam != plain.cams[name])
    return {
        name: np.moveaxis(np.array(each), 0, -1).reshape(*each[0].shape, height, width)
        for name, each in found.items()
    }


def check_fields(
    proto: onnx.ModelProto,
    shape: Sequence[int],
    *,
    axes: Axes = (1, 2),
    projection: Projection = "published",
    by: float = 1e4,
    exact: bool = True,
) -> dict[str, LayerField]:
    """All cells of all spatial layers: as brute force says, or larger where that is said."""
    model = micam_fast.load_model(proto, threads=1)
    return check_model(model, positive(7, *shape), axes, projection, by=by, exact=exact)


def check_model(
    model: micam_fast.Model,
    sample: Array,
    axes: Axes,
    projection: Projection,
    *,
    by: float = 1e4,
    exact: bool = True,
) -> dict[str, LayerField]:
    """The same for a model that is open."""
    changes = find_changes(model, sample, axes, projection, by)
    explanation = model.explain(sample, projection=projection)
    fields = FeatureFinder(model, projection).fields(explanation, sample)
    checked = {}
    for name, seen in changes.items():
        layer = fields.layer(name)
        if layer is None:
            continue
        assert layer.size == seen.shape[:2], name
        for row, column in np.ndindex(*layer.size):
            cell, expected = layer.cell(row, column), seen[row, column]
            rows, columns = expected.any(axis=1), expected.any(axis=0)
            where = f"{name} {row}, {column}"
            if cell.exact:
                np.testing.assert_array_equal(cell.rows, rows, where)
                np.testing.assert_array_equal(cell.columns, columns, where)
            else:
                assert not exact, f"{where} is not exact"
                assert (cell.rows | ~rows).all(), where
                assert (cell.columns | ~columns).all(), where
            check_ranges(cell.row_ranges, cell.rows)
            check_ranges(cell.column_ranges, cell.columns)
        checked[name] = layer
    return checked


def check_ranges(ranges: Any, seen: NDArray[np.bool_]) -> None:
    """They begin and end with cells that are seen, hold all of them, and lie apart."""
    covered = np.zeros(len(seen), np.bool_)
    for first, last in ranges:
        assert seen[first]
        assert seen[last]
        assert not covered[max(0, first - 1) : last + 2].any()
        covered[first : last + 1] = True
    assert not (seen & ~covered).any()
    assert ranges == tuple(sorted(ranges))
