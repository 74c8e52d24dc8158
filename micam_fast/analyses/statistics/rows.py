"""One row of statistics for each class and layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerStatistics:
    """A layer's activations over the samples of a class, or over all of them.

    Attributes
    ----------
    label
        The class; ``None`` for all samples, those without a label included.
    layer, kind
        The layer's name, and its class as the diagram prints it.
    module
        The innermost module or nested model around it; ``None`` where the file tells none.
    samples, channels
        Their number. Each value of a flat layer is a channel.
    values, not_finite
        Number of finite values; of NaN and infinite ones, which take no part in the rest.
    mean, deviation
        Of the values; the population standard deviation.
    low, high
        Smallest and largest value.
    energy
        Mean of the squared values.
    dead_channels, dead_indices
        Share of the channels that are never above the threshold, of those that have finite values;
        which they are, from 0.
    sparsity
        Share of zeros.
    effective_rank
        Exponential of the entropy of the normalized eigenvalues of the covariance of the channels,
        over all positions and samples; 0 where nothing varies.
    possible_rank, rank_limit
        What the effective rank cannot be above, and why: the number of ``channels``, what the
        ``inputs`` of a layer allow that is a sum of them, or the number of ``samples`` or
        ``positions``, less one.
    parameters
        Numbers that the layer's operators read.
    multiply_adds
        Of its convolutions, matrix products and recurrences; the mean over the samples.
    energy_per_parameter
        Their quotient.
    strongest, weakest
        Names of the samples that excite the layer most and least, where they were asked for; of all
        samples only.

    What is not known is ``None``.
    """

    label: str | None
    layer: str
    kind: str
    module: str | None
    samples: int
    channels: int
    values: int
    not_finite: int
    mean: float | None
    deviation: float | None
    low: float | None
    high: float | None
    energy: float | None
    dead_channels: float | None
    dead_indices: tuple[int, ...] | None
    sparsity: float | None
    effective_rank: float | None
    possible_rank: int | None
    rank_limit: str | None
    parameters: int | None
    multiply_adds: float | None
    energy_per_parameter: float | None
    strongest: tuple[str, ...] | None = None
    weakest: tuple[str, ...] | None = None
