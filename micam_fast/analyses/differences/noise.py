"""How far a second model's activations are from a first one's, for the same samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.errors import SampleError
from micam_fast.core.layers import Layer
from micam_fast.engine.activations import LayerActivation
from micam_fast.engine.loaded_model import LoadedModel, SampleLike
from micam_fast.models.onnx.real_units import code_limits

_Limits = tuple[float, float, float]


@dataclass(frozen=True)
class Noise:
    """What B's activations of one layer deviate from A's, over all values of all samples.

    Attributes
    ----------
    signal, error
        Sums of the squares of A's values, and of B's less A's. NaN where any value is not finite.
    saturated
        Share of the values that lie at a limit of B's codes where A's do not, by more than half a
        step: what the quantization cut off. ``None`` where B's layer makes no codes of known units.
    """

    signal: float
    error: float
    saturated: float | None = None

    @property
    def relative_error(self) -> float:
        """``|B - A| / |A|``; 0 where both are all zero, infinite where A alone is."""
        if self.signal == 0:
            return math.inf if self.error else 0.0
        return math.sqrt(self.error / self.signal)

    @property
    def snr_db(self) -> float:
        """``10 log10(|A|^2 / |B - A|^2)``, infinite where B is A."""
        relative = self.relative_error
        return math.inf if relative == 0 else -20 * math.log10(relative) if relative else math.nan


def measure_noise(
    a: LoadedModel,
    b: LoadedModel,
    samples: Iterable[tuple[SampleLike | SampleError, SampleLike | SampleError]],
    pairs: Mapping[str, str],
) -> dict[str, Noise]:
    """Run two models side by side, and compare the activations of their layers.

    Parameters
    ----------
    a, b
        The models; A is the reference.
    samples
        Each as A and as B takes it. Those that either model cannot run do not count.
    pairs
        Names of B's layers by those of A's.

    Returns
    -------
    dict
        By A's name: the layers whose activations are of one shape in all samples. Where one model
        shows the numbers of a function behind a layer in the layer's place, that layer is left out.
    """
    early_a, early_b = _early(a), _early(b)
    pairs = {n: each for n, each in pairs.items() if (n in early_a) == (each in early_b)}
    for_a, for_b, given = itertools.tee(samples, 3)
    sums = {name: _Sums() for name in pairs}
    ours = _activations(a, (one for one, _ in for_a), frozenset(pairs))
    theirs = _activations(b, (other for _, other in for_b), frozenset(pairs.values()))
    for one, other, (_, sample) in zip(ours, theirs, given, strict=True):
        if isinstance(one, SampleError) or isinstance(other, SampleError):
            continue
        limits = _limits(b, sample, pairs.values())
        for name, partner in pairs.items():
            if name in one and partner in other:
                sums[name].add(one[name], other[partner], limits[partner])
    return {name: each.result() for name, each in sums.items() if each.count and not each.differs}


def find_added(
    layers: Sequence[Layer],
    starts: Mapping[str, tuple[str, str]],
    noise: Mapping[str, Noise],
    name: str,
) -> float:
    """The relative error of a layer beyond the largest one of what it reads.

    Noise that a layer hands on is not its own: of independent noises, the squares add up.

    Parameters
    ----------
    layers
        A's.
    starts
        As in `Matching`: the first of the layers that a layer stands for.
    noise
        By A's name.
    name
        Which layer.
    """
    inputs = {layer.name: layer.inputs for layer in layers}
    waiting = list(inputs[starts.get(name, (name,))[0]])
    seen: set[str] = set()
    read = 0.0
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        if each in noise:
            read = max(read, noise[each].relative_error)
        else:
            # Nothing is known of it; what it reads is.
            waiting.extend(inputs[each])
    own = noise[name].relative_error
    if math.isnan(own) or math.isinf(own):
        return own
    return math.sqrt(max(0.0, own**2 - read**2))


def _early(model: LoadedModel) -> set[str]:
    """Layers that show what a later one makes, as nobody computes what they make themselves."""
    last = {model.graph.taps[layer.name].value: layer.name for layer in model.layers}
    names = [layer.name for layer in model.layers]
    return {name for name in names if last[model.graph.taps[name].value] != name}


_Activations = dict[str, NDArray[np.float32]]


def _activations(
    model: LoadedModel, samples: Iterable[SampleLike | SampleError], names: frozenset[str]
) -> Iterator[_Activations | SampleError]:
    def take(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> _Activations:
        if isinstance(found, SampleError):
            raise found
        # The arrays' memory is the next sample's.
        return {each.layer: np.array(each.values) for each in found}

    stream = model.activation_stream(lambda layers: names)
    return stream.stream((model.fit(sample) for sample in samples), take)


def _limits(
    model: LoadedModel, sample: SampleLike | SampleError, names: Iterable[str]
) -> dict[str, _Limits | None]:
    fitted = model.fit(sample)
    assert not isinstance(fitted, SampleError)
    found = model.find_graph(fitted)
    return {name: code_limits(found.graph, found.taps[name].value) for name in names}


class _Sums:
    """The sums of one layer, sample by sample."""

    def __init__(self) -> None:
        self.count = 0
        self.differs = False
        self._signal = self._error = 0.0
        self._saturated: int | None = None

    def add(self, a: NDArray[np.float32], b: NDArray[np.float32], limits: _Limits | None) -> None:
        if a.shape != b.shape:
            self.differs = True
            return
        one, other = (each.astype(np.float64).reshape(-1) for each in (a, b))
        error = other - one
        self.count += a.size
        self._signal += float(one @ one)
        self._error += float(error @ error)
        if limits is not None:
            low, high, step = limits
            half = step / 2
            at_limit = (other < low + half) | (other > high - half)
            lost = int(np.count_nonzero(at_limit & (np.abs(error) > half)))
            self._saturated = (self._saturated or 0) + lost

    def result(self) -> Noise:
        share = None if self._saturated is None else self._saturated / self.count
        sums = self._signal, self._error
        return Noise(*(sums if np.isfinite(sums).all() else (math.nan, math.nan)), share)
