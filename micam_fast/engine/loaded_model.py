"""One model, many samples: opened once, run as often as there are samples."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from micam_fast.core.choices import PROJECTIONS, Projection, check_choice, check_frame
from micam_fast.core.errors import SampleError
from micam_fast.core.layer_choice import LayerChoice, choose_layers
from micam_fast.core.layers import Geometry, Layer, ModelInput
from micam_fast.core.lru import LruCache
from micam_fast.core.machine import quarter_of_memory
from micam_fast.core.plan_cache import user_plan_files
from micam_fast.core.prediction import AUTOMATIC, PredictionChoice
from micam_fast.core.timing import StageTimes
from micam_fast.engine.activations import ActivationStream, LayerActivation, Take
from micam_fast.engine.batch_arrays import Batching
from micam_fast.engine.contributions import Contributions
from micam_fast.engine.onnx_runtime import DEFAULT_PROVIDERS, available_threads
from micam_fast.engine.pipeline import Pipeline
from micam_fast.engine.shaped_graphs import ShapedGraphs
from micam_fast.engine.streaming import Finish, Result, Streamed, stream
from micam_fast.engine.untouched import (
    Outcome,
    check_graph,
    keep_outcome,
    load_outcome,
    outcome_key,
)
from micam_fast.models.onnx import ModelGraph, OnnxFile
from micam_fast.models.onnx.cached_layers import find_layers
from micam_fast.samples import Arrays, bare_samples, fit_sample

SampleLike = NDArray[Any] | Mapping[str, NDArray[Any]] | tuple[Any, ...]
"""One array, or one for each of the model's inputs by name; or such samples with their labels."""


class LoadedModel:
    """A trained CNN, ready to be run. It knows no diagram; `Model` does.

    Attributes
    ----------
    name
        The file's stem, or the graph's name.
    layers
        Every layer, in the diagram's order.
    inputs
        What the model is fed.
    mapped
        Names of the layers that get a map.
    threads
        How many run at a time.
    file, graph
        The ONNX model, and what is known of it.
    memory
        Bytes that activations may take at a time.
    prediction
        What the user says of the prediction.
    providers
        Of ONNX Runtime.
    identity
        Tells the model from others; ``None`` if that would take too long. A worker is told it: it
        gets weights of external files in another form.
    outcomes
        What came of comparing the model with its own file, by names from `outcome_key`: those that
        were found here, and those that were put here from an earlier run.
    """

    def __init__(
        self,
        file: OnnxFile,
        *,
        layers: LayerChoice,
        threads: int | None,
        providers: Sequence[Any] | None,
        memory: int | None,
        prediction: PredictionChoice = AUTOMATIC,
        identity: str | None = None,
        say: Callable[[str], None] = lambda note: None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        if memory is not None and memory < 1:
            raise ValueError(f"memory must be at least 1 byte, not {memory}")
        self._say = say
        self.file: OnnxFile = file
        self.graph: ModelGraph = find_layers(file, user_plan_files()).answering(prediction)
        self.prediction: PredictionChoice = prediction
        self.name: str = file.name
        self.layers: tuple[Layer, ...] = self.graph.layers
        self.inputs: tuple[ModelInput, ...] = self.graph.inputs
        self.mapped: frozenset[str] = choose_layers(self.layers, layers)
        self.threads: int = threads or available_threads()
        self.providers: tuple[Any, ...] = tuple(
            DEFAULT_PROVIDERS if providers is None else providers
        )
        self.memory: int = memory if memory is not None else quarter_of_memory()
        # Whole batches run in one pool, the loops of a lone batch in another: who waits for the
        # loops must not stand in their way.
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="micam")
        self._loops_pool = ThreadPoolExecutor(self.threads, thread_name_prefix="micam-loops")
        self._pipelines: LruCache[tuple[Projection, int | None, bool], Pipeline] = LruCache(3)
        self._pipelines_lock = threading.Lock()
        self._activations: LruCache[tuple[Any, ...], ActivationStream] = LruCache(1)
        self._activations_lock = threading.Lock()
        self.identity: str | None = identity
        if None not in (file.mark, self.graph.key):
            self.identity = outcome_key(file.mark, self.graph.key)
        self.outcomes: dict[str, Outcome] = {}
        self._told: set[str] = set()
        self._batching = Batching(self.graph)
        self._graphs = ShapedGraphs(
            file,
            self.graph,
            user_plan_files(),
            prediction=prediction,
            providers=self.providers,
            checked=self._checked,
        )
        # Opening the session here tells about a model that ONNX Runtime refuses.
        self.pipeline("published")

    def __repr__(self) -> str:
        """Name, inputs and number of layers."""
        inputs = ", ".join(f"{spec.name} {spec.shape}" for spec in self.inputs)
        kind = type(self).__name__
        return f"<{kind} {self.name}: {inputs}; {len(self.mapped)} of {len(self.layers)} layers>"

    def run(
        self,
        pipeline: Pipeline,
        samples: Iterable[Streamed],
        finish: Finish[Streamed, Result],
        *,
        batch_size: int | None = None,
        stages: StageTimes | None = None,
    ) -> Iterator[Result]:
        """Run samples on all threads: records with arrays that `fit` has given; see `stream`.

        The pipeline is the model's own, or one of `open_pipeline`.

        Yields
        ------
        object
            What `finish` gave, in the order of the samples.
        """
        return stream(
            pipeline,
            samples,
            finish,
            batch_size=batch_size,
            pool=self._pool,
            stages=stages or StageTimes(),
        )

    def activations(
        self,
        samples: Iterable[SampleLike | SampleError],
        then: Take[Result],
        *,
        layers: LayerChoice = None,
        frame: int | None = None,
    ) -> Iterator[Result | SampleError]:
        """Run samples for the activations themselves, each in one forward pass.

        Parameters
        ----------
        samples
            As in `explain_many`; an error in the place of a sample goes to `then` in its turn.
        then
            Takes the index of a sample, its slot, and an iterator of `LayerActivation` in the order
            of the layers, each valid until the next one is asked for. Sample ``i`` is in slot
            ``i % threads``; those of one slot run one after the other, in a thread of their own.
            It may ask the model for more; each stream takes memory of its own.
        layers
            As in `load_model`; by default the layers that get a map.
        frame
            As in `Model.explain`.

        Yields
        ------
        object
            What `then` gave, in the order of the samples; the error where it let one through.

        Raises
        ------
        LayerSelectionError
            If a pattern matches no layer.
        ValueError
            If the frame is no whole number.
        """
        source = self.activation_stream(layers, frame=frame)
        return source.stream(map(self.fit, bare_samples(samples, self.inputs)), then)

    def contributions(
        self,
        samples: Iterable[SampleLike | SampleError],
        then: Take[Result],
        *,
        layers: LayerChoice = None,
        projection: Projection = "published",
        frame: int | None = None,
    ) -> Iterator[Result | SampleError]:
        """Like `activations`, but of what each channel adds to its layer's map.

        Parameters
        ----------
        samples, layers
            As in `activations`.
        then
            As in `activations`; each ``array`` is ``(C, h', w')``, and its sum over the channels is
            the map that `explain` gives. A channel that is not finite is NaN everywhere. A flat
            layer has no channels: its activation is given as it is.
        projection, frame
            As in `Model.explain`.

        Yields
        ------
        object
            As `activations` does.

        Raises
        ------
        LayerSelectionError
            If a pattern matches no layer.
        ValueError
            If the projection is unknown, or the frame no whole number.
        """
        check_choice("projection", projection, PROJECTIONS)
        parts = Contributions(self.graph, projection)

        def split(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> Result:
            given = found if isinstance(found, SampleError) else map(parts.split, found)
            return then(index, slot, given)

        source = self.activation_stream(layers, sources=projection == "transposed", frame=frame)
        return source.stream(map(self.fit, bare_samples(samples, self.inputs)), split)

    def weights(self, layer: str) -> tuple[NDArray[Any], NDArray[Any] | None, Geometry] | None:
        """Kernel, bias and geometry of a convolution.

        Parameters
        ----------
        layer
            Its name.

        Returns
        -------
        tuple or None
            The kernel in ONNX order (``(C, J/groups, *k)``, transposed ``(J, C/groups, *k)``), the
            bias ``(C,)`` or ``None``, and how the kernel walks; ``None`` for a layer without a
            constant kernel.
        """
        geometry = self.graph.taps[layer].geometry
        return None if geometry is None else (*self.graph.weights(layer), geometry)

    def fit(
        self, sample: SampleLike | SampleError, *, remedy: str = "give them one by one"
    ) -> Arrays | SampleError:
        """Arrays of one sample in the model's layout and element types, or why there are none.

        Parameters
        ----------
        sample
            As `Model.explain` takes it. An error in its place is returned.
        remedy
            What to do with a batch, to end the error's sentence.
        """
        if isinstance(sample, SampleError):
            return sample
        try:
            return fit_sample(sample, self.inputs, remedy=remedy)
        except SampleError as error:
            return error

    def find_graph(self, sample: Arrays) -> ModelGraph:
        """The graph for samples of these shapes, checked against the file itself.

        Parameters
        ----------
        sample
            What `fit` gives.

        Raises
        ------
        SampleError
            If ONNX Runtime cannot run the sample.
        """
        return self._graphs.find(sample)

    def known_graph(self, shapes: Mapping[str, tuple[int, ...]]) -> ModelGraph:
        """The graph for samples of these shapes by input name, when none of them is at hand."""
        return self._graphs.known(shapes)

    def _checked(self, graph: ModelGraph, sample: Arrays) -> ModelGraph:
        """The graph, or one without rewritings where these change what the model computes."""
        pipeline = self.pipeline("published")
        fed = {name: array.shape for name, array in self._batching.stack([sample]).items()}
        # By the cuts, not by the bound: workers have memory of their own.
        bounds = pipeline.runner(graph).sessions.bounds(fed)
        key = outcome_key(self.identity, fed, bounds, sorted(self.mapped), self.providers)
        # A model that cannot be told from others has no outcome of an earlier time.
        kept = self.identity is not None
        known = self.outcomes.get(key) if kept else None
        if known is None and kept:
            known = load_outcome(user_plan_files(), key)
        if known is None:
            known = check_graph(pipeline, self.file, graph, sample, self.providers)
            if kept:
                keep_outcome(user_plan_files(), key, known)
        self.outcomes[key] = known
        self._tell(known)
        return graph.plain() if known.dropped else graph

    def learn(self, outcomes: Mapping[str, Outcome]) -> None:
        """Take outcomes that a worker found out, and tell of those that are new."""
        for key, outcome in outcomes.items():
            if key not in self.outcomes:
                self.outcomes[key] = outcome
                self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        """Tell the user of an outcome, of each verdict once."""
        note = outcome.note()
        if note is not None and outcome.verdict not in self._told:
            self._told.add(outcome.verdict)
            self._say(note)

    def activation_stream(
        self, layers: LayerChoice, *, sources: bool = False, frame: int | None = None
    ) -> ActivationStream:
        """Runs the model for the activations of some layers."""
        check_frame(frame)
        names = self.mapped if layers is None else choose_layers(self.layers, layers)
        with self._activations_lock:
            return self._activations.get_or_make(
                (names, sources, frame),
                lambda: ActivationStream(
                    self.file,
                    self.graph,
                    self.find_graph,
                    names,
                    threads=self.threads,
                    providers=self.providers,
                    memory=self.memory,
                    sources=sources,
                    frame=frame,
                ),
            )

    def open_pipeline(
        self,
        projection: Projection,
        frame: int | None = None,
        activation_range: bool = False,
        *,
        file: OnnxFile | None = None,
        mapped: frozenset[str] | None = None,
        threads: int | None = None,
    ) -> Pipeline:
        """A pipeline of its own: of the model, or of the same one with other weights."""
        threads = threads or self.threads

        def of_variant(sample: Arrays) -> ModelGraph:
            assert file is not None
            return self.find_graph(sample).of(file)

        return Pipeline(
            file or self.file,
            self.graph if file is None else self.graph.of(file),
            self.find_graph if file is None else of_variant,
            self.mapped if mapped is None else mapped,
            projection,
            frame,
            activation_range,
            threads=threads,
            providers=self.providers,
            memory=self.memory * threads // self.threads,
            pool=self._loops_pool,
        )

    def pipeline(
        self, projection: Projection, frame: int | None = None, activation_range: bool = False
    ) -> Pipeline:
        """The model's own pipeline."""
        check_frame(frame)
        key = projection, frame, activation_range
        with self._pipelines_lock:
            return self._pipelines.get_or_make(key, lambda: self.open_pipeline(*key))
