"""Statistics of a data set, measured here or on a cluster."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import onnx

from micam_fast.analyses.statistics.measuring import Measuring, OnSample, Tag
from micam_fast.analyses.statistics.on_cluster import measure_on
from micam_fast.analyses.statistics.results import Statistics
from micam_fast.api.loading import load_model
from micam_fast.api.model import Model
from micam_fast.core.errors import SampleError
from micam_fast.core.layer_choice import LayerChoice, choose_layers
from micam_fast.engine.loaded_model import SampleLike
from micam_fast.engine.streaming import number_samples, take_found
from micam_fast.samples import LabelledSamples, bare_samples


def stats(
    model: Model | str | Path | onnx.ModelProto,
    samples: Iterable[SampleLike | SampleError],
    *,
    labels: Iterable[str | None] | Literal[True] | None = None,
    names: Iterable[str] | None = None,
    layers: LayerChoice = None,
    dead_threshold: float = 0.0,
    positions: int | None = None,
    diagrams: bool = False,
    top_samples: int = 0,
    memory: int | None = None,
    client: Any = None,
    done: OnSample = lambda index, error: None,
) -> Statistics:
    """Statistics of every layer over a data set, in one pass and bounded memory.

    Sums are float64, by the methods of Welford and of Chan, Golub and LeVeque. Each run with as
    many threads gives the same bits; with another number the last digits differ. On a cluster the
    bits are the same whatever its size.

    Parameters
    ----------
    model
        An open model, or what `load_model` takes.
    samples
        Any iterable of what `Model.explain` takes, or an array with a leading axis of samples. An
        error in the place of a sample counts as one that failed.
    labels
        The class of each sample, in their order; ``None`` or ``""`` for one without, as those have
        for which there is none left. ``True`` takes the labels that come with the samples.
    names
        What each sample is called, in their order; by default ``sample 0`` and so on.
    layers
        As in `load_model`; by default the layers that get a map.
    dead_threshold
        A channel that is never above it is dead.
    positions
        Most positions of each sample, evenly spread, that the effective rank is taken of; by
        default all, 0 for no effective rank. It takes most of the time in layers of many channels.
    diagrams
        Whether to take the mean of the maps, too, which needs a second forward pass.
    top_samples
        How many samples to keep for each layer that excite it most, and how many that do least: by
        the mean square of its finite values, the earlier one of two equal samples first.
    memory
        Bytes that covariances may take: 4 C^2 + 2048 C for a layer of C channels, for each class
        and each thread; nothing for a layer that follows linearly from another one. The largest
        ones that do not fit are left out. Eigenvalues take up to 16 C^2 more, of a layer at a time
        for each thread. By default as much as activations may take.
    client
        Of ``dask.distributed``, whose workers then do the work; see `micam_fast.engine.cluster`.
    done
        Takes the index of each sample that was measured, or left out and why, in their order.

    Returns
    -------
    Statistics

    Raises
    ------
    SampleError
        If no sample could be run, or `diagrams` are asked for and maps differ in size.
    ClusterError, MissingExtraError
        If a cluster cannot do it.
    ValueError
        If `positions` or `top_samples` is negative or the threshold is NaN.
    """
    if math.isnan(dead_threshold):
        raise ValueError(f"dead_threshold must be a number, not {dead_threshold}")
    if positions is not None and positions < 0:
        raise ValueError(f"positions must be at least 0, not {positions}")
    if top_samples < 0:
        raise ValueError(f"top_samples must be at least 0, not {top_samples}")
    opened = model if isinstance(model, Model) else load_model(model)
    chosen = opened.mapped if layers is None else choose_layers(opened.layers, layers)
    measuring = Measuring(chosen, dead_threshold, positions, diagrams, top_samples)
    given: Iterable[SampleLike | SampleError] = bare_samples(samples, opened.inputs)
    if labels is True:
        given = labelled = LabelledSamples(samples, opened.inputs)
        labels = map(labelled.label, itertools.count())
    tags = map(
        Tag,
        itertools.chain(labels or (), itertools.repeat(None)),
        itertools.chain(names or (), itertools.repeat(None)),
    )
    if client is None:
        found = measuring.measure(
            opened,
            given,
            tags,
            activations=opened.activation_stream(chosen),
            explain=lambda fitted: opened.run(
                opened.pipeline("published"), number_samples(fitted), take_found
            ),
            memory=opened.memory if memory is None else memory,
            done=done,
        )
    else:
        found = measure_on(client, opened, given, tags, measuring, memory, done)
    if not found.groups:
        if not found.failed:
            raise SampleError("there is no sample to measure")
        index, error = found.failed[0]
        raise SampleError(f"no sample could be measured; sample {index}: {error}")
    found.scene = opened.scene
    return found
