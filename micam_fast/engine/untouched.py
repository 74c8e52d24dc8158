"""The net under every rewriting: the first sample also runs through the file as it is.

ONNX Runtime is asked for many activations, merged operators and slices; none of that may change
what the model computes.
"""

from __future__ import annotations

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
from micam_fast.engine.observation import run_untouched
from micam_fast.engine.pipeline import Pipeline
from micam_fast.engine.workspaces import Workspace
from micam_fast.models.onnx import ModelGraph, OnnxFile
from micam_fast.models.onnx.graph import Graph, Kind
from micam_fast.models.onnx.operators import find_operator
from micam_fast.samples import Arrays

Verdict = Literal["agrees", "rewriting dropped", "differs", "not compared"]

_FLOAT, _HALF = 1e-4, 2e-2
_HALVES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


@dataclass(frozen=True)
class Outcome:
    """What came of comparing the outputs of the graph that runs with those of the file itself.

    Attributes
    ----------
    verdict
        ``"agrees"``; ``"rewriting dropped"`` where the file without rewritings agrees;
        ``"differs"`` where not even that does; ``"not compared"`` for a model that makes random
        numbers.
    difference
        The largest, as a share of what is allowed, of the first comparison; infinite for outputs
        of other shapes, or other values that are not finite.
    output
        The output that differs most; empty where nothing was compared.
    """

    verdict: Verdict
    difference: float
    output: str

    def note(self) -> str | None:
        """What a user is to know, if anything."""
        times = f"output {self.output!r} differs by {self.difference:.3g} times what is allowed"
        if self.verdict == "rewriting dropped":
            return f"the model runs as it is, without what makes it faster: {times} with it"
        if self.verdict == "differs":
            return f"the model gives other numbers where its activations are given out: {times}"
        return None


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
    if graph.reading.invariance.random:
        return Outcome("not compared", 0.0, "")
    runner, whole = pipeline.runner(graph), graph.graph
    names = [each.value for each in graph.outputs if each.value in whole.producer]
    wanted = run_untouched(file, names, runner.batching.stack([sample]), providers)
    try:
        share, output = compare(whole, wanted, runner.outputs(sample, Workspace(1)))
    except (ModelError, SampleError):
        share, output = math.inf, ""
    if share <= 1:
        return Outcome("agrees", share, output)
    plain = pipeline.runner(graph.plain())
    again, _ = compare(whole, wanted, plain.outputs(sample, Workspace(1)))
    return Outcome("rewriting dropped" if again <= 1 else "differs", share, output)


def load_outcome(files: PlanFiles, key: str) -> Outcome | None:
    """An outcome that was kept under a name from `outcome_key`."""
    found: Outcome | None = try_record(Outcome, files.load(plan_key(b"outcome", key.encode())))
    return found


def keep_outcome(files: PlanFiles, key: str, outcome: Outcome) -> None:
    """Keep an outcome for later processes."""
    files.keep(plan_key(b"outcome", key.encode()), outcome)


def compare(
    graph: Graph, wanted: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]
) -> tuple[float, str]:
    """The largest difference as a share of what SPEC section 1 allows, and the output."""
    worst, where = 0.0, ""
    for name, array in wanted.items():
        share = _share(graph, name, array, found[name])
        if not where or share > worst:
            worst, where = share, name
    return worst, where


def _share(graph: Graph, name: str, wanted: NDArray[Any], found: NDArray[Any]) -> float:
    if wanted.shape != found.shape or wanted.dtype != found.dtype:
        return math.inf
    if wanted.dtype.kind != "f":
        return 0.0 if np.array_equal(wanted, found) else math.inf
    # What a sample makes infinite or NaN tells nothing of the graph.
    finite = np.isfinite(wanted)
    one, other = wanted[finite].astype(np.float64), found[finite].astype(np.float64)
    if not np.isfinite(other).all():
        return math.inf
    difference = float(np.abs(one - other).max(initial=0.0))
    largest = float(np.abs(one).max(initial=0.0))
    allowed = _tolerance(graph) * largest
    step = _quantization_step(graph, name)
    allowed = max(allowed, 0.0 if step is None else step * (1 + _FLOAT))
    return difference / allowed if allowed else (0.0 if difference == 0 else math.inf)


def _tolerance(graph: Graph) -> float:
    """Relative to the largest value of an output."""
    halves = any(
        graph.element_type(name) in _HALVES
        for node in graph.nodes
        for name in node.output
        if graph.kind.get(name) is Kind.ACTIVATION
    )
    return _HALF if halves else _FLOAT


def _quantization_step(graph: Graph, output: str) -> float | None:
    """The unit in which a value was quantized last on the way to an output, if it was."""
    steps = list(_steps(graph, output))
    return max(steps, default=None)


def _steps(graph: Graph, output: str) -> Iterator[float]:
    """Units of the nearest quantized values that an output is made from."""
    seen, waiting = {output}, [output]
    while waiting:
        index = graph.producer.get(waiting.pop())
        if index is None:
            continue
        node = graph.nodes[index]
        if find_operator(node).name == "DequantizeLinear" and graph.is_known(node.input[1]):
            yield float(np.abs(graph.array(node.input[1])).max(initial=0.0))
            continue
        fresh = [name for name in graph.activations(node) if name not in seen]
        seen.update(fresh)
        waiting.extend(fresh)


def outcome_key(*parts: object) -> str:
    """A name for an outcome, of what it belongs to and of the versions of the libraries."""
    from importlib.metadata import version

    versions = [version(name) for name in ("micam-fast", "onnx", "onnxruntime")]
    return hashlib.sha256(repr((versions, parts)).encode()).hexdigest()[:32]
