"""Which layer of B is which of A: by their names, or by what they do and read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from micam_fast.analyses.differences.numbered import find_doubted, pair_in_modules
from micam_fast.analyses.differences.operations import (
    WITHIN,
    family,
    function_of,
    kernel_size,
)
from micam_fast.analyses.differences.sides import Side
from micam_fast.core.choices import Match
from micam_fast.core.layers import Layer

# What a quantizing tool appends to the names of nodes and values, onnxruntime's above all; behind
# it may stand which output is meant.
_APPENDED = re.compile(
    r"(_quant|_quantized|_QuantizeLinear|_DequantizeLinear|_Output|_Input|_output_quantized)+"
    r"(?=(:\d+)?$)"
)
# Its Gemm of dynamic codes is a product and a sum.
_OF_GEMM = "_MatMul"


@dataclass
class Matching:
    """Which layer of B is which of A.

    Attributes
    ----------
    pairs
        Name in B by name in A.
    within
        Of a layer that is computed within a later one on the other side: that one's name in A, by
        the layer's name in A, and in B by its name in B.
    starts
        Where A's or B's layer of a pair stands for several: the first of them, by A's name.
    """

    pairs: dict[str, str] = field(default_factory=dict)
    within: tuple[dict[str, str], dict[str, str]] = field(default_factory=lambda: ({}, {}))
    starts: dict[str, tuple[str, str]] = field(default_factory=dict)


def match_layers(a: Sequence[Layer], b: Sequence[Layer], match: Match = "name") -> Matching:
    """Find B's layer for each of A's.

    Parameters
    ----------
    a, b
        The layers, in topological order.
    match
        ``"name"``: those of the same name, where what a quantizing tool appends does not count;
        then those of one operation in one module, in their order. Numbers of one operation in one
        module count only where sizes and neighbours allow it.
        ``"structure"``: those of the same operation that read layers that are matched, or are read
        by such, from the inputs on; of several the one with the same kernel shape or name. Those
        that remain alike are not matched.
    """
    sides = Side(a), Side(b)
    pairs = _by_structure(*sides) if match == "structure" else _by_name(*sides)
    return _with_functions(*sides, pairs)


def _by_name(a: Side, b: Side) -> dict[str, str]:
    doubted = find_doubted(a, b)
    ours, theirs = (
        {name: layer for name, layer in side.layers.items() if name not in left}
        for side, left in zip((a, b), doubted, strict=True)
    )
    pairs = {name: name for name in ours if name in theirs}
    steps: tuple[tuple[Callable[[Layer], str], Callable[[Layer], str]], ...] = (
        (lambda layer: layer.name, _bare),
        (_bare, lambda layer: layer.name),
        (_bare, _bare),
        (lambda layer: layer.name, _of_gemm),
        (_of_gemm, lambda layer: layer.name),
    )
    for of_a, of_b in steps:
        left_a = (layer for name, layer in ours.items() if name not in pairs)
        taken = set(pairs.values())
        left_b = (layer for name, layer in theirs.items() if name not in taken)
        ones, others = _only(left_a, of_a), _only(left_b, of_b)
        pairs |= {one: others[key] for key, one in ones.items() if key in others}
    return pairs | pair_in_modules(a, b, pairs)


def _bare(layer: Layer) -> str:
    return _APPENDED.sub("", layer.name) or layer.name


def _of_gemm(layer: Layer) -> str:
    name = _bare(layer)
    return name.removesuffix(_OF_GEMM) if family(layer) == "MatMul" else name


def _only(layers: Iterable[Layer], key: Callable[[Layer], object]) -> dict[object, str]:
    """Names by key, of the keys that one layer has."""
    found: defaultdict[object, list[str]] = defaultdict(list)
    for layer in layers:
        found[key(layer)].append(layer.name)
    return {each: names[0] for each, names in found.items() if len(names) == 1}


def _by_structure(a: Side, b: Side) -> dict[str, str]:
    inputs = ([n for n, e in side.layers.items() if family(e) == "Input"] for side in (a, b))
    pairs = dict(zip(*inputs, strict=False))
    while True:
        before = len(pairs)
        _match_alike(a, b, pairs, _read_by)
        _match_alike(a, b, pairs, _readers_of)
        if len(pairs) == before:
            return pairs | _functions_between(a, b, pairs)


def _functions_between(a: Side, b: Side, pairs: dict[str, str]) -> dict[str, str]:
    """Match functions of which one side alone knows what they do.

    Nothing else stands between the layers around them.
    """
    same_b = {name: name for name in pairs.values()}
    found = {}
    for name, layer in a.layers.items():
        place = _read_by(a, layer, pairs), _readers_of(a, layer, pairs)
        if name in pairs or None in place or family(layer) not in WITHIN:
            continue
        others = [
            other
            for other, each in b.layers.items()
            if other not in same_b
            and family(each) in WITHIN
            and (_read_by(b, each, same_b), _readers_of(b, each, same_b)) == place
        ]
        if len(others) == 1 and "Activation" in (family(layer), family(b.layers[others[0]])):
            found[name] = others[0]
    ones = Counter(found.values())
    return {name: other for name, other in found.items() if ones[other] == 1}


_Around = Callable[[Side, Layer, Mapping[str, str]], frozenset[str] | None]


def _match_alike(a: Side, b: Side, pairs: dict[str, str], around: _Around) -> None:
    """Match layers of one operation in the same surroundings; each match makes more of them."""
    forward = around is _read_by
    order = list(a.layers.values())
    for layer in order if forward else order[::-1]:
        if layer.name in pairs:
            continue
        same_b = {name: name for name in pairs.values()}
        wanted = around(a, layer, pairs)
        if wanted is None:
            continue
        rivals, found = (
            [
                each
                for name, each in side.layers.items()
                if name not in known
                and _walks(each) == _walks(layer)
                and around(side, each, known) == wanted
            ]
            for side, known in ((a, pairs), (b, same_b))
        )
        for key in (_walks, _kernel_of, lambda each: (_kernel_of(each), _bare(each))):
            ones, others = _only(rivals, key), _only(found, key)
            if ones.get(key(layer)) == layer.name and key(layer) in others:
                pairs[layer.name] = others[key(layer)]
                break


def _read_by(side: Side, layer: Layer, pairs: Mapping[str, str]) -> frozenset[str] | None:
    """What a layer reads, by the names in B; ``None`` where some of it is not matched."""
    sources = [pairs.get(side.source(name, pairs)) for name in layer.inputs]
    known = [name for name in sources if name is not None]
    return frozenset(known) if known and len(known) == len(sources) else None


def _readers_of(side: Side, layer: Layer, pairs: Mapping[str, str]) -> frozenset[str] | None:
    """What reads a layer, by the names in B; ``None`` where some of it is not matched."""
    name: str | None = layer.name
    while name is not None:
        last, name = name, side.next_within(name, pairs)
    readers = [pairs.get(each) for each in side.readers[last]]
    known = [each for each in readers if each is not None]
    return frozenset(known) if len(known) == len(readers) else None


def _walks(layer: Layer) -> object:
    """The operation, and how far a kernel reaches."""
    kernel = kernel_size(layer)
    reach = kernel[2:] if kernel is not None and family(layer) == "Conv" else None
    return family(layer), reach


def _kernel_of(layer: Layer) -> object:
    return family(layer), kernel_size(layer)


def _with_functions(a: Side, b: Side, pairs: dict[str, str]) -> Matching:
    """Match the last of a layer and its functions with the layer that holds them within.

    A tool that quantizes leaves out a Relu where the codes hold nothing below 0, and another one
    folds a normalization into the convolution. What the next layers read shows it.
    """
    found = Matching()
    taken = set(pairs.values())
    for one, other in pairs.items():
        wanted = {pairs.get(name) for name in a.readers[one]}
        last_a, last_b = one, other
        # Only one operation may have a function more or less.
        alike = family(a.layers[one]) == family(b.layers[other])
        if alike and (None in wanted or wanted != set(b.readers[other])):
            last_a, last_b = _end(a, b, pairs, taken, one, other)
        found.pairs[last_a] = last_b
        if (last_a, last_b) != (one, other):
            found.starts[last_a] = one, other
        for side, end, start, ours in ((a, last_a, one, 0), (b, last_b, other, 1)):
            while start != end:
                found.within[ours][start] = end
                start = side.readers[start][0]
    return found


def _end(
    a: Side, b: Side, pairs: Mapping[str, str], taken: set[str], one: str, other: str
) -> tuple[str, str]:
    """The last function behind one of two layers that is read as the other layer is."""
    holds = function_of(b.layers[other])
    name = a.next_within(one, pairs, holds)
    while name is not None:
        if {pairs.get(each) for each in a.readers[name]} == set(b.readers[other]):
            return name, other
        name = a.next_within(name, pairs, holds)
    theirs = {pairs.get(each) for each in a.readers[one]}
    holds = function_of(a.layers[one])
    name = b.next_within(other, taken, holds)
    while name is not None:
        if set(b.readers[name]) == theirs:
            return one, name
        name = b.next_within(name, taken, holds)
    return one, other
