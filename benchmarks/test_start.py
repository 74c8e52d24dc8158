"""Seconds from a command to its end, each in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cases import choose_size, describe
from micam_fast.demo import DIGITS, MODEL

MICAM = ("-m", "micam_fast")
QUICK = {
    "python -c pass": ("-c", "pass"),
    "import micam_fast": ("-c", "import micam_fast"),
    "micam-fast --help": (*MICAM, "--help"),
}


def run_python(*words: str, caches: Path | None = None) -> str:
    """Run Python and give what it said.

    Parameters
    ----------
    words
        Its arguments.
    caches
        Folder for all caches, of Numba and of the user; by default those that there are.
    """
    places = {} if caches is None else {
        "NUMBA_CACHE_DIR": str(caches / "numba"), "XDG_CACHE_HOME": str(caches / "user"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, *words], check=True, capture_output=True, text=True,
        env={**os.environ, **places},
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize("what", QUICK)
def test_start(benchmark: Any, what: str) -> None:
    benchmark.group = "start"
    said = run_python(*QUICK[what])
    assert ("Usage:" in said) == (what == "micam-fast --help")
    describe(benchmark, "start", what)
    benchmark.pedantic(run_python, QUICK[what], rounds=15)


@pytest.fixture
def plot(tmp_path: Path) -> tuple[str, ...]:
    """Arguments that plot one digit of the demo."""
    np.save(tmp_path / "digit.npy", np.load(DIGITS)[3])
    out = tmp_path / "out"
    return (*MICAM, "plot", str(MODEL), str(tmp_path / "digit.npy"), "--output-dir", str(out))


def test_second_plot(benchmark: Any, plot: tuple[str, ...], tmp_path: Path) -> None:
    benchmark.group = "start"
    # What a first run keeps, and nothing that other runs left.
    caches = tmp_path / "caches" if not benchmark.disabled else None
    run_python(*plot, caches=caches)
    assert len(list((tmp_path / "out").glob("*.png"))) == 1
    describe(benchmark, "start", "plot of the demo, second run")
    benchmark.pedantic(run_python, plot, {"caches": caches}, rounds=7)


def test_first_plot(benchmark: Any, plot: tuple[str, ...], tmp_path: Path) -> None:
    benchmark.group = "start"
    choose_size(benchmark, small=False)
    caches = tmp_path / "caches"

    def forget() -> None:
        shutil.rmtree(caches, ignore_errors=True)

    said = run_python(*plot, caches=caches)
    assert list(caches.rglob("*.nbi")), "nothing was compiled"
    describe(
        benchmark, "start", "plot of the demo, very first run",
        says_that_it_compiles="compil" in said,
    )  # fmt: skip
    benchmark.pedantic(run_python, plot, {"caches": caches}, setup=forget, rounds=3)
