"""The layers that a poster points at."""

from __future__ import annotations

import numpy as np
import pytest

from micam_fast.core.layers import Layer
from micam_fast.diagrams.nodes import Node, draw_nodes
from micam_fast.diagrams.poster.markers import find_markers
from micam_fast.maps.layer_map import LayerMap
from tests.helpers.posters import layer_map

GRADIENT = np.add.outer(np.arange(32.0), np.zeros(32)) + 1


def network(*op_types: str) -> tuple[Node, ...]:
    layers = [Layer("image", "Input", "Input")]
    for number, op_type in enumerate(op_types):
        layers.append(Layer(f"l{number}", op_type, op_type, (layers[-1].name,)))
    return draw_nodes(layers, [layer.name for layer in layers])


def told(nodes: tuple[Node, ...], maps: dict[str, LayerMap]) -> dict[str, tuple[str, str]]:
    return {m.letter: (nodes[m.place].key, m.text) for m in find_markers(nodes, maps)}


def test_largest_smallest_and_least_alike() -> None:
    nodes = network("Relu", "Conv", "Relu")
    maps = {
        "image": layer_map(1000 * GRADIENT),
        "l0": layer_map(GRADIENT),
        "l1": layer_map(GRADIENT.T - 50),
        "l2": layer_map(GRADIENT.T + 40),
    }
    assert told(nodes, maps) == {
        "A": ("l2", "largest 72.0"),
        "B": ("l1", "smallest -49.0"),
        "C": ("l1", "least like what it reads"),
    }


def test_the_sign_does_not_make_maps_unlike() -> None:
    nodes = network("Conv", "Conv")
    maps = {
        "image": layer_map(GRADIENT),
        "l0": layer_map(-GRADIENT),
        "l1": layer_map(-GRADIENT + np.sin(GRADIENT.T)),
    }
    assert told(nodes, maps)["C"][0] == "l1"


@pytest.mark.parametrize("op_type", ["Pad", "Identity", "Reshape"])
def test_copies_and_pads_are_no_find(op_type: str) -> None:
    nodes = network("Conv", op_type)
    maps = {
        "image": layer_map(GRADIENT),
        "l0": layer_map(GRADIENT**2),
        "l1": layer_map(GRADIENT.T),
    }
    assert told(nodes, maps)["C"][0] == "l0"


def test_maps_of_other_sizes_are_compared_by_place() -> None:
    nodes = network("MaxPool", "Conv")
    maps = {
        "image": layer_map(GRADIENT),
        "l0": layer_map(GRADIENT[::2, ::2]),
        "l1": layer_map(GRADIENT.T[::4, ::4]),
    }
    assert told(nodes, maps)["C"][0] == "l1"


def test_lists_and_maps_that_hardly_vary_are_not_compared() -> None:
    nodes = network("Conv", "Flatten")
    maps = {
        "image": layer_map(GRADIENT),
        "l0": layer_map(np.full((32, 32), 3.0)),
        "l1": layer_map(GRADIENT, flat=True),
    }
    assert "C" not in told(nodes, maps)


def test_a_layer_that_reads_two_is_as_alike_as_the_nearer_one() -> None:
    layers = [
        Layer("image", "Input", "Input"),
        Layer("a", "Conv", "Conv", ("image",)),
        Layer("b", "Conv", "Conv", ("a",)),
        Layer("sum", "Add", "Add", ("a", "b")),
    ]
    nodes = draw_nodes(layers, [layer.name for layer in layers])
    other = np.sin(GRADIENT) + np.cos(GRADIENT.T)
    maps = {
        "image": layer_map(GRADIENT),
        "a": layer_map(GRADIENT),
        "b": layer_map(other),
        "sum": layer_map(other),
    }
    assert told(nodes, maps)["C"][0] == "b"


def test_no_layer_that_is_finite_is_no_marker() -> None:
    nodes = network("Conv")
    bad = layer_map(GRADIENT)
    vars(bad)["bad_values"] = 3
    assert find_markers(nodes, {"image": layer_map(GRADIENT), "l0": bad}) == []
