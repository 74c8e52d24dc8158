"""Layers of known networks (``tools/network_layers.py``): names, classes, sizes, edges."""

from __future__ import annotations

import functools
import json
import lzma
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from micam_fast.core.layers import Layer
from micam_fast.diagrams.nodes import Node, draw_nodes
from tests.helpers.places import DATA

FILE = DATA / "networks.json.xz"


@functools.cache
def _contents() -> dict[str, list[list[Any]]]:
    return dict(json.loads(lzma.decompress(FILE.read_bytes())))


def network_names() -> list[str]:
    """Names of Keras' applications, and of small networks of PyTorch."""
    return sorted(_contents())


def network_layers(name: str) -> tuple[Layer, ...]:
    """The layers of a network, as far as blocks depend on them."""
    layers: list[Layer] = []
    for title, label, inputs, shape, kernel, cluster, is_keras in _contents()[name]:
        read = [layers[place] for place in inputs]
        layers.append(
            Layer(
                title,
                label.partition("(")[0],
                label,
                tuple(layer.name for layer in read),
                tuple(layer.output_shape for layer in read),
                None if shape is None else tuple(shape),
                None if kernel is None else tuple(kernel),
                cluster=tuple(cluster),
                onnx_name=None if is_keras else title,
            )
        )
    return tuple(layers)


def network_nodes(name: str, *, bare: bool = False) -> tuple[Node, ...]:
    """Its nodes; those of a `bare` one have names that tell nothing."""
    layers = network_layers(name)
    return nodes_of(without_names(layers) if bare else layers)


def nodes_of(layers: Sequence[Layer]) -> tuple[Node, ...]:
    """A node for each layer; all have maps."""
    return draw_nodes(layers, {layer.name for layer in layers})


def without_names(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The same layers, numbered."""
    names = {layer.name: f"n{number}" for number, layer in enumerate(layers)}
    return tuple(
        replace(
            layer,
            name=names[layer.name],
            inputs=tuple(names[read] for read in layer.inputs),
            cluster=(),
        )
        for layer in layers
    )


def renew(name: str, layers: Sequence[Layer]) -> int:
    """Write a network's layers into the file, and tell its size."""
    places = {layer.name: place for place, layer in enumerate(layers)}
    contents = _contents() if FILE.exists() else {}
    contents[name] = [
        [
            layer.name,
            layer.class_label,
            [places[read] for read in layer.inputs],
            layer.output_shape,
            layer.kernel_shape,
            layer.cluster,
            layer.onnx_name is None,
        ]
        for layer in layers
    ]
    text = json.dumps(dict(sorted(contents.items())), separators=(",", ":"))
    return FILE.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
