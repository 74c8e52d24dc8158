"""How far a second model's activations are from a first one's, for the same samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.choices import check_frame
from micam_fast.core.errors import SampleError
from micam_fast.engine.activations import LayerActivation
from micam_fast.engine.apart import LayersApart
from micam_fast.engine.loaded_model import LoadedModel, SampleLike
from micam_fast.models.onnx import ModelGraph
from micam_fast.models.onnx.real_units import code_limits

_Limits = tuple[float, float, float]


@dataclass(frozen=True)
class Noise:
    """What B's activations of one layer deviate from A's, over all values of all samples.

    Attributes
    ----------
    signal, error
        Sums of the squares of A's values, and of B's less A's. NaN where any value is not finite.
    own
        Sum of the squares of B's values less what A's layer makes of all that B's layer reads: the
        noise that is this layer's own. ``None`` where A's layer cannot be computed apart.
    saturated
        Share of the values that lie at a limit of B's codes where A's do not, by more than half a
        step: what the quantization cut off. ``None`` where B's layer makes no codes of known units.
    """

    signal: float
    error: float
    saturated: float | None = None
    own: float | None = None

    @property
    def added(self) -> float:
        """The relative error that the layer adds to that of what it reads; NaN if not known."""
        return math.nan if self.own is None else _relative(self.own, self.signal)

    @property
    def relative_error(self) -> float:
        """``|B - A| / |A|``; 0 where both are all zero, infinite where A alone is."""
        return _relative(self.error, self.signal)

    @property
    def snr_db(self) -> float:
        """``10 log10(|A|^2 / |B - A|^2)``, infinite where B is A."""
        relative = self.relative_error
        return math.inf if relative == 0 else -20 * math.log10(relative)


def _relative(error: float, signal: float) -> float:
    if signal == 0:
        return math.inf if error else 0.0
    return math.sqrt(error / signal)


def measure_noise(
    a: LoadedModel,
    b: LoadedModel,
    samples: Iterable[tuple[SampleLike | SampleError, SampleLike | SampleError]],
    pairs: Mapping[str, str],
    *,
    frame: int | None = None,
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
    frame
        As in `Model.explain`: the values of this frame alone count, where a layer has frames.
        Samples without it do not count.

    Returns
    -------
    dict
        By A's name: the layers whose activations are of one shape in all samples. Where one model
        shows the numbers of a function behind a layer in the layer's place, that layer is left out.
    """
    check_frame(frame)
    early_a, early_b = _early(a), _early(b)
    pairs = {n: each for n, each in pairs.items() if (n in early_a) == (each in early_b)}
    for_a, for_b, given = itertools.tee(samples, 3)
    sums = {name: _Sums() for name in pairs}
    apart = _Apart(a)
    sources = {layer.name for layer in a.layers if not layer.inputs}
    ours = _activations(a, (one for one, _ in for_a), frozenset(pairs), frame)
    theirs = _activations(b, (other for _, other in for_b), frozenset(pairs.values()), frame)
    for our, their, (first, sample) in zip(ours, theirs, given, strict=True):
        if isinstance(our, SampleError) or isinstance(their, SampleError):
            continue
        one, other = our.values, their.values
        limits = _limits(b, sample, pairs.values())
        read = {
            name: other[partner]
            for name, partner in pairs.items()
            if name in one and partner in other and one[name].shape == other[partner].shape
        }
        made = apart.run(first, read)
        # An input reads nothing: what deviates there is its own.
        made |= {name: one[name] for name in sources & read.keys()}
        for name, partner in pairs.items():
            if name in one and partner in other:
                own = our.take_frame(name, made[name], frame) if name in made else None
                a_values = our.take_frame(name, one[name], frame)
                b_values = their.take_frame(partner, other[partner], frame)
                sums[name].add(a_values, b_values, limits[partner], own)
    return {name: each.result() for name, each in sums.items() if each.count and not each.differs}


def _early(model: LoadedModel) -> set[str]:
    """Layers that show what a later one makes, as nobody computes what they make themselves."""
    last = {model.graph.taps[layer.name].value: layer.name for layer in model.layers}
    names = [layer.name for layer in model.layers]
    return {name for name in names if last[model.graph.taps[name].value] != name}


_Values = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class _Activations:
    """The values ``(C, P)`` of layers for one sample, and how many frames lie side by side."""

    values: _Values
    copies: Mapping[str, int]

    def take_frame(
        self, name: str, values: NDArray[np.float32], frame: int | None
    ) -> NDArray[np.float32]:
        """Those of a layer's values that belong to the frame; all where it has no frames."""
        copies = self.copies[name]
        if frame is None or copies == 1:
            return values
        return values.reshape(len(values), copies, -1)[:, frame]


def _activations(
    model: LoadedModel,
    samples: Iterable[SampleLike | SampleError],
    names: frozenset[str],
    frame: int | None,
) -> Iterator[_Activations | SampleError]:
    def take(index: int, slot: int, found: Iterator[LayerActivation] | SampleError) -> _Activations:
        if isinstance(found, SampleError):
            raise found
        values, copies = {}, {}
        for each in found:
            # The arrays' memory is the next sample's.
            values[each.layer], copies[each.layer] = np.array(each.values), each.copies
        held = min((count for count in copies.values() if count > 1), default=1)
        if frame is not None and frame >= held:
            raise SampleError(f"there is no frame {frame}")
        return _Activations(values, copies)

    # Of all frames, as a layer apart reads all of them.
    stream = model.activation_stream(lambda layers: names)
    return stream.stream((model.fit(sample) for sample in samples), take)


def _limits(
    model: LoadedModel, sample: SampleLike | SampleError, names: Iterable[str]
) -> dict[str, _Limits | None]:
    fitted = model.fit(sample)
    assert not isinstance(fitted, SampleError)
    found = model.find_graph(fitted)
    return {name: code_limits(found.graph, found.taps[name].value) for name in names}


class _Apart:
    """A's layers, each on what B's layer reads, for sample after sample."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._opened: tuple[ModelGraph, frozenset[str], LayersApart] | None = None

    def run(
        self, sample: SampleLike | SampleError, read: Mapping[str, NDArray[np.float32]]
    ) -> _Values:
        fitted = self._model.fit(sample)
        assert not isinstance(fitted, SampleError)
        graph, names = self._model.find_graph(fitted), frozenset(read)
        if self._opened is None or self._opened[:2] != (graph, names):
            self._opened = graph, names, LayersApart(self._model, graph, fitted, names)
        return self._opened[2].run(read)


class _Sums:
    """The sums of one layer, sample by sample."""

    def __init__(self) -> None:
        self.count = 0
        self.differs = False
        self._signal = self._error = 0.0
        self._saturated: int | None = None
        self._own: float | None = 0.0

    def add(
        self,
        a: NDArray[np.float32],
        b: NDArray[np.float32],
        limits: _Limits | None,
        made: NDArray[np.float32] | None,
    ) -> None:
        if a.shape != b.shape:
            self.differs = True
            return
        one, other = (each.astype(np.float64).reshape(-1) for each in (a, b))
        error = other - one
        self.count += a.size
        self._signal += float(one @ one)
        self._error += float(error @ error)
        if made is None or self._own is None:
            self._own = None
        else:
            own = other - made.astype(np.float64).reshape(-1)
            self._own += float(own @ own)
        if limits is not None:
            low, high, step = limits
            half = step / 2
            at_limit = (other < low + half) | (other > high - half)
            lost = int(np.count_nonzero(at_limit & (np.abs(error) > half)))
            self._saturated = (self._saturated or 0) + lost

    def result(self) -> Noise:
        share = None if self._saturated is None else self._saturated / self.count
        sums = self._signal, self._error
        own = self._own if self._own is None or np.isfinite(self._own) else math.nan
        return Noise(*(sums if np.isfinite(sums).all() else (math.nan, math.nan)), share, own)
