"""Activations of every layer, sample by sample, to those who need more of them than a map."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.activation_axes import view_activation
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Layer
from micam_fast.engine.batch_arrays import Batching
from micam_fast.engine.sessions import Sessions, SharedSessions
from micam_fast.engine.shaped_graphs import FindGraph
from micam_fast.engine.threads import working
from micam_fast.engine.workspaces import SharedMemory, Workspace
from micam_fast.maps.bounds import check_has_frame, check_single_frame
from micam_fast.models.onnx import ModelGraph, OnnxFile
from micam_fast.samples import Arrays

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class LayerActivation:
    """A layer's activation for one sample.

    Attributes
    ----------
    layer
        The layer's name.
    array
        float32, channels first: ``(C, *space)``, of a recurrent layer directions times hidden units
        as channels; ``(N,)`` for a flat layer. The mean over what the batch axis holds beside the
        sample, frames, windows or pairs, or the one that was asked for.
    source_shape
        Shape of the ONNX value that the layer's convolution reads, where that was asked for.
    copies
        How many of them there are.
    whole
        ``(n, C, *space)`` or ``(n, N)``: each of them; ``None`` where there is one, or one was
        asked for.
    doubt, frame
        As in `LayerMap`.
    sized
        The layer's record, with the sizes of this run.
    """

    layer: str
    array: NDArray[np.float32]
    source_shape: tuple[int, ...] | None = None
    copies: int = 1
    whole: NDArray[np.float32] | None = None
    doubt: str | None = None
    sized: Layer | None = None
    frame: int | None = None

    @property
    def flat(self) -> bool:
        """Whether the layer has neither channels nor space."""
        return self.array.ndim == 1

    @property
    def values(self) -> NDArray[np.float32]:
        """All values ``(C, P)`` of each channel; those of each copy are positions of their own."""
        found = self.array if self.whole is None else np.moveaxis(self.whole, 0, 1)
        return np.ascontiguousarray(found.reshape(len(self.array), -1))


Take = Callable[[int, int, Iterator[LayerActivation] | SampleError], Result]
"""Takes a sample's index, its slot, and its activations or why there are none."""


class ActivationStream:
    """Runs a model for the activations of some layers.

    Each sample runs alone, in a session of one thread, as many side by side as there are threads:
    numbers do not depend on a sample's neighbours, and a model need not be proved to take batches.
    The activations of all threads of a stream take at most `memory` bytes at a time; with `sources`
    shapes of what convolutions read are asked for, too. With a `frame`, only that one of what is
    folded into an activation is given.
    """

    def __init__(
        self,
        file: OnnxFile,
        graph: ModelGraph,
        find_graph: FindGraph,
        names: frozenset[str],
        *,
        threads: int,
        providers: Sequence[Any],
        memory: int,
        sources: bool = False,
        frame: int | None = None,
    ) -> None:
        self._chosen = [layer.name for layer in graph.layers if layer.name in names]
        self._find_graph, self._with_sources, self._frame = find_graph, sources, frame
        self._shared = SharedSessions(file, providers=providers, memory=memory)
        self._batching = Batching(graph)
        self.threads, self._memory = threads, memory
        # The last stream leaves its own to the next; streams side by side share none.
        self._idle: deque[tuple[list[Workspace], SharedMemory]] = deque(maxlen=1)

    def stream(
        self, samples: Iterable[Arrays | SampleError], then: Take[Result]
    ) -> Iterator[Result | SampleError]:
        """Run samples; see `Model.activations`."""
        pending: deque[Future[Result | SampleError]] = deque()
        with self._workspaces() as (workspaces, shared), ExitStack() as stack:
            slots = [stack.enter_context(ThreadPoolExecutor(1)) for _ in workspaces]
            try:
                for index, sample in enumerate(samples):
                    slot = index % len(slots)
                    workspace, submit = workspaces[slot], slots[slot].submit
                    pending.append(submit(self._run, index, slot, sample, workspace, shared, then))
                    if len(pending) > len(slots):
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for waiting in pending:
                    waiting.cancel()

    @contextmanager
    def _workspaces(self) -> Iterator[tuple[list[Workspace], SharedMemory]]:
        """A workspace for each slot, that no other stream has, and the memory that they share."""
        try:
            found = self._idle.pop()
        except IndexError:
            found = [Workspace(1) for _ in range(self.threads)], SharedMemory(self._memory)
        try:
            yield found
        finally:
            self._idle.append(found)

    def _run(
        self,
        index: int,
        slot: int,
        sample: Arrays | SampleError,
        workspace: Workspace,
        shared: SharedMemory,
        then: Take[Result],
    ) -> Result | SampleError:
        try:
            with working():
                if isinstance(sample, SampleError):
                    return then(index, slot, sample)
                graph = self._find_graph(sample)
                sessions = self._sessions(graph)
                feeds = self._batching.stack([sample])
                count = self._batching.count([sample])
                needed = sessions.size({n: a.shape for n, a in feeds.items()}, count)
                with shared.taken(workspace, needed):
                    return then(index, slot, self._each(graph, sessions, feeds, count, workspace))
        except SampleError as error:
            return error

    def _sessions(self, graph: ModelGraph) -> Sessions:
        """Sessions for the activations of the chosen layers."""
        taps = [graph.taps[name] for name in self._chosen]
        values = [tap.value for tap in taps]
        if self._with_sources:
            values += [tap.source for tap in taps if tap.source is not None]
        return self._shared.find(graph, values)

    def _each(
        self,
        graph: ModelGraph,
        sessions: Sessions,
        feeds: Mapping[str, NDArray[Any]],
        count: int,
        workspace: Workspace,
    ) -> Iterator[LayerActivation]:
        # A late slice that fails must not leave the layers before it half counted.
        sessions.prove(feeds, count, workspace)
        pending = {name: graph.taps[name] for name in self._chosen}
        shapes: dict[str, tuple[int, ...]] = {}
        has_frames = False
        for found in sessions.run(feeds, count, workspace):
            arrays = {**feeds, **found.arrays}
            shapes.update((value, array.shape) for value, array in arrays.items())
            ready = [name for name, tap in pending.items() if tap.value in arrays]
            for name in ready:
                tap = pending.pop(name)
                axis = self._batching.batch_axis(tap.value, tap.axes, shapes, count)
                view = view_activation(shapes[tap.value], tap.axes, tap.form, axis, self._frame)
                has_frames = has_frames or bool(view.folded)
                array = arrays[tap.value]
                if array.size:
                    check_has_frame(name, view)
                    source = None if tap.source is None else shapes.get(tap.source)
                    whole, doubt = view.arrange(array, 0), view.doubt(graph.reading.reasons[name])
                    layer = graph.sized_layers[name]
                    if view.taken == 1:
                        yield LayerActivation(
                            name,
                            whole[0],
                            source,
                            view.copies,
                            doubt=doubt,
                            sized=layer,
                            frame=view.frame if view.copies > 1 else None,
                        )
                        continue
                    with np.errstate(over="ignore", invalid="ignore"):
                        mean = whole.mean(axis=0, dtype=np.float64).astype(np.float32)
                    yield LayerActivation(name, mean, source, view.copies, whole, doubt, layer)
        if self._frame is not None and not has_frames:
            check_single_frame(self._frame, graph.find_frames(self._chosen))
