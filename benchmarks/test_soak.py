"""A long run: whether each sample is written or named, how its memory grows, and its speed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cases import THREADS, choose_size, describe
from benchmarks.soak import BREAK, Soak, check_soak, make_soak, pace
from micam_fast.demo import MODEL

SMALL_COUNT, COUNTS = 500, (200, 10_000)
SCALE = "0.25"
"""Size of the tiles: 75 kB a diagram, so that no disk has to keep up with gigabytes."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where samples and diagrams go; 10,000 of them are not kept."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def run(soak: Soak, folder: Path) -> tuple[int, float]:
    """Plot in a process of its own; its exit code and its peak memory in a million bytes."""
    shutil.rmtree(folder / "o", ignore_errors=True)
    (folder / "log").unlink(missing_ok=True)
    words: list[str | Path] = [
        "plot",
        MODEL,
        *soak.paths,
        "--layout",
        "nchw",
        "--scale-tiles",
        SCALE,
    ]
    words += ["--threads", str(THREADS), "--output-dir", folder / "o", "--log-json", folder / "log"]
    peak = 0.0
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "micam_fast", *words], stdout=said, stderr=said
        )
        while process.poll() is None:
            peak = max(peak, _peak_megabytes(process.pid))
            time.sleep(0.02)
    return process.returncode, peak


def _peak_megabytes(process: int) -> float:
    """The most memory that a process has held until now; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024e-6 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.parametrize("count", [SMALL_COUNT, *COUNTS])
def test_soak(benchmark: Any, count: int, folder: Path) -> None:
    benchmark.group = "soak"
    choose_size(benchmark, small=count == SMALL_COUNT)
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc on this system")
    soak = make_soak(folder / "samples", count)
    assert len(soak.broken) * 50 == count
    assert set(soak.broken.values()) == set(BREAK) or count < SMALL_COUNT
    found: list[tuple[int, float]] = []
    benchmark.pedantic(lambda: found.append(run(soak, folder)), rounds=1)
    code, peak = found[0]
    check_soak(soak, folder / "o", code)
    assert "Traceback" not in (folder / "said").read_text()
    more: dict[str, Any] = {}
    if count >= 2000:
        measured = pace(folder / "log")
        more = {
            "first_thousand_ms_a_sample": round(1000 * measured.first, 3),
            "last_thousand_over_first": round(measured.last / measured.first, 4),
        }
    describe(
        benchmark, "soak", f"plot of {count} samples", "demo 28x28", units=count,
        threads=THREADS, broken=len(soak.broken), peak_megabytes=peak, **more,
    )  # fmt: skip
