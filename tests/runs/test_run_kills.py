"""kill -9 at random moments: what goes on from there ends in the bytes of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from micam_fast import demo
from micam_fast.runs.manifest import NAME
from tests.helpers.commands import COMMAND
from tests.helpers.run_folders import folder_digests, manifest_lines

KILLS = int(os.environ.get("MICAM_KILLS", "3"))
"""How many moments; the goal is 50 (``MICAM_KILLS=50 pytest tests/runs/test_run_kills.py``)."""

SEED = 6
# For the many moments, seconds of work.
MANY = KILLS > 10
COPIES = 10 if MANY else 3
BATCH_SECONDS = 0.3
FORMATS = "png,svg,npz,dot,tiles" if MANY else "png,npz,dot,tiles"


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed: seconds until it writes, lines that it says, and its bytes."""

    words: Sequence[str]
    start: float
    said: int
    digests: dict[str, str]


def make_samples(folder: Path) -> Path:
    """Digits in batches, among files that are broken in several ways."""
    folder.mkdir()
    digits = np.load(demo.DIGITS)
    for place in range(COPIES):
        noise = np.random.default_rng(place).normal(0, 0.02, digits.shape)
        np.save(folder / f"{place:02d}.npy", (digits + noise).astype(np.float32))
        (folder / f"{place:02d}_broken.npy").write_bytes(b"no array")
    (folder / "03_broken.png").write_bytes(b"no picture")
    np.save(folder / "04_wrong.npy", np.zeros((3, 5, 7), np.float32))
    np.save(folder / "02_strange.npy", np.full((1, 28, 28), np.nan, np.float32))
    return folder


def begin(words: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def run(words: Sequence[str]) -> tuple[float, int]:
    """Let a run end; its seconds until the first sample is written, and its lines."""
    begun = time.perf_counter()
    with begin(words) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first = time.perf_counter()
        said = 1 + len(process.stdout.readlines())
        assert process.wait(timeout=120) == 1, "the broken samples are told by the exit code"
    return first - begun, said


def run_and_kill(words: Sequence[str], said: int, seconds: float) -> bool:
    """Kill a run so many seconds after it has said so many lines; whether it was still alive."""
    with begin(words) as process:
        assert process.stdout is not None
        for _ in range(said):
            process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
        return process.wait(timeout=60) == -signal.SIGKILL


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("kills")
    samples = make_samples(folder / "samples")
    words = ["plot", str(demo.MODEL), str(samples), "--layout", "nchw", "--scale-tiles", "0.3"]
    words += ["--format", FORMATS, "--output-dir", str(folder / "o"), "--threads", "2"]
    run([*words[:-2], "--threads", "1"])  # loops are compiled, layouts are known
    expected = folder_digests(folder / "o")
    shutil.rmtree(folder / "o")
    start, said = run(words)
    assert folder_digests(folder / "o") == expected
    errors = [each["sample"] for each in manifest_lines(folder / "o") if "error" in each]
    assert len(errors) == COPIES + 2
    return Undisturbed(words, start, said, expected)


@pytest.mark.parametrize("moment", range(KILLS))
def test_a_killed_run_goes_on(moment: int, undisturbed: Undisturbed) -> None:
    """A few moments before it writes, all others from then on; half of the next runs are killed.

    Moments are told by what a run has said, as its speed changes with what else the machine does.
    """
    chance = random.Random(1000 * SEED + moment)
    words, folder = undisturbed.words, Path(undisturbed.words[-3])
    killed, said, seconds = False, 0, undisturbed.start * chance.random()
    if moment % 5:
        # A batch is told of in one go; the seconds lead into the next one.
        said, seconds = chance.randrange(1, undisturbed.said), BATCH_SECONDS * chance.random()
    while not killed:
        shutil.rmtree(folder, ignore_errors=True)
        killed = run_and_kill(words, said, seconds)
        seconds /= 2
    written = len(list(folder.glob("*.png"))) if folder.exists() else 0
    told = len(manifest_lines(folder)) if (folder / NAME).exists() else 0
    again = False
    if moment % 2:
        said_again = chance.randrange(2)
        most = BATCH_SECONDS if said_again else undisturbed.start
        again = run_and_kill([*words, "--resume"], said_again, most * chance.random())
    run([*words, "--resume"])
    assert folder_digests(folder) == undisturbed.digests
    print(f"after {said} lines: {written} pictures and {told} lines were there; again {again}")
