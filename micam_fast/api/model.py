"""A model with its diagram: what Python users call."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from micam_fast.api.explanation import Explanation, raise_errors
from micam_fast.core.choices import PROJECTIONS, Projection, check_choice, check_frame
from micam_fast.core.errors import SampleError
from micam_fast.core.layer_choice import LayerChoice, match_layers
from micam_fast.core.plan_cache import user_plan_files
from micam_fast.core.prediction import PredictionChoice
from micam_fast.core.timing import StageTimes
from micam_fast.diagrams.cached_layouts import layouts_by
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.engine.loaded_model import LoadedModel, SampleLike
from micam_fast.engine.streaming import Found, StreamedSample, number_samples, take_found
from micam_fast.models.onnx import OnnxFile
from micam_fast.samples import LabelledSamples, batch_error

if TYPE_CHECKING:
    from micam_fast.viewer import View

Result = TypeVar("Result")
_ALL = "use explain_many(batch) for all of them"


class Model(LoadedModel):
    """A trained CNN, ready to be explained; made by `load_model`.

    Attributes
    ----------
    name, layers, inputs, mapped, threads, file, graph, memory, prediction, providers
        As in `LoadedModel`.
    scene
        The model's diagram.
    """

    def __init__(
        self,
        file: OnnxFile,
        *,
        layers: LayerChoice,
        threads: int | None,
        providers: Sequence[Any] | None,
        memory: int | None,
        engine: str | Path | None,
        prediction: PredictionChoice,
        say: Callable[[str], None] = lambda note: None,
    ) -> None:
        super().__init__(
            file,
            layers=layers,
            threads=threads,
            providers=providers,
            memory=memory,
            prediction=prediction,
            say=say,
        )
        place = None if engine is None else Path(engine)
        self.scene = ModelDiagram(self.name, self.layers, place, layouts_by(user_plan_files()))

    def explain(
        self,
        sample: SampleLike,
        *,
        projection: Projection = "published",
        frame: int | None = None,
        activation_range: bool = False,
    ) -> Explanation:
        """Explain one sample.

        Parameters
        ----------
        sample
            An array of the model's input shape without the batch axis (a batch axis of 1 is
            taken, too), or a mapping from input names to such arrays; a PyTorch tensor is an array,
            too. ``(sample, label)`` with a class's index or name is an explanation of that label.
        projection
            ``"published"``: each activation convolved with its layer's own kernel, circularly, as
            the published engine does. ``"transposed"``: the adjoint of the layer's linear map,
            which lies on the grid of the layer's input.
        frame
            Which one of the frames, windows or pairs of a sample, from 0, the maps of layers show
            that compute each of them by itself; by default such a map is the mean over all.
        activation_range
            Whether each map also has the minimum and maximum of its layer's activation, which is
            read once more for them.

        Returns
        -------
        Explanation

        Raises
        ------
        SampleError
            If the sample does not fit the model, or has no such frame.
        ValueError
            If the projection is unknown, or the frame no whole number.
        """
        given = LabelledSamples([sample], self.inputs)
        rows = list(given)
        fitted = self.fit(rows[0], remedy=_ALL) if len(rows) == 1 else batch_error(len(rows), _ALL)
        if isinstance(fitted, SampleError):
            raise fitted
        found = self.explain_many(
            [fitted],
            batch_size=1,
            projection=projection,
            frame=frame,
            activation_range=activation_range,
        )
        return replace(next(iter(found)), label=given.label(0))

    def explain_many(
        self,
        samples: Iterable[SampleLike],
        *,
        batch_size: int | None = None,
        projection: Projection = "published",
        frame: int | None = None,
        activation_range: bool = False,
        client: Any = None,
    ) -> Iterator[Explanation]:
        """Explain samples one batch after the other; nothing is held but the batch in hand.

        Parameters
        ----------
        samples
            Any iterable of what `explain` takes, or an array with a leading axis of samples. A
            ``DataLoader`` or ``Dataset`` of PyTorch may give ``(x, y)``: samples, with a batch axis
            or without, and a label for each.
        batch_size
            Most samples in one forward pass; by default what suits the model and fits the memory
            bound. A model whose batch is fixed is run with that.
        projection, frame, activation_range
            As in `explain`.
        client
            Of ``dask.distributed``, whose workers then do the work.

        Yields
        ------
        Explanation
            In the order of the samples.

        Raises
        ------
        SampleError
            If a sample does not fit the model.
        ClusterError, MissingExtraError
            If a cluster cannot do it.
        ValueError
            If the projection is unknown, the batch size less than 1 or the frame no whole number.
        """
        found = self.explain_each(
            samples,
            batch_size=batch_size,
            projection=projection,
            frame=frame,
            activation_range=activation_range,
            client=client,
        )
        return raise_errors(found)

    def explain_each(
        self,
        samples: Iterable[SampleLike],
        *,
        batch_size: int | None = None,
        projection: Projection = "published",
        frame: int | None = None,
        activation_range: bool = False,
        client: Any = None,
    ) -> Iterator[Explanation | SampleError]:
        """Like `explain_many`, but a sample that fails gives its error and the others go on.

        Parameters
        ----------
        samples, batch_size, projection, frame, activation_range, client
            As in `explain_many`.

        Yields
        ------
        Explanation or SampleError
            In the order of the samples.

        Raises
        ------
        ValueError
            If the projection is unknown, the batch size less than 1 or the frame no whole number.
        """
        check_choice("projection", projection, PROJECTIONS)
        check_frame(frame)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if isinstance(samples, Mapping):
            raise ValueError("a mapping is one sample; many samples are an iterable of mappings")
        given = LabelledSamples(samples, self.inputs)
        if client is not None:
            from micam_fast.engine.cluster import run_each

            found = run_each(
                self,
                map(self.fit, given),
                client,
                batch_size,
                projection,
                frame,
                activation_range,
            )
            return self._show_each(found, given)

        def finish(sample: StreamedSample) -> Explanation | SampleError:
            return self.show(take_found(sample), given.label(sample.index))

        numbered = number_samples(map(self.fit, given))
        return self.run(
            self.pipeline(projection, frame, activation_range),
            numbered,
            finish,
            batch_size=batch_size,
        )

    def stream(
        self,
        samples: Iterable[SampleLike | SampleError],
        then: Callable[[int, Explanation | SampleError], Result],
        *,
        batch_size: int | None = None,
        projection: Projection = "published",
        frame: int | None = None,
        activation_range: bool = False,
        stages: StageTimes | None = None,
    ) -> Iterator[Result]:
        """Like `explain_each`, and go on with each sample in the thread that explained it.

        Parameters
        ----------
        samples, batch_size, projection, frame, activation_range
            As in `explain_many`. An error in the place of a sample goes to `then` in its turn.
        then
            Takes the index of a sample and its explanation or error; several run at a time.
        stages
            Records how long things take.

        Yields
        ------
        object
            What `then` gave, in the order of the samples.
        """
        given = LabelledSamples(samples, self.inputs)

        def finish(sample: StreamedSample) -> Result:
            found = self.show(take_found(sample), given.label(sample.index))
            return then(sample.index, found)

        numbered = number_samples(map(self.fit, given))
        return self.run(
            self.pipeline(projection, frame, activation_range),
            numbered,
            finish,
            batch_size=batch_size,
            stages=stages,
        )

    def show(self, found: Found, label: str | None = None) -> Explanation | SampleError:
        """What the engine gave for a sample, on the model's diagram."""
        if isinstance(found, SampleError):
            return found
        return Explanation.of(found, self.scene, label=label, notes=self.graph.notes)

    def _show_each(
        self, results: Generator[Found], given: LabelledSamples
    ) -> Iterator[Explanation | SampleError]:
        # A stream that is left halfway lets go of the cluster at once.
        with closing(results):
            for index, found in enumerate(results):
                yield self.show(found, given.label(index))

    def view(
        self,
        samples: Iterable[Any],
        *,
        feature_maps: str | Iterable[str] | None = None,
        projection: Projection = "published",
        frame: int | None = None,
        activation_range: bool = False,
        sample_names: Sequence[str] = (),
        labels: Sequence[str | None] = (),
        row_names: Sequence[str] | None = None,
        column_names: Sequence[str] | None = None,
        compare: bool = False,
        title: str | None = None,
    ) -> View:
        """The interactive page of some samples, which shows itself in a notebook.

        Parameters
        ----------
        samples
            What `explain_many` takes.
        feature_maps
            Names or patterns of the layers whose feature maps the page holds; by default all layers
            if these take at most 12 MiB, else none.
        projection, frame, activation_range
            As in `explain`.
        sample_names, labels
            What the page calls the samples, and their known labels, as far as there are any; by
            default the labels that come with the samples.
        row_names, column_names, compare, title
            As in `View`.

        Returns
        -------
        View

        Raises
        ------
        SampleError
            If a sample does not fit the model.
        LayerSelectionError
            If a pattern of `feature_maps` matches no layer.
        ValueError
            If there is no sample, the projection is unknown, or the frame no whole number.
        """
        from micam_fast.viewer import View, choose_layers, gather

        given = LabelledSamples(samples, self.inputs)
        arrays = list(given)
        explanations = [
            replace(
                found,
                sample=sample_names[index] if index < len(sample_names) else "",
                label=(labels[index] if index < len(labels) else given.label(index)) or None,
            )
            for index, found in enumerate(
                self.explain_many(
                    arrays, projection=projection, frame=frame, activation_range=activation_range
                )
            )
        ]
        if not explanations:
            raise ValueError("a page needs at least one sample")
        if feature_maps is None:
            layers = choose_layers(explanations)
        else:
            layers = match_layers(self.layers, feature_maps)
        maps = list(gather(self, arrays, layers, frame)) if layers else None
        return View(explanations, maps, row_names, column_names, compare, title)
