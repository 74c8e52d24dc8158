"""Maps of a batch to results: what its samples share, and what each one has."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.layers import Layer, Shape, fill_shapes
from micam_fast.core.prediction import Prediction, predict
from micam_fast.engine.sample_result import SampleResult
from micam_fast.maps.bounds import check_single_frame
from micam_fast.maps.plan import BatchMaps, MapPlan
from micam_fast.maps.sample_maps import MapsLayout, SampleMaps
from micam_fast.models.onnx import ModelGraph
from micam_fast.samples import Arrays, ShownInput


class ResultBuilder:
    """Puts the maps of a model's slices, each with its plan, together in the diagram's order.

    Raises
    ------
    SampleError
        If the plans are for a frame that no layer has.
    """

    def __init__(self, graph: ModelGraph, plans: Sequence[MapPlan], frame: int | None) -> None:
        if frame is not None and not any(plan.has_frames() for plan in plans):
            mapped = [name for plan in plans for name in plan.names]
            check_single_frame(frame, graph.find_frames(mapped))
        self._output = next((each.value for each in graph.outputs), None)
        self._answer = graph.answer
        self._shown = ShownInput(graph.inputs)
        found = [(plan, index) for plan in plans for index in range(len(plan.names))]
        places = {plan.names[index]: place for place, (plan, index) in enumerate(found)}
        names = tuple(layer.name for layer in graph.layers if layer.name in places)
        self._order = np.array([places[name] for name in names], np.intp)
        begins = np.cumsum([0, *(sum(h * w for h, w in plan.sizes) for plan in plans)])
        slots = np.concatenate(
            [np.add(plan.slots, (at, 0)) for plan, at in zip(plans, begins[:-1], strict=True)]
        )
        ordered = [found[place] for place in self._order]
        read = _find_read_shapes(graph, plans)
        fed = {spec.name for spec in graph.inputs}
        self._layout = MapsLayout(
            names,
            slots[self._order],
            tuple(plan.sizes[index] for plan, index in ordered),
            tuple(plan.shown_shape(plan.names[index]) for plan, index in ordered),
            tuple(read[name] for name in names),
            tuple(plan.is_flat(plan.names[index]) for plan, index in ordered),
            tuple(plan.has_even_weights(plan.names[index]) for plan, index in ordered),
            tuple(plan.count_copies(plan.names[index]) for plan, index in ordered),
            tuple(
                plan.find_doubt(name, graph.reading.reasons[name])
                for (plan, _), name in zip(ordered, names, strict=True)
            ),
            tuple(
                plan.is_number(name) and plan.taps[name].value in fed
                for plan, index in ordered
                for name in (plan.names[index],)
            ),
            tuple(_left_out(graph, plans, places)),
            frozenset(name for plan in plans for name in plan.names if plan.is_stepped(name)),
            frozenset(name for plan in plans for name in plan.names if plan.is_weighted(name)),
            frame,
            tuple(plan.count_channels(plan.names[index]) for plan, index in ordered),
        )

    def build(
        self,
        found: Sequence[BatchMaps],
        sample: int,
        *,
        fed: Arrays,
        given: Mapping[str, NDArray[Any]],
        input_size: tuple[int, int],
    ) -> SampleResult:
        """Put the result of one sample, by its index in the batch, together from all slices' maps.

        `fed` has its arrays, `given` the values of `ModelGraph.given` for this sample; `input_size`
        is ``(Hin, Win)``.

        Raises
        ------
        SampleError
            If there are names of classes, but not one for each.
        """
        maps = SampleMaps(
            self._layout,
            # A copy: the sample must not keep its batch in memory.
            np.concatenate([each.values[sample] for each in found]),
            np.concatenate([each.ranges[sample] for each in found])[self._order],
            {n: c for each in found for (s, n), c in each.bad_values.items() if s == sample},
            self._activation_ranges(found, sample),
        )
        return SampleResult(
            maps=maps,
            global_range=maps.global_range,
            prediction=self._predict(given),
            output=None if self._output is None else given.get(self._output),
            input_size=input_size,
            fed=self._shown.keep(fed),
        )

    def _activation_ranges(
        self, found: Sequence[BatchMaps], sample: int
    ) -> NDArray[np.float64] | None:
        measured = [m for each in found if (m := each.activation_ranges) is not None]
        return (
            np.concatenate([each[sample] for each in measured])[self._order] if measured else None
        )

    def _predict(self, given: Mapping[str, NDArray[Any]]) -> Prediction | None:
        answer = self._answer
        if answer is None or answer.value not in given:
            return None
        return predict(given[answer.value], answer.form, answer.class_names)


def _left_out(
    graph: ModelGraph, plans: Sequence[MapPlan], mapped: Container[str]
) -> Iterator[Layer]:
    """Layers without a map, with the sizes of this run."""
    empty = {name: shape for plan in plans for name, shape in plan.empty.items()}
    for layer in graph.layers:
        if layer.name not in mapped:
            sized = graph.sized_layers[layer.name]
            parents = [empty[parent] for parent in layer.inputs if parent in empty]
            yield replace(
                sized,
                input_shapes=tuple(fill_shapes(sized.input_shapes, parents)),
                output_shape=empty.get(layer.name, sized.output_shape),
            )


def _find_read_shapes(
    graph: ModelGraph, plans: Sequence[MapPlan]
) -> Mapping[str, tuple[Shape | None, ...]]:
    """Shapes of what the layers read, open sizes from their parents where these fit."""
    made = {name: plan.shown_shape(name) for plan in plans for name in plan.names}
    # Parents that are not mapped have shapes that only inference tells.
    known = graph.layers if len(made) == len(graph.layers) else graph.sized_layers.values()
    sized = {layer.name: layer for layer in known}
    found: dict[str, tuple[Shape | None, ...]] = {}
    for name, own in made.items():
        layer = sized[name]
        parents = [made[parent] for parent in layer.inputs if parent in made]
        found[name] = tuple(fill_shapes(layer.input_shapes, parents))
        if not layer.inputs:
            found[name] = (own,)
    return found
