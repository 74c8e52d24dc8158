"""Statistics of every layer over a data set, by class: rows, diagrams, merging."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from micam_fast.analyses.statistics.costs import Costs, ModelCosts, find_costs
from micam_fast.analyses.statistics.files import (
    check_format,
    check_table_format,
    write_json,
    write_table,
)
from micam_fast.analyses.statistics.groups import ClassMoments, FedShapes, merge_groups
from micam_fast.analyses.statistics.modules import ModuleCost, find_modules, module_around
from micam_fast.analyses.statistics.moments import Covariance
from micam_fast.analyses.statistics.pages import Tables, html_page, html_table
from micam_fast.analyses.statistics.ranks import Ranks
from micam_fast.analyses.statistics.rows import LayerStatistics
from micam_fast.analyses.statistics.top_samples import TopSamples, merge_tops
from micam_fast.api.averages import Average
from micam_fast.api.explanation import Explanation
from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Layer
from micam_fast.core.output_files import atomic_file
from micam_fast.core.texts import count_of
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.engine.onnx_runtime import available_threads

NO_ROOM = "the covariance does not fit the memory bound"


class Statistics:
    """Statistics of a data set; made by `micam_fast.stats`.

    Those of parts of a data set can be merged, and pickled for that.

    Parameters
    ----------
    model
        Its name.
    layers
        All layers, in the diagram's order.
    parameters
        By layer name; ``None`` where they are unknown.
    dead_threshold
        A channel that is never above it is dead.

    Attributes
    ----------
    model, layers, parameters, dead_threshold
        As given.
    groups
        By class; ``None`` for the samples without a label.
    multiply_adds
        Of each layer for a sample, by what it is fed as.
    linear
        Layers whose covariance follows from another one's, as `find_linear` gives them.
    rank_limits
        Channels and largest rank of layers, as `find_rank_limits` gives them.
    classifier
        The layer that the prediction is read from, if there is one.
    top_samples, top
        How many samples are kept that excite a layer most, and how many that do least; which these
        are, by layer name.
    unranked
        Layers without an effective rank, and why.
    failed
        Index and error of each sample that was left out; of merged parts each has its own indices.
    scene
        The model's diagram; ``None`` for a part of a data set that a worker measured.
    """

    def __init__(
        self,
        model: str,
        layers: tuple[Layer, ...],
        parameters: Mapping[str, int | None],
        dead_threshold: float,
    ) -> None:
        self.model, self.layers = model, layers
        self.parameters, self.dead_threshold = dict(parameters), dead_threshold
        self.groups: dict[str | None, ClassMoments] = {}
        self.multiply_adds: dict[FedShapes, Mapping[str, int | None]] = {}
        self.linear: dict[str, tuple[str, NDArray[np.float64]]] = {}
        self.rank_limits: dict[str, tuple[int, int]] = {}
        self.classifier: str | None = None
        self.top_samples = 0
        self.top: dict[str, TopSamples] = {}
        self.unranked: dict[str, str] = {}
        self.failed: list[tuple[int, SampleError]] = []
        self.scene: ModelDiagram | None = None
        self._rows: tuple[LayerStatistics, ...] | None = None

    def __repr__(self) -> str:
        """Model, samples, classes."""
        count = sum(group.fed.total() for group in self.groups.values())
        return f"<Statistics of {self.model}: {count} samples, {len(self.labels)} classes>"

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes, in the order of their names."""
        return tuple(sorted(label for label in self.groups if label is not None))

    @property
    def rows(self) -> tuple[LayerStatistics, ...]:
        """All samples together, then each class; in each the layers in the diagram's order."""
        if self._rows is None:
            self._rows = tuple(self._find_rows())
        return self._rows

    @property
    def costs(self) -> Costs:
        """Which layers cost most and extract least, over all samples."""
        return find_costs(self.rows, self.layers, self._whole())

    @property
    def modules(self) -> tuple[ModuleCost, ...]:
        """What modules cost together, as the file tells them, over all samples; or none."""
        return find_modules(self.rows, self.layers, self.costs, self._whole())

    def of(self, layer: str, label: str | None = None) -> LayerStatistics:
        """The row of a layer; of all samples, or of one class.

        Raises
        ------
        KeyError
            If there is none.
        """
        for row in self.rows:
            if (row.layer, row.label) == (layer, label):
                return row
        raise KeyError(f"no statistics of layer {layer!r} and class {label!r}")

    def merge(self, other: Statistics) -> None:
        """Count in the samples of another part of the data set.

        Parameters
        ----------
        other
            Statistics of the same layers of the same model.

        Raises
        ------
        ValueError
            If they are of other layers, or with another threshold or number of top samples.
            Nothing is changed.
        """
        for what, mine, theirs in (
            ("layers", [each.name for each in self.layers], [each.name for each in other.layers]),
            ("thresholds", self.dead_threshold, other.dead_threshold),
            ("numbers of top samples", self.top_samples, other.top_samples),
        ):
            if mine != theirs:
                shown = " and ".join(_short(each) for each in (mine, theirs))
                raise ValueError(f"statistics of different {what} cannot be merged: {shown}")
        for label, group in other.groups.items():
            self.groups.setdefault(label, ClassMoments()).merge(group)
        self.multiply_adds |= other.multiply_adds
        self.classifier = self.classifier or other.classifier
        self.unranked |= other.unranked
        merge_tops(self.top, other.top)
        self.failed += other.failed
        self.drop_unranked()
        self._rows = None

    def limit(self, memory: int) -> None:
        """Leave out the effective ranks of the largest layers, until all covariances fit."""
        sizes: Counter[str] = Counter()
        for group in self.groups.values():
            for name, moments in group.layers.items():
                if moments.covariance is not None:
                    sizes[name] += Covariance.size(len(moments.counts))
        while sizes.total() > memory:
            ((largest, _),) = sizes.most_common(1)
            self.unranked[largest] = NO_ROOM
            del sizes[largest]
        self.drop_unranked()

    def drop_unranked(self) -> None:
        """Let no class have an effective rank where another one cannot."""
        everything = [each for group in self.groups.values() for each in group.layers.items()]
        reason = "the number of channels varies"
        self.unranked |= {name: reason for name, moments in everything if moments.varies}
        for name, (source, _) in self.linear.items():
            if source in self.unranked:
                self.unranked.setdefault(name, self.unranked[source])
        for name, moments in everything:
            if name in self.unranked:
                moments.covariance = None

    def save(self, path: str | Path) -> Path:
        """Write the statistics; the suffix says how.

        A ``.csv`` or ``.parquet`` has one row for each class and layer; those of all samples
        together have no class. A ``.json`` has the same rows, the hint and the modules. A ``.html``
        is a page of tables, with thumbnails of the samples that excite each layer most and least.

        Raises
        ------
        OutputError
            If the suffix is another one, or the file cannot be written.
        MissingExtraError
            If pyarrow is not installed and ``.parquet`` is asked for.
        """
        path = check_format(Path(path))
        if path.suffix.lower() == ".html":
            with atomic_file(path) as file:
                file.write(html_page(self.model, self._tables()).encode())
            return path
        if path.suffix.lower() == ".json":
            return write_json(path, self.model, self.rows, self.costs, self.modules)
        return write_table(path, LayerStatistics, self.rows)

    def save_modules(self, path: str | Path) -> Path:
        """Write a row for each module, as ``.csv`` or ``.parquet``; see `modules`.

        Raises
        ------
        OutputError
            If the suffix is another one, or the file cannot be written.
        MissingExtraError
            If pyarrow is not installed and ``.parquet`` is asked for.
        """
        return write_table(check_table_format(Path(path)), ModuleCost, self.modules)

    def mean_diagram(self, label: str | None = None) -> Explanation:
        """The mean maps of a class, or of all samples.

        Raises
        ------
        ValueError
            If the statistics were made without diagrams, or there is no such class.
        """
        return self._average(label).mean(sample=self._say_mean("mean of", label), label=label)

    def deviation_diagram(self, label: str | None = None) -> Explanation:
        """The population standard deviation of each cell of each map; see `mean_diagram`."""
        said = self._say_mean("deviation of", label)
        return self._average(label).deviation(sample=said, label=label)

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        return html_table(self._tables())

    def _tables(self) -> Tables:
        return Tables(self.costs, self.modules, self.rows, self.top)

    def _whole(self) -> ModelCosts:
        groups = list(self.groups.values())
        names = [layer.name for layer in self.layers]
        products = {name: self._mean_multiply_adds(name, groups) for name in names}
        return ModelCosts(self.parameters, products, self.classifier)

    def _say_mean(self, what: str, label: str | None) -> str:
        return f"{what} {count_of(self._average(label).count, 'sample')}"

    def _average(self, label: str | None) -> Average:
        if label is not None and label not in self.groups:
            raise ValueError(f"no class {label!r} (must be one of {', '.join(self.labels)})")
        average = Average(self.scene)
        for known, group in self.groups.items():
            if label in (None, known):
                average.merge(group.average)
        if not average.count:
            raise ValueError("there are no diagrams: make the statistics with diagrams=True")
        return average

    def _find_rows(self) -> Iterator[LayerStatistics]:
        labels = [None, *self.labels]
        wanted = [(label, layer) for label in labels for layer in self.layers]
        threads = available_threads()
        # Eigenvalues take most of the time; LAPACK lets other threads run.
        with threadpoolctl.threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
            found = pool.map(lambda each: self._find_row(*each), wanted)
            yield from (row for row in found if row is not None)

    def _find_row(self, label: str | None, layer: Layer) -> LayerStatistics | None:
        groups = [g for known, g in self.groups.items() if label in (None, known)]
        moments = merge_groups(groups, layer.name)
        if moments is None:
            return None
        summary = moments.summary()
        rank = Ranks(groups, self.linear, self.rank_limits, self.unranked).find(layer.name, moments)
        dead = moments.dead(self.dead_threshold)
        parameters, energy = self.parameters[layer.name], summary.energy
        top = self.top.get(layer.name) if label is None else None
        return LayerStatistics(
            label=label,
            layer=layer.name,
            kind=layer.class_label,
            module=module_around(layer),
            samples=moments.samples,
            channels=len(moments.counts),
            values=summary.values,
            not_finite=summary.strays,
            mean=summary.mean,
            deviation=summary.deviation,
            low=summary.low,
            high=summary.high,
            energy=energy,
            dead_channels=dead.share,
            dead_indices=dead.indices,
            sparsity=summary.sparsity,
            effective_rank=rank.effective,
            possible_rank=rank.possible,
            rank_limit=rank.limit,
            parameters=parameters,
            multiply_adds=self._mean_multiply_adds(layer.name, groups),
            energy_per_parameter=energy / parameters if energy is not None and parameters else None,
            strongest=None if top is None else tuple(each.name for each in top.strongest),
            weakest=None if top is None else tuple(each.name for each in top.weakest),
        )

    def _mean_multiply_adds(self, layer: str, groups: list[ClassMoments]) -> float | None:
        total = samples = 0
        for group in groups:
            for shapes, count in group.fed.items():
                each = self.multiply_adds[shapes].get(layer)
                if each is None:
                    return None
                total += each * count
                samples += count
        return total / samples


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
