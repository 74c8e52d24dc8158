"""Measure which operators keep the bits of a sample, whatever the batch and the threads.

ONNX Runtime runs small models of each operator (``tests/helpers/operator_models.py``) in several
opsets, on awkward shapes and on some that are large enough for threads to share. The script prints
a line for each operator: what its row in `micam_fast.models.onnx.operators` says of batch and
threads, and in how many models the bits differ. Where the two contradict each other, the line says
so, and the script exits with 1. It runs from the repository's root:
``python -m tools.measure_operators [NAME ...]``.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx
import onnxruntime

from micam_fast.models.onnx import open_model
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.invariance import find_invariance
from micam_fast.models.onnx.operator_row import SAFE, UNSAFE, Measured, Operator
from micam_fast.models.onnx.operators import OPERATORS
from tests.helpers.operator_models import SHAPES, operator_models
from tests.helpers.single_operators import bits_of, session_of

LARGER = [(24, 40, 41), (300, 50), (33, 65), (1031,)]
OPSETS = (13, 21)
BATCHES = (1, 2, 3, 8)
THREADS = (1, 2, 3, 4)


@dataclass
class Count:
    """In how many of the models that ran the bits differ, by batch or by threads.

    Attributes
    ----------
    differ
        All such models.
    unexpected
        Those of them for which nothing of the sort is expected.
    """

    differ: int = 0
    unexpected: int = 0

    def add(self, *, differs: bool, expected: bool) -> None:
        """Count a model."""
        self.differ += differs
        self.unexpected += differs and not expected

    def __str__(self) -> str:
        expected = self.differ - self.unexpected
        return f"differs in {self.differ}" + (f" ({expected} as expected)" if expected else "")

    def contradicts(self, said: Measured) -> bool:
        """Tell whether this is not what a row says."""
        return bool(self.unexpected if said is SAFE else said is UNSAFE and not self.differ)


def measure(operator: Operator) -> tuple[int, Count, Count]:
    """Run all models of an operator: their number, and what depends on batch and threads."""
    number, by_batch, by_threads = 0, Count(), Count()
    for model in _in_opsets(operator_models(operator, [*SHAPES, *LARGER])):
        said = find_invariance(Graph(open_model(model)))
        alone, *shared = [session_of(model, threads) for threads in THREADS]
        expected = bits_of(alone, 1)
        number += 1
        mixed = any(bits_of(alone, size) != expected for size in BATCHES[1:])
        by_batch.add(differs=mixed, expected=not said.batch)
        cut = any(bits_of(each, size) != expected for each in shared for size in BATCHES)
        by_threads.add(differs=cut, expected=not said.threads)
    return number, by_batch, by_threads


def _in_opsets(models: Iterator[onnx.ModelProto]) -> Iterator[onnx.ModelProto]:
    """Each model as it is, and in those other opsets that have such operators."""
    for model in models:
        yield model
        for opset in OPSETS:
            other = onnx.ModelProto()
            other.CopyFrom(model)
            other.opset_import[0].version = opset
            other.ir_version = 10
            try:
                open_model(other)
                session_of(other, 1)
            except Exception:
                continue
            yield other


def main(names: Sequence[str]) -> int:
    """Measure these operators, or all of them."""
    contradictions = total = 0
    for row in OPERATORS:
        if names and row.name not in names:
            continue
        number, by_batch, by_threads = measure(row)
        total += number
        wrong = by_batch.contradicts(row.bits.batch) or by_threads.contradicts(row.bits.threads)
        contradictions += wrong
        label = f"{row.domain}::{row.name}" if row.domain else row.name
        if not number:
            print(f"{label}: {row.bits.batch.value}; no model")
            continue
        print(
            f"{label}: {number} models; batch {row.bits.batch.value}, {by_batch}; "
            f"threads {row.bits.threads.value}, {by_threads}"
            f"{'; CONTRADICTION' if wrong else ''}",
            flush=True,
        )
    where = f"ONNX Runtime {onnxruntime.__version__} on {platform.machine()}"
    print(f"{total:,} models, {contradictions} contradictions; {where}")
    return int(contradictions > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
