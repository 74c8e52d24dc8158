"""A model on its way to workers: all that opens the same one there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import onnx

from micam_fast.core.errors import ClusterError, SampleError
from micam_fast.core.machine import quarter_of_memory
from micam_fast.core.prediction import PredictionChoice
from micam_fast.engine.loaded_model import LoadedModel
from micam_fast.engine.onnx_runtime import DEFAULT_PROVIDERS
from micam_fast.engine.sessions import LARGEST_MESSAGE
from micam_fast.engine.untouched import Outcome
from micam_fast.models.onnx import OnnxFile
from micam_fast.models.onnx.files import tensors, whole_tensor

Item = TypeVar("Item")
ChunkWork = Callable[[LoadedModel, Any], Any]
"""Takes the opened model and a chunk; can be pickled. Several run at a time."""


@dataclass(frozen=True, eq=False)
class Shipment:
    """What a worker is sent once for a run.

    Attributes
    ----------
    content
        The ONNX model with all its weights.
    original
        What its file says, where that is something else, see `OnnxFile`.
    name, identity
        Of the model.
    mapped
        Layers that get a map.
    prediction
        What the user says of the prediction.
    providers, memory
        As `load_model` takes them; ``None`` for what a worker has by itself.
    outcomes
        What is known of the model against its own file, so that no worker need find it out.
    work
        What is done with each chunk.
    """

    content: bytes
    original: bytes | None
    name: str
    identity: str | None
    mapped: frozenset[str]
    prediction: PredictionChoice
    providers: tuple[Any, ...] | None
    memory: int | None
    outcomes: dict[str, Outcome]
    work: ChunkWork

    def open(self, threads: int, memory_limit: int | None) -> LoadedModel:
        """Open the model on a worker; a quarter of the worker's bytes are for activations."""
        by_itself = quarter_of_memory() if memory_limit is None else memory_limit // 4
        proto = onnx.ModelProto.FromString(self.content)
        original = None
        if self.original is not None:
            original = onnx.ModelProto.FromString(self.original)
        model = LoadedModel(
            OnnxFile(proto, self.name, None, original=original),
            layers=lambda layers: self.mapped,
            threads=threads,
            providers=self.providers,
            memory=self.memory or by_itself,
            prediction=self.prediction,
            identity=self.identity,
        )
        model.outcomes.update(self.outcomes)
        return model


def pack(model: LoadedModel, work: ChunkWork) -> Shipment:
    """Get a model ready for workers.

    Raises
    ------
    ClusterError
        If it is too large for one message.
    """
    proto = model.file.proto
    size = proto.ByteSize()
    if any(map(_is_external, tensors(proto.graph))):
        proto = onnx.ModelProto()
        proto.CopyFrom(model.file.proto)
        for tensor in filter(_is_external, tensors(proto.graph)):
            filled = whole_tensor(tensor, model.file)
            size += len(filled.raw_data)
            _check_size(model, size)
            tensor.CopyFrom(filled)
    _check_size(model, size)
    providers, memory = tuple(model.providers), model.memory
    original = model.file.original
    return Shipment(
        content=proto.SerializeToString(),
        original=None if original is None else original.SerializeToString(),
        name=model.name,
        identity=model.identity,
        mapped=model.mapped,
        prediction=model.prediction,
        providers=None if providers == DEFAULT_PROVIDERS else providers,
        # The default of this machine is not that of another one.
        memory=None if memory == quarter_of_memory() else memory,
        outcomes=dict(model.outcomes),
        work=work,
    )


def compare_first(
    model: LoadedModel, samples: Iterable[Item], arrays_of: Callable[[Item], Any]
) -> Iterator[Item]:
    """Compare a model with its own file by the first sample, and give all samples back.

    A sample that does not fit, or that ONNX Runtime cannot run, leaves that to a worker.
    """
    rest = iter(samples)
    first = list(itertools.islice(rest, 1))
    for sample in first:
        arrays = model.fit(arrays_of(sample))
        if not isinstance(arrays, SampleError):
            with suppress(SampleError):
                model.find_graph(arrays)
    return itertools.chain(first, rest)


def _is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == onnx.TensorProto.EXTERNAL


def _check_size(model: LoadedModel, size: int) -> None:
    if size > LARGEST_MESSAGE:
        raise ClusterError(
            f"model {model.name!r} has {size / 2**30:.1f} GiB with its weights; workers can be "
            "sent up to 2 GiB: run it on one machine"
        )
