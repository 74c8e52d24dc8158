"""What the benchmarks have in common: threads, batch, models, and what is noted of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

THREADS = 2
BATCH = 32

DEMO_CASE = ("demo", 28)
"""A model so small that a benchmark on it is a test."""


def choose_case(benchmark: Any, case: tuple[str, int]) -> None:
    """`choose_size` for a model, which is what results are grouped by on the screen."""
    benchmark.group = show_model(*case)
    choose_size(benchmark, small=case == DEMO_CASE)


def choose_size(benchmark: Any, *, small: bool) -> None:
    """Skip what is there to be tested where times are taken, and the other way round."""
    if benchmark.disabled and not small:
        pytest.skip("timed with --benchmark-enable only")
    if small and not benchmark.disabled:
        pytest.skip("small, for correctness; not timed")


def describe(
    benchmark: Any, table: str, what: str, model: str = "", *, units: int = 1, **more: Any
) -> None:
    """Note what a benchmark measures, once its output has been checked.

    What is not described (because a check failed) does not get into the results.

    Parameters
    ----------
    benchmark
        The fixture.
    table, what
        As in `benchmarks.ratios`.
    model
        Model and size.
    units
        How many of the table's unit (samples, diagrams, layers) one round makes.
    more
        Whatever else a reader should know: batch, MB of activations, seconds of stages.
    """
    benchmark.extra_info.update(table=table, what=what, model=model, units=units, **more)


def show_model(name: str, size: int) -> str:
    """Model and size as tables show them."""
    return f"{name} {size}x{size}"


def peak_megabytes() -> float:
    """The most memory that this process has held, in a million bytes."""
    # Not getrusage: its maximum begins with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return round(int(peak) * 1024 / 1e6, 1)
