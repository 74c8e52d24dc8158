"""What an earlier process read of a model.

The layers of a model are kept by all that they are read from: its graph, its small constants, and
those large ones that the reading looked at (scales of a few quantized models). It looks at no other
weights, and neither does the key: at 2 GB/s, a digest of a ResNet-50 takes 47 ms and one of a
LeNet-5 of 824 MB 0.4 s, where reading their layers takes 20 ms and 5 ms. For that reason summed
kernels are not kept at all; they are 37 ms of that ResNet-50.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from micam_fast.core.json_records import try_record
from micam_fast.core.plan_cache import PlanFiles, plan_key
from micam_fast.models.onnx.annotations import METADATA_KEY
from micam_fast.models.onnx.facts import Facts
from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.inference import bare_model
from micam_fast.models.onnx.layer_names import MODULES_KEY
from micam_fast.models.onnx.limits import reading
from micam_fast.models.onnx.model_graph import ModelGraph, Reading
from micam_fast.models.onnx.reader import find_text, read_layers

# Constants in a model's nodes are part of its graph; with many of them a digest takes too long.
_LARGEST_GRAPH = 2**24


@dataclass(frozen=True)
class _KeptReading:
    """Layers, and digests of the large constants that they were read from."""

    reading: Reading
    constants: dict[str, str]


Observe = Callable[[Sequence[str]], Mapping[str, tuple[int, ...]]]
"""Tells the shapes that values have in a run, of those that it can."""


def find_layers(
    model: OnnxFile,
    files: PlanFiles,
    *,
    facts: Facts | None = None,
    like: Reading | None = None,
    observe: Observe | None = None,
) -> ModelGraph:
    """The layers of a model, as `read_layers` finds them, or found them earlier.

    Parameters
    ----------
    facts, like
        As `read_layers` takes them.
    observe
        Is asked for shapes that inference cannot tell, if there are any, and facts are given.
        Without it these stay unknown, and what was found is not kept: a run will tell more.

    Raises
    ------
    ModelError
        As `read_layers` does.
    """
    with reading(model.name):
        key = _find_key(model, facts)
        kept: _KeptReading | None = None
        if key is not None:
            kept = try_record(_KeptReading, files.load(plan_key(key)))
        if kept is not None:
            known = ModelGraph(model, kept.reading, key=key)
            held, digest = known.constants.held, known.constants.digest
            if all(n in held and digest(n) == each for n, each in kept.constants.items()):
                return known
        found = read_layers(model, facts, like)
        found.key = key
        if facts is not None and found.reading.open_values:
            if observe is None:
                return found
            observed = {**facts.observed, **observe(found.reading.open_values)}
            found = read_layers(model, replace(facts, observed=observed), like)
            found.key = key
        if key is not None:
            digests = {n: found.constants.digest(n) for n in sorted(found.constants.read)}
            files.keep(plan_key(key), _KeptReading(found.reading, digests))
        return found


def _find_key(model: OnnxFile, facts: Facts | None) -> bytes | None:
    """All that layers are read from, as a digest; ``None`` where that takes too long."""
    bare, graph = bare_model(model.proto), model.proto.graph
    if bare.ByteSize() > _LARGEST_GRAPH:
        return None
    sparse = [(each.values.name, list(each.dims)) for each in graph.sparse_initializer]
    fed = None if facts is None else sorted(facts.fed.items())
    digest = hashlib.sha256(bare.SerializeToString(deterministic=True))
    told = [find_text(model, key) for key in (METADATA_KEY, MODULES_KEY)]
    digest.update(repr((sparse, told, model.proto.producer_name, fed)).encode())
    return b"layers" + digest.digest()
