"""The mean of many samples' maps, and how much they deviate from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from micam_fast.api.explanation import Explanation
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Shape
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.engine.sample_result import SampleResult
from micam_fast.maps.sample_maps import MapsLayout, SampleMaps


class Average:
    """Mean and deviation of each cell of each map, sample by sample.

    Welford's method in float64, so that nothing is lost where the mean is large and the deviation
    small; parts of a data set are merged by the formula of Chan, Golub and LeVeque ("Algorithms for
    Computing the Sample Variance", 1983). A sample in which a layer is not finite does not count
    in that layer. Sizes that the samples do not share, as numbers of frames, are unknown in the
    mean.

    Parameters
    ----------
    scene
        The model's diagram; by default that of the first sample.

    Attributes
    ----------
    count
        Samples so far.
    """

    def __init__(self, scene: ModelDiagram | None = None) -> None:
        self.count = 0
        self._scene = scene
        self._first: SampleResult | None = None
        self._layout: MapsLayout | None = None
        self._owner = np.empty(0, np.intp)
        # By layer, then by cell.
        self._counts = np.empty(0)
        self._means = np.empty(0)
        self._squares = np.empty(0)
        self._bad_values: Counter[str] = Counter()

    def add(self, explanation: SampleResult) -> None:
        """Count a sample in.

        Raises
        ------
        SampleError
            If its maps are not of the same layers and sizes as those before.
        """
        maps = _maps(explanation)
        self._start(explanation, maps.layout)
        finite = np.isfinite(maps.ranges[:, 0])
        values = np.where(finite[self._owner], maps.cells, 0.0)
        self._merge(1, finite.astype(np.float64), values, np.zeros(len(values)))
        self._bad_values.update(maps.bad_values)

    def merge(self, other: Average) -> None:
        """Count in all samples of another average of the same model.

        Raises
        ------
        SampleError
            If its maps are not of the same layers and sizes.
        """
        if other._first is None or other._layout is None:
            return
        self._start(other._first, other._layout)
        self._merge(other.count, other._counts, other._means, other._squares)
        self._bad_values.update(other._bad_values)

    def mean(self, *, sample: str = "", label: str | None = None) -> Explanation:
        """The mean maps as an explanation, without a prediction.

        Parameters
        ----------
        sample, label
            What the header calls it.

        Raises
        ------
        SampleError
            If there was no sample.
        """
        return self._explain(self._means, sample, label)

    def deviation(self, *, sample: str = "", label: str | None = None) -> Explanation:
        """The population standard deviation of each cell as an explanation; see `mean`."""
        counts = np.maximum(self._counts, 1)[self._owner]
        return self._explain(np.sqrt(self._squares / counts), sample, label)

    def _start(self, explanation: SampleResult, layout: MapsLayout) -> None:
        if self._first is None or self._layout is None:
            self._first, self._layout = explanation, layout
            total = int(layout.slots[:, 1].sum())
            self._owner = np.empty(total, np.intp)
            for layer, (begin, end) in enumerate(layout.bounds):
                self._owner[begin:end] = layer
            self._counts = np.zeros(len(layout.names))
            self._means, self._squares = np.zeros(total), np.zeros(total)
            return
        if self._layout == layout:
            return
        if not _alike(self._layout, layout):
            raise SampleError(
                f"{_name(explanation) or 'a sample'} has maps of other sizes than "
                f"{_name(self._first) or 'the first one'}; only samples of one shape have a mean"
            )
        self._layout = _shared(self._layout, layout)

    def _merge(
        self,
        count: int,
        counts: NDArray[np.float64],
        means: NDArray[np.float64],
        squares: NDArray[np.float64],
    ) -> None:
        both = self._counts + counts
        share = (counts / np.maximum(both, 1))[self._owner]
        step = means - self._means
        self._means += step * share
        self._squares += squares + step * step * share * self._counts[self._owner]
        self._counts = both
        self.count += count

    def _explain(self, cells: NDArray[np.float64], sample: str, label: str | None) -> Explanation:
        if self._first is None or self._layout is None:
            raise SampleError("there is no sample to take the mean of")
        layout = self._layout
        values = cells.astype(np.float32)
        ranges = np.full((len(layout.names), 2), np.nan)
        bad_values = {}
        for layer, (begin, end) in enumerate(layout.bounds):
            if self._counts[layer]:
                ranges[layer] = values[begin:end].min(), values[begin:end].max()
            else:
                bad_values[layout.names[layer]] = self._bad_values[layout.names[layer]]
        maps = SampleMaps(layout, values, ranges, bad_values)
        first, scene = self._first, self._scene
        if scene is None:
            assert isinstance(first, Explanation), "an average of bare results needs a scene"
            scene = first.scene
        notes = first.notes if isinstance(first, Explanation) else ()
        return Explanation(
            maps, maps.global_range, None, None, first.input_size, scene, sample, label, notes
        )


def _name(result: SampleResult) -> str:
    return result.sample if isinstance(result, Explanation) else ""


def _maps(explanation: SampleResult) -> SampleMaps:
    maps = explanation.maps
    assert isinstance(maps, SampleMaps)
    return maps


def _alike(one: MapsLayout, other: MapsLayout) -> bool:
    same = one.names == other.names and one.sizes == other.sizes
    ranks = [[len(shape) for shape in each.shapes] for each in (one, other)]
    return same and ranks[0] == ranks[1] and np.array_equal(one.slots, other.slots)


def _shared(one: MapsLayout, other: MapsLayout) -> MapsLayout:
    """What two alike layouts both say; sizes and numbers of frames that differ are unknown."""

    def share_all(a: Sequence[Shape | None], b: Sequence[Shape | None]) -> tuple[Shape | None, ...]:
        return tuple(map(_shared_shape, a, b))

    rest = other.sized
    return replace(
        one,
        # Alike layouts have shapes of equal ranks.
        shapes=tuple(
            tuple(map(_shared_size, a, b)) for a, b in zip(one.shapes, other.shapes, strict=True)
        ),
        input_shapes=tuple(map(share_all, one.input_shapes, other.input_shapes)),
        copies=tuple(map(_shared_size, one.copies, other.copies)),
        channels=tuple(map(_shared_size, one.channels, other.channels)),
        doubts=tuple(a or b for a, b in zip(one.doubts, other.doubts, strict=True)),
        left_out=tuple(
            replace(
                layer,
                input_shapes=share_all(layer.input_shapes, rest[layer.name].input_shapes),
                output_shape=_shared_shape(layer.output_shape, rest[layer.name].output_shape),
            )
            for layer in one.left_out
            if layer.name in rest
        ),
    )


def _shared_shape(one: Shape | None, other: Shape | None) -> Shape | None:
    if one is None or other is None or len(one) != len(other):
        return None
    return tuple(map(_shared_size, one, other))


def _shared_size(one: int | None, other: int | None) -> int | None:
    return one if one == other else None
