"""What is known of a graph for samples of one shape: sizes, and the numbers made from them.

Shape inference tells the sizes, ONNX Runtime the numbers that nodes make of shapes and constants
alone, and these tell more sizes, until nothing is new. What neither can tell is observed in a run.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx.files import OnnxFile, captured
from micam_fast.models.onnx.folding import compute
from micam_fast.models.onnx.inference import InputShapes, infer_types, shape_of
from micam_fast.models.onnx.operators import find_operator

# Real models need one round or two: sizes behind a computed Reshape, and behind the next one.
_MOST_ROUNDS = 16
# Lists of sizes, begins and axes; grids of positions need not be looked at.
_MOST_NUMBERS = 2**16


@dataclass(frozen=True)
class Facts:
    """Shapes of one run.

    Attributes
    ----------
    fed
        By graph input, with the batch.
    observed
        Of values about which shape inference knows too little, as a run had them.
    """

    fed: Mapping[str, tuple[int, ...]]
    observed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def apply_facts(
    model: OnnxFile,
    arithmetic: Sequence[onnx.NodeProto],
    activations: Collection[str],
    facts: Facts,
    settings: Mapping[str, NDArray[Any]],
) -> tuple[dict[str, onnx.TypeProto], dict[str, NDArray[Any]]]:
    """Types of all values, and the numbers that follow from shapes.

    Parameters
    ----------
    arithmetic
        The nodes that make values from shapes and constants alone, in topological order.
    activations
        Names of the values whose shapes are wanted.
    settings
        Numbers that nodes make of constants, and that sizes follow from: shape inference computes
        none itself.
    """
    numbers: dict[str, NDArray[Any]] = dict(settings)
    for _ in range(_MOST_ROUNDS):
        types = infer_types(model.proto, facts.fed, numbers)
        _observe(types, facts.observed)
        found = _compute(model, arithmetic, types, numbers)
        numbers |= found
        if not found or all(closed_shape(types.get(name)) is not None for name in activations):
            break
    for name, array in numbers.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        types[name] = onnx.helper.make_tensor_type_proto(kind, array.shape)
    return types, numbers


def closed_shape(found: onnx.TypeProto | None) -> tuple[int, ...] | None:
    """Shape of a tensor of which all sizes are known."""
    shape = None if found is None else shape_of(found)
    if shape is None or None in shape:
        return None
    return tuple(size for size in shape if size is not None)


def _observe(types: dict[str, onnx.TypeProto], shapes: InputShapes) -> None:
    """Write down observed shapes in the types."""
    for name, sizes in shapes.items():
        known = onnx.TypeProto()
        if name in types:
            known.CopyFrom(types[name])
        del known.tensor_type.shape.dim[:]
        known.tensor_type.shape.SetInParent()
        for size in sizes:
            known.tensor_type.shape.dim.add().dim_value = size
        types[name] = known


def _compute(
    model: OnnxFile,
    arithmetic: Sequence[onnx.NodeProto],
    types: Mapping[str, onnx.TypeProto],
    known: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """The numbers that the shapes lead to, beside those that are known."""
    feeds: dict[str, NDArray[Any]] = {}
    wanted: list[str] = []
    made = {name for node in arithmetic for name in node.output if name}
    there = set(known)
    for node in arithmetic:
        if all(name in known for name in node.output if name):
            continue
        if find_operator(node).measures:
            measured = _measure(node, types)
            if measured is not None:
                feeds[node.output[0]] = measured
                there.add(node.output[0])
        elif all(name in there or name not in made for name in captured(node)) and all(
            is_modest(name, types) for name in node.output if name
        ):
            wanted.extend(name for name in node.output if name)
            there.update(wanted)
    if not wanted:
        return feeds
    try:
        return feeds | compute(model, {**known, **feeds}, wanted)
    except ModelError:
        return feeds | _compute_each(model, {**known, **feeds}, wanted)


def _compute_each(
    model: OnnxFile, feeds: Mapping[str, NDArray[Any]], wanted: Iterable[str]
) -> dict[str, NDArray[Any]]:
    """One value after the other, where one of them cannot be computed."""
    found: dict[str, NDArray[Any]] = {}
    for name in wanted:
        try:
            found |= compute(model, feeds, [name])
        except ModelError:
            continue
    return found


def _measure(node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto]) -> NDArray[Any] | None:
    """What a Shape or Size gives; ``None`` where the shape is not wholly known."""
    shape = closed_shape(types.get(node.input[0]))
    if shape is None:
        return None
    sizes = np.array(shape, np.int64)
    if find_operator(node).name == "Size":
        return np.array(sizes.prod(), np.int64)
    given = {each.name: each.i for each in node.attribute}
    return sizes[given.get("start", 0) : given.get("end", len(sizes))]


def is_modest(name: str, types: Mapping[str, onnx.TypeProto]) -> bool:
    """Tell whether a value is of a known size that is worth computing."""
    shape = closed_shape(types.get(name))
    return shape is not None and math.prod(shape) <= _MOST_NUMBERS
