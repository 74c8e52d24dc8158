"""Runs seeds in processes of their own, so that a crash or a hang is a finding like another.

``python -m tests.helpers.fuzz_runner KIND FIRST LAST FOLDER`` runs other seeds than the
tests do, and shows what they find.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import shutil
import signal
import sys
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.helpers.fuzz_seeds import model_files
from tests.helpers.fuzzing import (
    LONGEST,
    SLOW,
    Capture,
    Case,
    complete_case,
    judge,
    make_case,
    run_case,
    run_command,
)
from tests.helpers.mutations import Random

Seed = tuple[str, int]
Command = Callable[[Sequence[str]], int]

MOST_MEMORY = 4 * 2**30
"""Bytes that a process may ask for besides what it has: the machine must outlive a bomb."""

_START = 120.0
"""Seconds until a process is ready; Numba may have to compile."""

_WARM_UP = (("conv", "published"), ("recurrent", "published"), ("rgb", "transposed"))
_context = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Finding:
    """What was wrong with a seed."""

    kind: str
    seed: int
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        reasons = "; ".join(self.reasons)
        return (
            f"{self.kind} {self.seed}: {reasons}\n"
            f"    to look: python -m tests.helpers.fuzzing {self.kind} {self.seed} FOLDER"
        )


@dataclass
class Tally:
    """What became of all seeds.

    Attributes
    ----------
    ended
        How many runs by kind and exit code.
    slowest
        Seconds of the slowest, and its seed.
    memory
        Most bytes that one took besides what its process had before, and its seed.
    findings
        What was wrong.
    """

    ended: Counter[tuple[str, int]] = field(default_factory=Counter)
    slowest: tuple[float, str, int] = (0.0, "", 0)
    memory: tuple[int, str, int] = (0, "", 0)
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = dict.fromkeys(kind for kind, _ in self.ended)
        shown = []
        for kind in kinds:
            codes = {code: n for (each, code), n in sorted(self.ended.items()) if each == kind}
            listed = ", ".join(f"{n} exit {code}" for code, n in codes.items())
            shown.append(f"{sum(codes.values())} {kind} ({listed})")
        return (
            f"{self.ended.total()} mutated inputs: {', '.join(shown)}; "
            f"slowest {self.slowest[0]:.2f} s ({self.slowest[1]} {self.slowest[2]}), most memory "
            f"{self.memory[0] / 2**20:.0f} MiB ({self.memory[1]} {self.memory[2]}); "
            f"{len(self.findings)} findings"
        )


# --- The process that runs them --------------------------------------------------------------


def _serve(pipe: Connection, folder: Path, command: Command) -> None:
    """Run seeds as they come, and tell what became of each."""
    import resource

    _show_all_warnings()
    with (folder / "dump.txt").open("w") as dump:
        faulthandler.enable(dump)
        # So that the parent can ask where a run hangs.
        faulthandler.register(signal.SIGUSR1, dump)
        capture = Capture()
        if command is run_command:
            _warm_up(folder, capture)
        own = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (own + MOST_MEMORY,) * 2)
        pipe.send(None)
        while True:
            kind, seed = pipe.recv()
            case = make_case(kind, seed)
            place = folder / f"{kind}-{seed}"
            run = run_case(case, place, capture, command)
            reasons = judge(case, place, run)
            os.chdir(folder)
            shutil.rmtree(place)
            pipe.send((run.code, run.seconds, run.memory, reasons))


def _show_all_warnings() -> None:
    """Those that a user sees, but each time: Python tells of a place in the code only once."""
    warnings.simplefilter("always", append=True)


def _warm_up(folder: Path, capture: Capture) -> None:
    """Load libraries and loops, which is no seed's time."""
    for model, projection in _WARM_UP:
        content = model_files()[model][0]["model.onnx"]
        case = complete_case("onnx", model, ".onnx", content, Random(0))
        more = ("--format", "npz,svg,tiles", "--projection", projection)
        run = run_case(
            Case(case.files, (*case.words, *more)), folder / "warm", capture, run_command
        )
        if run.code:
            raise RuntimeError(f"a valid model fails: {run.stderr}")
        os.chdir(folder)
        shutil.rmtree(folder / "warm")


# --- The process that watches them -----------------------------------------------------------


class _Child:
    def __init__(self, folder: Path, command: Command, longest: float) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._dump = folder / "dump.txt"
        self._longest = longest
        self.pipe, other = _context.Pipe()
        self._process = _context.Process(target=_serve, args=(other, folder, command), daemon=True)
        self._process.start()
        other.close()
        self.seed: Seed | None = None
        self.until = time.monotonic() + _START

    def give(self, seed: Seed) -> None:
        self.seed = seed
        # Its own clock tells what took a little too long.
        self.until = time.monotonic() + self._longest + 1
        self.pipe.send(seed)

    def end(self) -> str:
        """Stop the process; how it ended and where it was."""
        hangs = time.monotonic() > self.until
        if hangs:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid or 0, signal.SIGUSR1)
            time.sleep(0.3)
            self._process.kill()
        self._process.join()
        how = f"{SLOW}more than {self._longest:g} s" if hangs else f"exit {self._process.exitcode}"
        return f"{how}\n{self._dump.read_text()[-1500:] if self._dump.exists() else ''}"

    def close(self) -> None:
        """Stop a process that has nothing to do."""
        self._process.kill()
        self._process.join()


def run_seeds(
    seeds: Sequence[Seed],
    folder: Path,
    *,
    command: Command = run_command,
    longest: float = LONGEST,
    jobs: int | None = None,
) -> Tally:
    """Run seeds in several processes.

    Parameters
    ----------
    seeds
        Kinds and seeds.
    folder
        To work in.
    command
        What is run in the place of the command: a function of a module, for tests.
    longest
        Seconds after which a process is ended.
    jobs
        Processes; by default as many as cores.
    """
    tally = Tally()

    def start(place: Path) -> _Child:
        return _Child(place, command, longest)

    slow = _run_all(
        seeds, [folder / f"{n}" for n in range(jobs or os.cpu_count() or 1)], start, tally
    )
    # The machine may have been busy with other things: once more, each in peace.
    again = _run_all([(each.kind, each.seed) for each in slow], [folder / "again"], start, tally)
    tally.ended.update((each.kind, _NO_CODE) for each in again)
    tally.findings += again
    return tally


def _run_all(
    seeds: Sequence[Seed],
    places: Sequence[Path],
    start: Callable[[Path], _Child],
    tally: Tally,
) -> list[Finding]:
    """Run seeds; what was too slow is handed back, not told."""
    waiting = deque(seeds)
    slow: list[Finding] = []
    children = {place: start(place) for place in places[: len(seeds)]}
    while children:
        now = time.monotonic()
        least = min(child.until for child in children.values())
        wait([child.pipe for child in children.values()], max(0.0, least - now))
        for place, child in list(children.items()):
            answer = _answer(child)
            if answer is _NOTHING:
                continue
            if child.seed is not None:
                _note(child.seed, answer, tally, slow)
            elif isinstance(answer, str):
                raise RuntimeError(f"the process does not start: {answer}")
            if waiting and not isinstance(answer, str):
                child.give(waiting.popleft())
                continue
            child.close()
            del children[place]
            if waiting:
                children[place] = start(place)
    return slow


_NOTHING = object()
_NO_CODE = -1
"""In the place of the exit code of a run that did not end by itself."""


def _answer(child: _Child) -> Any:
    """What a process sent; how it ended, as text, if it is dead or late; else `_NOTHING`."""
    try:
        if child.pipe.poll():
            return child.pipe.recv()
    except EOFError:
        return child.end()
    return child.end() if time.monotonic() > child.until else _NOTHING


def _note(seed: Seed, answer: Any, tally: Tally, slow: list[Finding]) -> None:
    kind, number = seed
    died = isinstance(answer, str)
    code, seconds, memory, reasons = (_NO_CODE, 0.0, 0, [answer]) if died else answer
    finding = Finding(kind, number, tuple(reasons))
    if any(reason.startswith(SLOW) for reason in reasons):
        slow.append(finding)
        return
    tally.ended[kind, code] += 1
    tally.slowest = max(tally.slowest, (seconds, kind, number))
    tally.memory = max(tally.memory, (memory, kind, number))
    if reasons:
        tally.findings.append(finding)


if __name__ == "__main__":
    first, last = map(int, sys.argv[2:4])
    found = run_seeds([(sys.argv[1], seed) for seed in range(first, last)], Path(sys.argv[4]))
    print(*found.findings, found, sep="\n")
