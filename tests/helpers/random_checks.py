"""A random graph held against the oracle: what micam-fast says of it, and what is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import micam_fast
from micam_fast.analyses.features.features import FeatureFinder
from tests.helpers import reference
from tests.helpers.oracle import Oracle, channels_by_values, layer_map
from tests.helpers.random_graphs import Drawn, draw

Array = NDArray[Any]
PROJECTIONS: tuple[Literal["published", "transposed"], ...] = ("published", "transposed")

_CELLS = 10
"""Cells of the input that are changed, where weights are not positive."""
_FOLLOWED = 6
"""Cells of a map that are followed back to the input."""
_STATISTICS = ("mean", "deviation", "low", "high", "energy")


@dataclass(frozen=True)
class Finding:
    """Something that is not as SPEC says.

    Attributes
    ----------
    part
        ``"run"``, ``"layers"``, ``"map"``, ``"colours"``, ``"output"``, ``"stats"``, ``"field"``.
    layer
        Its name; empty where it is about the whole graph.
    text
        What is wrong.
    """

    part: str
    layer: str
    text: str

    def __str__(self) -> str:
        return f"{self.part} {self.layer}: {self.text}"


def draw_sample(drawn: Drawn, number: int = 0) -> Array:
    """One of the samples of a graph."""
    numbers = np.random.default_rng([drawn.seed, number])
    if drawn.positive:
        return numbers.uniform(0.5, 1.5, drawn.input_shape).astype(np.float32)
    return numbers.standard_normal(drawn.input_shape).astype(np.float32)


def check_seed(seed: int, *, positive: bool = False) -> list[Finding]:
    """What is wrong with the graph of a seed."""
    return check(draw(seed, positive=positive))


def check(drawn: Drawn) -> list[Finding]:
    """What is wrong with a graph.

    Raises
    ------
    Exception
        If ONNX Runtime refuses the graph, or its drawing is wrong about a size: then it proves
        nothing.
    """
    sample = draw_sample(drawn)
    oracle = Oracle(drawn, sample)
    oracle.check_shapes()
    findings = _all_findings(drawn, oracle, sample)
    if findings:
        oracle.check_runtime(sample)
    return findings


def _all_findings(drawn: Drawn, oracle: Oracle, sample: Array) -> list[Finding]:
    said: list[str] = []
    try:
        found = list(_check_all(drawn, oracle, sample, said))
    except Exception as error:
        return [Finding("run", "", f"{type(error).__name__}: {error}")]
    return [*found, *(Finding("note", "", line) for line in said)]


def _check_all(drawn: Drawn, oracle: Oracle, sample: Array, said: list[str]) -> Iterator[Finding]:
    model = micam_fast.load_model(drawn.model, threads=1, memory=drawn.memory, say=said.append)
    # A graph is drawn with the names of its nodes.
    names = {layer.onnx_name: layer.name for layer in model.layers}
    drawn = replace(drawn, layers={names.get(n, n): each for n, each in drawn.layers.items()})
    explanations = {p: model.explain(sample, projection=p) for p in PROJECTIONS}
    for projection, explanation in explanations.items():
        yield from _check_maps(drawn, oracle, explanation, projection)
    yield from _check_output(oracle, explanations["published"])
    yield from _check_stats(drawn, oracle, model, sample)
    yield from _check_fields(drawn, oracle, model, explanations["published"], sample)


def _check_maps(
    drawn: Drawn, oracle: Oracle, explanation: micam_fast.Explanation, projection: str
) -> Iterator[Finding]:
    found, wanted = list(explanation.cams), list(drawn.layers)
    if found != wanted:
        text = f"missing {set(wanted) - set(found)}, besides {set(found) - set(wanted)}"
        yield Finding("layers", "", text if set(found) != set(wanted) else "in another order")
    for name in wanted:
        layer = drawn.layers[name]
        if name not in explanation.cams or not layer.sure:
            continue
        cam, expected = explanation.cams[name], oracle.map(layer, projection)
        if cam.shape != expected.cam.shape:
            yield Finding("map", name, f"{projection}: {cam.shape}, not {expected.cam.shape}")
        elif not _close(cam, expected.cam, expected.slack):
            off = np.abs(cam - expected.cam).max()
            scale = np.abs(expected.cam).max()
            yield Finding("map", name, f"{projection}: off by {off:.3g} of {scale:.3g}")
    yield from _check_colours(explanation, projection)


def _check_colours(explanation: micam_fast.Explanation, projection: str) -> Iterator[Finding]:
    low, high = reference.global_range(explanation.cams.values())
    if not np.allclose(explanation.global_range, (low, high), rtol=1e-9, atol=0):
        yield Finding("colours", "", f"{projection}: {explanation.global_range}, {(low, high)}")
    for name, cam in explanation.cams.items():
        rgba = reference.rgba_uint8(cam, low, high).astype(int)
        ranges = reference.published_range(cam)
        if np.abs(explanation.rgba[name] - rgba).max(initial=0) > 1:
            yield Finding("colours", name, f"{projection}: RGBA")
        if not np.allclose(explanation.ranges[name], ranges, rtol=1e-9, atol=0, equal_nan=True):
            yield Finding("colours", name, f"{projection}: {explanation.ranges[name]}, {ranges}")


def _check_output(oracle: Oracle, explanation: micam_fast.Explanation) -> Iterator[Finding]:
    expected, slack = oracle.difference(oracle.plain.outputs[0])
    found = explanation.output
    if found is None or np.squeeze(found).shape != np.squeeze(expected).shape:
        yield Finding("output", "", f"{None if found is None else found.shape}")
    elif not _close(found.reshape(expected.shape), expected, slack):
        off = np.abs(found.reshape(expected.shape) - expected).max()
        yield Finding("output", "", f"off by {off:.3g} of {np.abs(expected).max():.3g}")


def _close(found: Array, expected: Array, slack: float) -> bool:
    return np.allclose(found, expected, rtol=0, atol=slack + 1e-30, equal_nan=True)


# --- Statistics ------------------------------------------------------------------------------


def _check_stats(
    drawn: Drawn, oracle: Oracle, model: micam_fast.Model, sample: Array
) -> Iterator[Finding]:
    samples = [sample, draw_sample(drawn, 1)]
    found = micam_fast.stats(model, samples, memory=2**24)
    runs = [oracle.values, oracle.run(samples[1])]
    shaken = [oracle.shaken, oracle.run(samples[1] * np.float32(1 + 1e-6))]
    for name, layer in drawn.layers.items():
        if not layer.sure or name not in {row.layer for row in found.rows}:
            continue
        row = found.of(name)
        values, moved = (channels_by_values(layer, each) for each in (runs, shaken))
        if not np.isfinite(values).all():
            continue
        if (row.channels, row.values) != (len(values), values.size):
            text = f"{row.channels} channels, {row.values} values, not {values.shape}"
            yield Finding("stats", name, text)
            continue
        expected, other = _summary(values), _summary(moved)
        for key in _STATISTICS:
            wanted = expected[key]
            slack = 1e-4 * max(abs(wanted), expected["size"]) + 10 * abs(wanted - other[key])
            slack *= expected["size"] if key == "energy" and expected["size"] > 1 else 1
            told = getattr(row, key)
            if told is None or abs(told - wanted) > slack + 1e-30:
                yield Finding("stats", name, f"{key} {told}, not {wanted}")
        yield from _check_rank(name, row, values, moved)


def _summary(values: Array) -> dict[str, float]:
    return {
        "mean": float(values.mean()), "deviation": float(values.std()),
        "low": float(values.min()), "high": float(values.max()),
        "energy": float((values**2).mean()), "size": float(np.abs(values).max()),
    }  # fmt: skip


def _check_rank(name: str, row: Any, values: Array, moved: Array) -> Iterator[Finding]:
    size = np.abs(values).max()
    if row.effective_rank is None or values.std() < 1e-3 * size or np.ptp(values) == 0:
        # Of what hardly varies, rounding is all there is.
        return
    covariance = np.atleast_2d(np.cov(values, bias=True))
    if np.sqrt(np.trace(covariance)) < 1e-3 * size:
        return
    wanted, other = reference.effective_rank(values), reference.effective_rank(moved)
    if abs(row.effective_rank - wanted) > 1e-3 * wanted + 10 * abs(wanted - other):
        yield Finding("stats", name, f"effective rank {row.effective_rank}, not {wanted}")


# --- Receptive fields ------------------------------------------------------------------------


def _check_fields(
    drawn: Drawn,
    oracle: Oracle,
    model: micam_fast.Model,
    explanation: micam_fast.Explanation,
    sample: Array,
) -> Iterator[Finding]:
    fields = FeatureFinder(model).fields(explanation, sample)
    seen = _changes(drawn, oracle, sample)
    cells, height, width = seen.pop("")
    for name, changed in seen.items():
        layer = fields.layer(name)
        if layer is None:
            yield Finding("field", name, "none, though the layer is spatial")
            continue
        if layer.size != changed.shape[1:]:
            # The map is of another size, too, which is a finding already.
            continue
        wrong = _field_fault(layer, changed, cells, (height, width), drawn.positive)
        if wrong:
            yield Finding("field", name, wrong)


def _changes(drawn: Drawn, oracle: Oracle, sample: Array) -> dict[str, Any]:
    """By layer ``(cells, h', w')``: which cells of its map change with a cell of the input."""
    first = next(iter(drawn.layers.values())).value
    assert first.channel is not None
    picture = np.moveaxis(sample, first.channel - 1, 0)
    height, width = oracle.size
    everything = list(np.ndindex(height, width))
    if drawn.positive or len(everything) <= _CELLS:
        cells = everything
    else:
        numbers = np.random.default_rng(drawn.seed)
        cells = [everything[i] for i in numbers.choice(len(everything), _CELLS, replace=False)]
    layers = {
        name: layer
        for name, layer in drawn.layers.items()
        if layer.sure and not layer.flat and layer.value.channel is not None
    }
    plain = {n: layer_map(e, oracle.values, oracle.size, "published") for n, e in layers.items()}
    changed: dict[str, list[Array]] = {name: [] for name in layers}
    for row, column in cells:
        other = picture.copy()
        place = other[..., row, column] if other.ndim > 2 else other[..., column]
        place += 1e4 if drawn.positive else 3.0
        values = oracle.run(np.moveaxis(other, 0, first.channel - 1))
        for name, layer in layers.items():
            difference = np.abs(layer_map(layer, values, oracle.size, "published") - plain[name])
            least = 1e-4 * np.abs(plain[name]).max(initial=0) + 1e-3 * difference.max(initial=0)
            changed[name].append(difference > (0 if drawn.positive else least))
    return {name: np.array(each) for name, each in changed.items()} | {"": (cells, height, width)}


def _field_fault(
    layer: Any, changed: Array, cells: list[tuple[int, int]], grid: tuple[int, int], tight: bool
) -> str | None:
    every = np.argwhere(changed.any(axis=0))
    chosen = np.random.default_rng(len(every)).permutation(len(every))[:_FOLLOWED]
    for row, column in every[chosen].tolist():
        field = layer.cell(row, column)
        rows, columns = np.zeros(grid[0], bool), np.zeros(grid[1], bool)
        for (at_row, at_column), each in zip(cells, changed, strict=True):
            if each[row, column]:
                rows[at_row] = columns[at_column] = True
        where = f"cell {row}, {column}"
        if (rows & ~field.rows).any() or (columns & ~field.columns).any():
            return f"{where} changes beside {field.row_ranges}, {field.column_ranges}"
        same = np.array_equal(rows, field.rows) and np.array_equal(columns, field.columns)
        if tight and field.exact and not same:
            return f"{where}: {field.row_ranges}, {field.column_ranges} are said to be exact"
    return None
