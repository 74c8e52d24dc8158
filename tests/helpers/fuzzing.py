"""The command on mutated files: what is run for a seed, and whether what it did was right.

``python -m tests.helpers.fuzzing KIND SEED FOLDER`` writes the files of a seed and
shows the command.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
from PIL import Image

from tests.helpers.fuzz_seeds import SIDE_FILES, model_files, packed_array, packed_zip, sample_seeds
from tests.helpers.models import random_array
from tests.helpers.mutations import (
    Random,
    mutate_bytes,
    mutate_csv,
    mutate_json,
    mutate_npy,
    mutate_npz,
    mutate_picture,
    mutate_records,
)
from tests.helpers.onnx_mutations import mutate_onnx

MUTATORS: Mapping[str, Callable[[bytes, Random, bytes], bytes]] = {
    "onnx": mutate_onnx,
    "npy": mutate_npy,
    "png": mutate_picture,
    "npz": mutate_npz,
    "csv": mutate_csv,
    "tfrecord": mutate_records,
}
"""By kind of input."""

LONGEST = 5.0
"""Seconds that an input may take."""

LARGEST = 2**30
"""Bytes of memory that an input may take besides what the program had before."""

OUTPUT = "out"
_OWN_FILES = {"manifest.jsonl", ".micam-fast.lock"}
"""What a run leaves besides the samples' files."""

_LONGEST_LINE = 4000
_NOTE = "micam-fast: note: "
_TABLE = re.compile(r"^\d+ of \d+ samples? failed:\n(?:  .*\n)+", re.MULTILINE)
"""What a run of several samples ends with; each of them has had its line before."""

_FORMATS = ("npz",) * 13 + ("npz,svg", "dot", "npz,tiles")


# --- What is run -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Files of a folder, and the command's words, which is run there."""

    files: Mapping[str, bytes]
    words: Sequence[str]

    def write(self, folder: Path) -> None:
        """Write the files to a folder, which is made."""
        folder.mkdir(parents=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def make_case(kind: str, seed: int) -> Case:
    """The input of a kind and seed, the same in every run; of -1, -2 ..., the valid files."""
    rng = Random(f"{kind} {seed}")
    if seed < 0:
        return complete_case(kind, *seeds_of(kind)[-1 - seed], rng, beside=False)
    model, suffix, content = rng.choice(seeds_of(kind))
    other = rng.choice(seeds_of(kind))[2]
    return complete_case(kind, model, suffix, MUTATORS[kind](content, rng, other), rng)


def seeds_of(kind: str) -> Sequence[tuple[str, str, bytes]]:
    """Name of a model, suffix and content of the valid files of a kind."""
    if kind != "onnx":
        return sample_seeds(kind)
    return [(name, ".onnx", files["model.onnx"]) for name, (files, _) in model_files().items()]


def complete_case(
    kind: str, model: str, suffix: str, content: bytes, rng: Random, *, beside: bool = True
) -> Case:
    """What the command needs besides the mutated file, and its options.

    Parameters
    ----------
    kind, model, suffix, content
        Of the mutated file, as `seeds_of` has them.
    rng
        Chooses the options.
    beside
        Mutate files beside it, too: external weights, and what describes records.
    """
    files, sample = dict(model_files()[model][0]), f"sample{suffix}"
    if kind == "onnx":
        files["model.onnx"] = content
        if "weights.bin" in files and beside and rng.random() < 0.3:
            files["weights.bin"] = mutate_bytes(files["weights.bin"], rng)
        array = model_files()[model][1]
        sample = "sample.npz" if array is None else "sample.npy"
        files[sample] = packed_array(array) if array is not None else _two_inputs()
    else:
        files[sample] = content
    if kind == "tfrecord" and (model == "open" or rng.random() < 0.5):
        side = SIDE_FILES[model]
        files["sample.json"] = mutate_json(side, rng) if beside and rng.random() < 0.3 else side
    words = ["plot", "model.onnx", sample, "--output-dir", OUTPUT]
    words += ["--format", rng.choice(_FORMATS), "--threads", rng.choice("12")]
    if rng.random() < 0.2:
        words += ["--projection", "transposed"]
    if rng.random() < 0.2:
        words += ["--look", "flat"]
    return Case(files, words)


def _two_inputs() -> bytes:
    shapes = {"image.npy": (1, 8, 6), "depth.npy": (2, 8, 6)}
    return packed_zip({name: packed_array(random_array(1, *it)) for name, it in shapes.items()})


# --- Running it ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What the command did."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    memory: int


def run_command(words: Sequence[str]) -> int:
    """Run the command in this process.

    Returns
    -------
    Exit code; what Python prints of an exception is printed.
    """
    from micam_fast.cli import main

    try:
        main.main(list(words), prog_name="micam-fast")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    return 1


class Capture:
    """What goes to the standard streams, whoever writes it: C libraries do not ask Python."""

    def __init__(self) -> None:
        self._files: dict[int, BinaryIO] = {1: TemporaryFile(), 2: TemporaryFile()}  # noqa: SIM115

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Within it, both streams go to files."""
        kept = {number: os.dup(number) for number in self._files}
        for number, file in self._files.items():
            file.seek(0)
            file.truncate()
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, other in kept.items():
                os.dup2(other, number)
                os.close(other)

    def text(self, number: int) -> str:
        """What was written to a stream last time."""
        self._files[number].seek(0)
        return self._files[number].read().decode(errors="replace")


def run_case(
    case: Case, folder: Path, capture: Capture, command: Callable[[Sequence[str]], int]
) -> Run:
    """Run a case in a folder that is not there yet."""
    case.write(folder)
    os.chdir(folder)
    before = _memory("VmRSS")
    with suppress(OSError):
        # Linux: the highest mark begins anew.
        Path("/proc/self/clear_refs").write_text("5")
    begun = time.perf_counter()
    with capture.catch():
        code = command(case.words)
    seconds = time.perf_counter() - begun
    memory = max(0, _memory("VmHWM") - before)
    return Run(code, capture.text(1), capture.text(2), seconds, memory)


def _memory(field: str) -> int:
    """Bytes, as Linux tells of this process; 0 elsewhere."""
    with suppress(OSError):
        found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0


# --- Whether it was right --------------------------------------------------------------------


def judge(case: Case, folder: Path, run: Run) -> list[str]:
    """What was not as it must be, in words; nothing if all was."""
    wrong = []
    out = folder / OUTPUT
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    made = there - _OWN_FILES
    lines = _TABLE.sub("", run.stderr).splitlines()
    errors = [line for line in lines if line.startswith("micam-fast: error: ")]
    others = [line for line in lines if not line.startswith(("micam-fast: error: ", _NOTE))]
    if others:
        wrong.append("standard error holds " + " ... ".join(map(repr, others[-5:])))
    wrong += [
        f"no line for people: {len(line)} characters, {line[:300]!r}"
        for line in run.stderr.split("\n")
        if not (line.isprintable() or others) or len(line) > _LONGEST_LINE
    ]
    failed = _numbers(r"micam-fast: error: sample (\d+) \(", errors)
    written = _numbers(r"sample (\d+) \(", run.stdout.splitlines())
    if len(errors) - len(failed) > 1 or len(set(failed)) < len(failed):
        wrong.append(f"more than one line for an error: {errors[:3]}")
    if run.code not in (0, 1, 2):
        wrong.append(f"exit code {run.code}")
    if bool(run.code) != bool(errors):
        wrong.append(f"exit code {run.code} with {len(errors)} errors")
    if (run.code == 2) == bool(made):
        wrong.append(f"exit code {run.code} with the files {sorted(made)[:5]}")
    if run.code == 2 and run.stdout:
        wrong.append(f"output of a run that failed: {run.stdout[:300]!r}")
    for name in sorted(made):
        number = re.search(r"_sample-(\d+)", name)
        if number is None or int(number[1]) not in written or int(number[1]) in failed:
            wrong.append(f"a file of no sample that was written: {name!r}")
        elif reason := _unreadable(out / name):
            wrong.append(f"{name!r} cannot be read: {reason}")
    if made or (out / "manifest.jsonl").exists():
        wrong += _manifest_faults(out, {*failed, *written}, made)
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        known = name in case.files and path.read_bytes() == case.files[name]
        if not known and path.relative_to(folder).parts[0] != OUTPUT:
            wrong.append(f"a file outside the output folder: {name!r}")
    if run.seconds > LONGEST:
        wrong.append(f"{SLOW}{run.seconds:.1f} s")
    if run.memory > LARGEST:
        wrong.append(f"it took {run.memory / 2**20:.0f} MiB")
    return wrong


SLOW = "too slow: "
"""How the reason begins where an input took too long."""


def _manifest_faults(out: Path, samples: set[int], made: set[str]) -> list[str]:
    """What the manifest of a run leaves out of its samples and files, or tells besides."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    try:
        text = (out / "manifest.jsonl").read_text(encoding="utf-8")
        _, *lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    except (OSError, ValueError) as error:
        return [f"no manifest that can be read: {error}"]
    numbers = [line["sample"] for line in lines]
    files = {name for line in lines for name in line.get("files", ())}
    if sorted(numbers) != sorted(samples) or files != made:
        return [f"the manifest tells of {numbers} and {len(files)} files"]
    return []


def _numbers(pattern: str, lines: Sequence[str]) -> list[int]:
    return [int(found[1]) for line in lines if (found := re.match(pattern, line))]


def _unreadable(path: Path) -> str | None:
    """Why a file that was written is of no use."""
    try:
        if path.suffix == ".npz":
            with np.load(path) as archive:
                for name in archive.files:
                    _ = archive[name]
        elif path.suffix == ".svg":
            ET.parse(path)
        elif path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
        elif path.suffix == ".dot":
            path.read_text(encoding="utf-8")
        else:
            return "no file of a format that was asked for"
    except Exception as error:
        return repr(error)
    return None


def main(kind: str, seed: str, folder: str) -> None:
    """Write the files of a seed to a folder, and show the command."""
    case = make_case(kind, int(seed))
    case.write(Path(folder))
    print(f"cd {folder} && micam-fast {' '.join(case.words)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
