"""One of two models that are compared: its layers, and what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from micam_fast.analyses.differences.operations import WITHIN, family
from micam_fast.core.layers import Layer, readers_of


class Side:
    """The layers of one of two models.

    Attributes
    ----------
    layers
        By name, in topological order.
    readers
        By name: the layers that read this one.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = {layer.name: layer for layer in layers}
        self.readers = readers_of(layers)

    def next_within(
        self, name: str, taken: Iterable[str], function: str | None = None
    ) -> str | None:
        """The function that alone reads a layer, where it has no counterpart of its own.

        It may be one that files commonly hold within the layer before, or the one given.
        """
        readers = self.readers[name]
        if len(readers) != 1 or readers[0] in taken:
            return None
        layer = self.layers[readers[0]]
        known = family(layer) in WITHIN or family(layer) == function
        return layer.name if known and len(layer.inputs) == 1 else None

    def source(self, name: str, taken: Iterable[str]) -> str:
        """The layer itself; for functions without a counterpart, what these are computed of."""
        while name not in taken:
            layer = self.layers[name]
            if family(layer) not in WITHIN or len(layer.inputs) != 1:
                break
            name = layer.inputs[0]
        return name
