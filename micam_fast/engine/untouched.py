"""The net under every rewriting: the first sample also runs through the file as it is.

ONNX Runtime is asked for many activations, merged operators and slices; none of that may change
what the model computes.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from micam_fast.core.errors import ModelError, SampleError
from micam_fast.core.json_records import try_record
from micam_fast.core.plan_cache import PlanFiles, plan_key
from micam_fast.engine.batch_arrays import Batching
from micam_fast.engine.observation import run_untouched
from micam_fast.engine.pipeline import Pipeline
from micam_fast.models.onnx import ModelGraph, OnnxFile
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.operators import find_operator
from micam_fast.models.onnx.quantization import quantizes
from micam_fast.samples import Arrays

Verdict = Literal["agrees", "rewriting dropped", "differs", "not compared"]

_FLOAT, _HALF = 1e-4, 2e-2
_HALVES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
# Numbers as far from ONNX Runtime's own two ways as these are from each other tell nothing: they
# may lie on the other side.
_OWN_WAYS = 2
# An output of which its own optimizations change a tenth is rounding and nothing else: of a
# detector that finds nothing, outputs of 2e-7 differ by a half.
_NOISE = 0.1
_CODES = 255


@dataclass(frozen=True)
class Outcome:
    """What came of comparing the outputs of the graph that runs with those of the file itself.

    Attributes
    ----------
    verdict
        ``"agrees"``; ``"rewriting dropped"`` where the file without rewritings agrees;
        ``"differs"`` where not even that does; ``"not compared"`` where nothing can be concluded.
    difference
        The largest of the graph with its rewritings, as a share of what is allowed; ``None`` where
        it is no number: nothing was compared, or outputs have other shapes or are not finite.
    output
        The output that differs most; empty where nothing was compared.
    reason
        Why nothing was compared.
    """

    verdict: Verdict
    difference: float | None
    output: str
    reason: str = ""

    @property
    def dropped(self) -> bool:
        """Whether the graph without rewritings is to run."""
        return self.verdict in ("rewriting dropped", "differs")

    def note(self) -> str | None:
        """What a user is to know, if anything."""
        if self.verdict == "agrees":
            return None
        if self.verdict == "not compared":
            return f"the model's output is not compared with that of the file alone: {self.reason}"
        times = (
            f"output {self.output!r} has other shapes or numbers that are not finite"
            if self.difference is None
            else f"output {self.output!r} differs by {self.difference:.3g} times what is allowed"
        )
        if self.verdict == "rewriting dropped":
            return f"the model runs as it is, without what makes it faster: {times} with it"
        return f"the model gives other numbers where its activations are given out: {times}"


def check_graph(
    pipeline: Pipeline,
    file: OnnxFile,
    graph: ModelGraph,
    sample: Arrays,
    providers: Sequence[Any],
) -> Outcome:
    """Compare the outputs of the graph that runs with those of the file.

    Raises
    ------
    SampleError
        If ONNX Runtime cannot run the sample.
    """
    if random := graph.reading.invariance.random:
        return Outcome("not compared", None, "", f"it makes random numbers ({random})")
    whole = graph.graph
    names = [each.value for each in graph.outputs if each.value in whole.producer]
    if not names:
        return Outcome("not compared", None, "", "no output is a tensor that the model makes")
    feeds = Batching(graph).stack([sample])
    try:
        # First: its session is gone before the one that stays is opened.
        wanted = run_untouched(file, names, feeds, providers)
    except (ModelError, SampleError) as error:
        # Another error than that of the sample is one that the file alone has.
        pipeline.outputs(graph, sample)
        return Outcome("not compared", None, "", f"that cannot be run ({error})")
    if not any(decides(array, None) for array in wanted.values()):
        return Outcome("not compared", None, "", "the first sample gives it no finite number")
    found = _outputs(pipeline, graph, sample)
    share, output = compare(whole, wanted, found)
    if share <= 1:
        return Outcome("agrees", share, output)
    # What ONNX Runtime changes by its own optimizations is no fault of the rewritings.
    literal = _run_literally(file, names, feeds, providers)
    if not any(decides(wanted[name], literal.get(name)) for name in wanted):
        reason = "of this sample, ONNX Runtime's own optimizations make another output, too"
        return Outcome("not compared", None, "", reason)
    share, output = compare(whole, wanted, found, literal)
    difference = share if math.isfinite(share) else None
    if share <= 1:
        return Outcome("agrees", difference, output)
    again, _ = compare(whole, wanted, _outputs(pipeline, graph.plain(), sample), literal)
    return Outcome("rewriting dropped" if again <= 1 else "differs", difference, output)


def _outputs(
    pipeline: Pipeline, graph: ModelGraph, sample: Arrays
) -> list[dict[str, NDArray[Any]]]:
    """What a graph gives for a sample that the file can run; nothing where the graph cannot."""
    try:
        return pipeline.outputs(graph, sample)
    except (ModelError, SampleError):
        return [{}]


def _run_literally(
    file: OnnxFile,
    names: Sequence[str],
    feeds: Mapping[str, NDArray[Any]],
    providers: Sequence[Any],
) -> dict[str, NDArray[Any]]:
    """Outputs without ONNX Runtime's optimizations; none where it needs these."""
    try:
        return run_untouched(file, names, feeds, providers, literal=True)
    except (ModelError, SampleError):
        return {}


def load_outcome(files: PlanFiles, key: str) -> Outcome | None:
    """An outcome that was kept under a name from `outcome_key`."""
    found: Outcome | None = try_record(Outcome, files.load(plan_key(b"outcome", key.encode())))
    return found


def keep_outcome(files: PlanFiles, key: str, outcome: Outcome) -> None:
    """Keep an outcome for later processes; of nothing that was compared, these try again."""
    if outcome.verdict == "not compared":
        return
    files.keep(plan_key(b"outcome", key.encode()), outcome)


def compare(
    graph: Graph,
    wanted: Mapping[str, NDArray[Any]],
    found: Sequence[Mapping[str, NDArray[Any]]],
    literal: Mapping[str, NDArray[Any]] | None = None,
) -> tuple[float, str]:
    """The largest difference as a share of what SPEC section 1 allows, and the output.

    Parameters
    ----------
    wanted
        Outputs of the file.
    found
        Outputs of the graph, in each way that they are used.
    literal
        Outputs of the file without ONNX Runtime's optimizations: what these change is allowed, too,
        and an output that they change altogether decides nothing.
    """
    worst, where = 0.0, ""
    for name, array in wanted.items():
        other = (literal or {}).get(name)
        if not decides(array, other):
            continue
        share = max(
            _share(graph, name, array, way[name], other) if name in way else math.inf
            for way in found
        )
        if not where or share > worst:
            worst, where = share, name
    return worst, where


def decides(wanted: NDArray[Any], literal: NDArray[Any] | None) -> bool:
    """Tell whether an output holds numbers, alike in ONNX Runtime's own two ways."""
    numbers = wanted.size if wanted.dtype.kind != "f" else np.isfinite(wanted).any()
    if not numbers or literal is None:
        return bool(numbers)
    if wanted.shape != literal.shape or wanted.dtype != literal.dtype:
        return False
    if wanted.dtype.kind != "f":
        return bool(np.array_equal(wanted, literal))
    finite = np.isfinite(wanted)
    if not np.array_equal(finite, np.isfinite(literal)):
        return False
    return _largest(wanted[finite] - literal[finite]) <= _NOISE * _largest(wanted[finite])


def _share(
    graph: Graph,
    name: str,
    wanted: NDArray[Any],
    found: NDArray[Any],
    literal: NDArray[Any] | None,
) -> float:
    if wanted.shape != found.shape or wanted.dtype != found.dtype:
        return math.inf
    if wanted.dtype.kind != "f":
        if wanted.dtype.itemsize == 1 and any(map(_makes_codes, graph.nodes)):
            # In units of its quantization.
            return _largest(wanted.astype(np.float64) - found)
        return 0.0 if np.array_equal(wanted, found) else math.inf
    # What a sample makes infinite or NaN tells nothing of the graph.
    finite = np.isfinite(wanted)
    one, other = wanted[finite].astype(np.float64), found[finite].astype(np.float64)
    if not np.isfinite(other).all():
        return math.inf
    allowed = _tolerance(graph) * _largest(one)
    allowed = max(allowed, max(_steps(graph, name, one), default=0.0) * (1 + _FLOAT))
    if literal is not None:
        allowed = max(allowed, _OWN_WAYS * _largest(one - literal[finite]))
    difference = _largest(one - other)
    return difference / allowed if allowed else (0.0 if difference == 0 else math.inf)


def _largest(numbers: NDArray[Any]) -> float:
    return float(np.abs(numbers).max(initial=0.0))


def _tolerance(graph: Graph) -> float:
    """Relative to the largest value of an output."""
    halves = any(
        graph.element_type(name) in _HALVES
        for node in graph.nodes
        for name in node.output
        if graph.kind.get(name) is Kind.ACTIVATION
    )
    return _HALF if halves else _FLOAT


def _makes_codes(node: onnx.NodeProto) -> bool:
    return quantizes(node) or find_operator(node).units is not None


def _steps(graph: Graph, output: str, numbers: NDArray[Any]) -> Iterator[float]:
    """Units of the nearest quantized values that an output, of these numbers, is made from."""
    seen, waiting = {output}, [output]
    while waiting:
        index = graph.producer.get(waiting.pop())
        if index is None:
            continue
        node, kind = graph.nodes[index], find_operator(graph.nodes[index]).name
        if kind.startswith("DynamicQuantize"):
            # It measures its unit while it runs; the output's own would be of this size.
            yield float(np.ptp(numbers)) / _CODES if numbers.size else 0.0
        if kind == "DequantizeLinear" and graph.is_known(node.input[1]):
            yield float(np.abs(graph.array(node.input[1])).max(initial=0.0))
            continue
        fresh = [name for name in graph.activations(node) if name not in seen]
        seen.update(fresh)
        waiting.extend(fresh)


def outcome_key(*parts: object) -> str:
    """A name for an outcome, of what it belongs to and of the versions of the libraries."""
    return hashlib.sha256(repr((_versions(), parts)).encode()).hexdigest()[:32]


@functools.cache
def _versions() -> tuple[str, ...]:
    from importlib.metadata import version

    return tuple(version(name) for name in ("micam-fast", "onnx", "onnxruntime"))
