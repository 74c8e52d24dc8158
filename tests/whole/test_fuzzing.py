"""Mutated models and samples end in files or in one line; and the fuzzer sees when they do not."""

from __future__ import annotations

import ctypes
import os
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import fuzzing
from tests.helpers.fuzz_runner import Tally, run_seeds
from tests.helpers.fuzzing import MUTATORS, OUTPUT, main, make_case, seeds_of
from tests.helpers.mutations import Random

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is measured as Linux tells it"
)
INPUTS = {"onnx": 500, "npy": 350, "png": 400, "npz": 350, "csv": 350, "tfrecord": 350}


# --- The inputs ------------------------------------------------------------------------------


class _Report:
    """Shows the figures at the end of the test run."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"fuzzing: {self._tally}")


@pytest.fixture(scope="module")
def tally(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Tally:
    """What became of all inputs."""
    seeds = [(kind, seed) for kind, number in INPUTS.items() for seed in range(number)]
    found = run_seeds(seeds, tmp_path_factory.mktemp("fuzzing"))
    request.config.pluginmanager.register(_Report(found), "fuzzing report")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", INPUTS)
def test_mutated_inputs_end_in_files_or_in_one_line(tally: Tally, kind: str) -> None:
    if wrong := [str(each) for each in tally.findings if each.kind == kind]:
        pytest.fail("\n".join(wrong), pytrace=False)
    ended = {code: number for (each, code), number in tally.ended.items() if each == kind}
    assert sum(ended.values()) == INPUTS[kind]
    # Mutations that break nothing, or everything, would find nothing.
    assert ended[0] >= INPUTS[kind] / 20
    assert ended[2] >= INPUTS[kind] / 4


@pytest.mark.slow
def test_valid_files_are_drawn(tmp_path: Path) -> None:
    seeds = [(kind, -1 - place) for kind in MUTATORS for place in range(len(seeds_of(kind)))]
    done = run_seeds(seeds, tmp_path)
    assert not list(map(str, done.findings))
    assert done.ended == {(kind, 0): len(seeds_of(kind)) for kind in MUTATORS}


@pytest.mark.parametrize("kind", MUTATORS)
def test_a_seed_is_the_same_input_in_every_run(kind: str, tmp_path: Path) -> None:
    cases = [make_case(kind, seed) for seed in range(20)]
    assert cases == [make_case(kind, seed) for seed in range(20)]
    assert len({tuple(sorted(case.files.items())) for case in cases}) >= 18
    main(kind, "7", str(tmp_path / "seed"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "seed").iterdir()} == dict(
        cases[7].files
    )


@pytest.mark.parametrize("kind", MUTATORS)
def test_mutations_are_many(kind: str) -> None:
    content = seeds_of(kind)[0][2]
    found = {MUTATORS[kind](content, Random(seed), content) for seed in range(100)}
    assert len(found - {content}) > 80


# --- What the fuzzer sees: a command that does wrong ---------------------------------------------


def _fail(line: str = "micam-fast: error: no") -> int:
    os.write(2, line.encode() + b"\n")
    return 2


def _write(name: str, content: bytes = b"") -> int:
    path = Path(OUTPUT) / name
    Path(OUTPUT).mkdir(exist_ok=True)
    path.write_bytes(content)
    return 0


def _tell(line: str, name: str = "conv_sample-0.dot") -> int:
    """Write a file, and a manifest with a line of its sample."""
    _write(name)
    _write("manifest.jsonl", b'{"manifest": 3}\n' + line.encode() + b"\n")
    print(f"sample 0 (x): {name}")
    return 0


def _raise() -> int:
    """As `run_command` does: what Python says of an exception is printed."""
    try:
        raise IndexError("out of range")
    except IndexError:
        traceback.print_exc()
    return 1


def _fail_in_part() -> int:
    for number in (0, 1):
        _write(f"conv_sample-{number}.dot")
    print("sample 0 (x): conv_sample-0.dot")
    _fail("micam-fast: error: sample 1 (x) skipped: no")
    return 1


def _warn() -> int:
    _ = np.int8(127) + np.int8(1)
    return _fail()


def _take(values: int) -> int:
    """Memory, 8 bytes for each value; a bound that is quickly reached will do."""
    fuzzing.LARGEST = 2**27
    np.ones(values)
    return _fail()


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "crash": (lambda: ctypes.string_at(0), "exit -11"),
    "abort": (os.abort, "exit -6"),
    "leave": (lambda: os._exit(0), "exit 0"),
    "raise": (_raise, "'IndexError: out of range'"),
    "silent": (lambda: 2, "exit code 2 with 0 errors"),
    "untrue": (lambda: _fail() and 0, "exit code 0 with 1 errors"),
    "three": (lambda: _fail() and 3, "exit code 3"),
    "twice": (lambda: _fail() and _fail(), "more than one line for an error"),
    "usage": (lambda: _fail("Usage: micam-fast plot"), "holds 'Usage: micam-fast plot'"),
    "escape": (lambda: _fail("micam-fast: error: \x1b[31m"), "no line for people: 24 characters"),
    "endless": (lambda: _fail("micam-fast: error: " + 9999 * "a"), "no line for people: 10018"),
    "warn": (_warn, "RuntimeWarning: overflow"),
    "noise": (lambda: (os.write(2, b"libpng: bad\n"), _fail())[1], "holds 'libpng: bad'"),
    "show": (lambda: (print("sample 0"), _fail())[1], "output of a run that failed: 'sample 0\\n'"),
    "file": (lambda: _write("conv_sample-0.npz") or _fail(), "2 with the files ['conv_sample-0.n"),
    "half": (lambda: _write(".conv_sample-0.npz.01.part") or _fail(), "a file of no sample that w"),
    "in part": (_fail_in_part, "a file of no sample that was written: 'conv_sample-1.dot'"),
    "outside": (lambda: _write("../x.npz") or _fail(), "outside the output folder: 'x.npz'"),
    "input": (lambda: _write("../model.onnx") or _fail(), "the output folder: 'model.onnx'"),
    "broken": (
        lambda: (print("sample 0 (x): y"), _write("conv_sample-0.npz", b"PK"))[1],
        "'conv_sample-0.npz' cannot be read",
    ),
    "untold": (lambda: _tell('{"sample": 0}'), "the manifest tells of [0] and 0 files"),
    "mistold": (lambda: _tell('{"sample": 1, "files": ["conv_sample-0.dot"]}'), "tells of [1]"),
    "NaN": (lambda: _tell('{"sample": 0, "seconds": NaN}'), "manifest that can be read: NaN is no"),
    "nothing": (lambda: 0, "exit code 0 with the files []"),
    "memory": (lambda: _take(2**25), "it took 25"),
    "bomb": (lambda: _take(2**40), "MemoryError: Unable to allocate 8.00 TiB"),
}  # fmt: skip
"""By name: what is done in the place of the command, and the reason that must be found."""


RIGHT: tuple[Callable[[], int], ...] = (
    _fail,
    lambda: _tell('{"sample": 0, "files": ["conv_sample-0.dot"]}'),
    lambda: _fail("micam-fast: note: hm") and _fail(),
)
"""What is right, and is done after that."""


def do_wrong(words: Sequence[str]) -> int:
    """Each seed another one of `WRONG`, then of `RIGHT`."""
    number = int(Path.cwd().name.partition("-")[2])
    try:
        return int([*(do for do, _ in WRONG.values()), *RIGHT][number]())
    except MemoryError:
        traceback.print_exc()
        return 1


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    """And what is right is none; seeds behind a process that died are run, too."""
    seeds = [("csv", number) for number in range(len(WRONG) + len(RIGHT))]
    done = run_seeds(seeds, tmp_path, command=do_wrong)
    found = {each.seed: str(each) for each in done.findings}
    assert set(found) == set(range(len(WRONG)))
    for number, (name, (_, reason)) in enumerate(WRONG.items()):
        assert reason in found[number], name
        assert f"python -m tests.helpers.fuzzing csv {number} FOLDER" in found[number]
    assert "in string_at" in found[0]  # Where it was.
    assert done.ended.total() == len(seeds)
    assert f"{len(seeds)} mutated inputs: {len(seeds)} csv (" in str(done)
    assert f"; {len(WRONG)} findings" in str(done)


def hang(words: Sequence[str]) -> int:
    """At the first seed for ever, at the second only the first time."""
    number = Path.cwd().name.partition("-")[2]
    known = Path.cwd().parent.parent / number
    if number == "0" or (number == "1" and not known.exists()):
        known.touch()
        time.sleep(600)
    return _fail()


def test_a_hang_is_found(tmp_path: Path) -> None:
    """Where it was is told; what was slow only because the machine was busy is none."""
    seeds = [("png", number) for number in range(3)]
    done = run_seeds(seeds, tmp_path, command=hang, longest=1, jobs=2)
    (found,) = done.findings
    assert str(found).startswith("png 0: too slow: more than 1 s\n")
    assert "test_fuzzing.py" in str(found)
    assert "in hang" in str(found)
    assert done.ended == {("png", -1): 1, ("png", 2): 2}
