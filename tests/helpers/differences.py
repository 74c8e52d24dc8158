"""Explanations made by hand, and what they differ in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper

from micam_fast import Explanation, load_model
from micam_fast.analyses.differences import Difference, diff
from micam_fast.core.layers import Layer
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.maps.layer_map import LayerMap
from tests.helpers import models
from tests.helpers.pictures import layer_map
from tests.helpers.small_diagram import LAYERS, NAMES


def explanation_of(
    maps: Mapping[str, LayerMap], *, model: str = "net", input_size: tuple[int, int] = (2, 2)
) -> Explanation:
    """An explanation whose layers are these, one after the other."""
    names = list(maps)
    layers = tuple(
        Layer(name, "Conv", "Conv", tuple(names[place - 1 : place] if place else ()))
        for place, name in enumerate(names)
    )
    return Explanation(maps, (0.0, 1.0), None, None, input_size, ModelDiagram(model, layers))


def other_net() -> onnx.ModelProto:
    """`models.conv_net` up to its pool, without pads, and a layer of its own."""
    nodes = [
        models.conv_node("conv", "x", "w", "b"),
        helper.make_node("Relu", ["conv:0"], ["relu:0"], name="relu"),
        helper.make_node("Sigmoid", ["relu:0"], ["own:0"], name="own"),
        helper.make_node("GlobalAveragePool", ["own:0"], ["gpool:0"], name="gpool"),
        helper.make_node("Flatten", ["gpool:0"], ["flatten:0"], name="flatten"),
    ]
    constants = {"w": models.random_array(3, 4, 1, 3, 3), "b": models.random_array(4, 4)}
    inputs: dict[str, list[Any]] = {"x": ["batch", 1, 8, 6]}
    return models.make_model(nodes, inputs, ["flatten:0"], constants, name="other")


def two_models() -> Difference:
    sample = models.random_array(1, 1, 8, 6)
    return diff(*(load_model(each).explain(sample) for each in (models.conv_net(), other_net())))


def side(
    maps: Mapping[str, LayerMap],
    *,
    sample: str = "",
    model: str = "net",
    layers: tuple[Layer, ...] = LAYERS,
    input_size: tuple[int, int] = (4, 4),
) -> Explanation:
    return Explanation(
        maps, (0.0, 1.0), None, None, input_size, ModelDiagram(model, layers), sample
    )


def maps_of(seed: int, *names: str, size: tuple[int, int] = (4, 4)) -> dict[str, LayerMap]:
    rng = np.random.default_rng(seed)
    return {name: layer_map(rng.standard_normal(size)) for name in names or NAMES}


def one_layer(a: ArrayLike, b: ArrayLike, layer: Layer | None = None) -> Difference:
    layer = layer or Layer("conv", "Conv", "Conv")
    sides = (side({layer.name: layer_map(cam)}, layers=(layer,)) for cam in (a, b))
    return diff(*sides)
