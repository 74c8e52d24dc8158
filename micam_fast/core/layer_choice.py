"""Which layers a user asks for: names, patterns, and all between two layers."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence

from micam_fast.core.errors import LayerSelectionError
from micam_fast.core.layers import Layer, readers_of


def match_layers(layers: Sequence[Layer], patterns: str | Iterable[str]) -> frozenset[str]:
    """Names of the layers that any of the shell patterns matches.

    Parameters
    ----------
    layers
        The model's layers.
    patterns
        Names or patterns (``*``, ``?``, ``[...]``), comma-separated in a string. A name that
        equals a pattern to the letter matches even if it holds such characters. A pattern that
        matches no name is held against the names of ONNX nodes.

    Raises
    ------
    LayerSelectionError
        If a pattern matches no layer; the message shows the nearest names.
    """
    names, nodes = _names_by(layers)
    if isinstance(patterns, str):
        whole = patterns in names or patterns in nodes
        patterns = [patterns] if whole else patterns.split(",")
    chosen: set[str] = set()
    for text in patterns:
        found = _match(text, names) or _match(text, nodes)
        if not found:
            raise LayerSelectionError(_no_such_layer(text.strip(), list(names)))
        chosen.update(found)
    return frozenset(chosen)


def _names_by(layers: Sequence[Layer]) -> tuple[dict[str, str], dict[str, str]]:
    """Names of layers, by these names and by those of their ONNX nodes."""
    nodes = {layer.onnx_name: layer.name for layer in layers if layer.onnx_name is not None}
    return {layer.name: layer.name for layer in layers}, nodes


def _match(pattern: str, names: Mapping[str, str]) -> list[str]:
    """The layers whose names a pattern matches, by these names."""
    # A name may begin or end with blanks; around a pattern they mean nothing.
    for exact in (pattern, pattern.strip()):
        if exact in names:
            return [names[exact]]
    return [names[each] for each in fnmatch.filter(names, pattern.strip())]


LayerChoice = str | Iterable[str] | Callable[[Sequence[Layer]], Iterable[str]] | None
"""Names or patterns of layers, or a function that picks names among all layers."""


def choose_layers(layers: Sequence[Layer], choice: LayerChoice) -> frozenset[str]:
    """Names of the layers that are chosen; all without a choice.

    Raises
    ------
    LayerSelectionError
        If a pattern matches no layer, or none is chosen.
    """
    if choice is None:
        return frozenset(layer.name for layer in layers)
    chosen = match_layers(layers, choice(layers) if callable(choice) else choice)
    if not chosen:
        raise LayerSelectionError("no layer is left to map")
    return chosen


def layers_between(layers: Sequence[Layer], start: str | None, stop: str | None) -> frozenset[str]:
    """Names of the layers on the ways from `start` to `stop`, both included.

    Without `start` the ways begin at the model's inputs, without `stop` they end at its outputs.

    Raises
    ------
    LayerSelectionError
        If a name is no layer, or no way leads from `start` to `stop`.
    """
    names = [layer.name for layer in layers]
    start, stop = (None if name is None else _one_layer(layers, name) for name in (start, stop))
    parents = {layer.name: layer.inputs for layer in layers}
    children = readers_of(layers)
    chosen = frozenset(names)
    if start is not None:
        chosen &= _reachable(start, children)
    if stop is not None:
        chosen &= _reachable(stop, parents)
    if not chosen:
        raise LayerSelectionError(f"no way leads from layer {start!r} to layer {stop!r}")
    return chosen


def _one_layer(layers: Sequence[Layer], name: str) -> str:
    """A layer by its own name or its ONNX node's."""
    names, nodes = _names_by(layers)
    found = names.get(name) or nodes.get(name)
    if found is None:
        raise LayerSelectionError(_no_such_layer(name, list(names)))
    return found


def _reachable(name: str, neighbours: Mapping[str, Sequence[str]]) -> frozenset[str]:
    seen = {name}
    waiting = [name]
    while waiting:
        fresh = [near for near in neighbours[waiting.pop()] if near not in seen]
        seen.update(fresh)
        waiting.extend(fresh)
    return frozenset(seen)


def _no_such_layer(pattern: str, names: Sequence[str]) -> str:
    lowered = {name.lower(): name for name in names}
    bare = pattern.strip("*?").lower()
    near = [lowered[key] for key in difflib.get_close_matches(bare, lowered, n=3, cutoff=0.4)]
    hint = f"near names: {', '.join(near)}" if near else f"the first layers: {', '.join(names[:3])}"
    return f"no layer matches {pattern!r} ({hint}; 'micam-fast layers MODEL' lists all)"
