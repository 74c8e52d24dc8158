"""What an earlier process read of a model.

The layers of a model are kept by all that they are read from: its graph, its small constants, and
those large ones that the reading looked at (scales of a few quantized models). It looks at no other
weights, and neither does the key: at 2 GB/s, a digest of a ResNet-50 takes 47 ms and one of a
LeNet-5 of 824 MB 0.4 s, where reading their layers takes 20 ms and 5 ms. For that reason summed
kernels are not kept at all; they are 37 ms of that ResNet-50.
"""

from __future__ import annotations

from dataclasses import dataclass

from micam_fast.core.json_records import try_record
from micam_fast.core.plan_cache import PlanFiles, plan_key
from micam_fast.models.onnx.files import OnnxFile
from micam_fast.models.onnx.inference import bare_model
from micam_fast.models.onnx.limits import reading
from micam_fast.models.onnx.model_graph import ModelGraph, Reading
from micam_fast.models.onnx.reader import find_notes, name_unused_outputs, read_layers

# Constants in a model's nodes are part of its graph; with many of them a digest takes too long.
_LARGEST_GRAPH = 2**24


@dataclass(frozen=True)
class _KeptReading:
    """Layers, and digests of the large constants that they were read from."""

    reading: Reading
    constants: dict[str, str]


def find_layers(model: OnnxFile, files: PlanFiles) -> ModelGraph:
    """The layers of a model, as `read_layers` finds them, or found them earlier.

    Raises
    ------
    ModelError
        As `read_layers` does.
    """
    with reading(model.name):
        # A run needs the names, whoever finds the layers.
        name_unused_outputs(model)
        bare, graph = bare_model(model.proto), model.proto.graph
        if bare.ByteSize() > _LARGEST_GRAPH:
            return read_layers(model)
        sparse = [(each.values.name, list(each.dims)) for each in graph.sparse_initializer]
        content = bare.SerializeToString(deterministic=True)
        key = plan_key(b"layers", content, repr((sparse, find_notes(model))).encode())
        kept: _KeptReading | None = try_record(_KeptReading, files.load(key))
        if kept is not None:
            known = ModelGraph(model, kept.reading)
            held, digest = known.constants.held, known.constants.digest
            if all(n in held and digest(n) == each for n, each in kept.constants.items()):
                return known
        found = read_layers(model)
        digests = {n: found.constants.digest(n) for n in sorted(found.constants.read)}
        files.keep(key, _KeptReading(found.reading, digests))
        return found
