"""Ten thousand samples, of which two in a hundred are broken in ten ways, and what a run made."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from micam_fast.demo import DIGITS
from micam_fast.runs.manifest import FORMAT, NAME

BROKEN_SHARE = 50
"""One of so many samples is broken."""


@dataclass(frozen=True)
class Soak:
    """Samples on a disk.

    Attributes
    ----------
    paths
        What a command is given, in its order: files, a large batch, files.
    count
        Of the samples.
    broken
        Kind of each broken sample by its index.
    """

    paths: Sequence[Path]
    count: int
    broken: Mapping[int, str]


@dataclass(frozen=True)
class Pace:
    """Seconds of a sample in the first and the last thousand of a run."""

    first: float
    last: float


def make_soak(folder: Path, count: int) -> Soak:
    """Digits with noise: a quarter in files of three kinds, half in one batch, a quarter in files.

    The first and the last thousand have the same mixture.
    """
    digits = np.load(DIGITS)
    files = count // 4
    broken: dict[int, str] = {}
    for part, start in (("a", 0), ("c", count - files)):
        (folder / part).mkdir(parents=True)
        for place in range(files):
            path = folder / part / f"{place:06d}.x"
            # Twice the share, as the batch holds none.
            if place % (BROKEN_SHARE // 2) == BROKEN_SHARE // 4:
                kind = list(BREAK)[len(broken) % len(BREAK)]
                BREAK[kind](path, digits[0])
                broken[start + place] = kind
            else:
                _write_digit(path, _digit(digits, start + place), place % 3)
    half = count - 2 * files
    batch = np.lib.format.open_memmap(folder / "b.npy", "w+", np.float32, (half, *digits.shape[1:]))
    for place in range(half):
        batch[place] = _digit(digits, files + place)
    batch.flush()
    return Soak([folder / "a", folder / "b.npy", folder / "c"], count, broken)


def check_soak(soak: Soak, folder: Path, code: int) -> None:
    """Make sure that every good sample was written whole, and every broken one is named."""
    assert code == 1, f"exit code {code}"
    header, *lines = map(json.loads, (folder / NAME).read_text().splitlines())
    assert header["manifest"] == FORMAT
    assert [line["sample"] for line in lines] == list(range(soak.count))
    named = {NAME}
    for line in lines:
        kind = soak.broken.get(line["sample"])
        assert ("error" in line) == (kind is not None), (kind, line)
        named.update(line.get("files", ()))
        for name, size in line.get("files", {}).items():
            content = (folder / name).read_bytes()
            assert len(content) == size
            # A PNG whose last chunk is there.
            assert (content[:4], content[-8:-4]) == (b"\x89PNG", b"IEND")
    assert {path.name for path in folder.iterdir()} == named
    assert len(named) == soak.count - len(soak.broken) + 1


def pace(log: Path, most: int = 1000) -> Pace:
    """How fast the first samples of a run were done, and the last ones, by the times of its log.

    The slope of a line through the times of so many samples: they are told in batches, whose
    borders are no matter then. What passes before the first one is told is no part of it.
    """
    events = [json.loads(line) for line in log.read_text().splitlines()]
    times = np.array(
        [datetime.fromisoformat(e["time"]).timestamp() for e in events if e["event"] == "sample"]
    )
    return Pace(_slope(times[:most]), _slope(times[-most:]))


def _slope(times: NDArray[np.float64]) -> float:
    return float(np.polyfit(np.arange(len(times)), times - times[0], 1)[0])


def _digit(digits: NDArray[np.float32], index: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(index).normal(0, 0.05, digits.shape[1:])
    return np.asarray(np.clip(digits[index % len(digits)] + noise, 0, 1), np.float32)


def _write_digit(path: Path, digit: NDArray[np.float32], kind: int) -> None:
    if kind == 0:
        np.save(path.with_suffix(".npy"), digit)
    elif kind == 1:
        np.savez(path.with_suffix(".npz"), image=digit)
    else:
        pixels = np.rint(255 * digit[0]).astype(np.uint8)
        Image.fromarray(pixels).save(path.with_suffix(".png"))


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def _write_bomb(path: Path, digit: NDArray[np.float32]) -> None:
    """Sixty thousand pixels square, in a hundred bytes."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks + _chunk(b"IEND", b""))


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def _truncate_npy(path: Path, digit: NDArray[np.float32]) -> None:
    np.save(path.with_suffix(".npy"), digit)
    _cut(path.with_suffix(".npy"))


def _truncate_png(path: Path, digit: NDArray[np.float32]) -> None:
    _write_digit(path, digit, 2)
    _cut(path.with_suffix(".png"))


def _truncate_npz(path: Path, digit: NDArray[np.float32]) -> None:
    _write_digit(path, digit, 1)
    _cut(path.with_suffix(".npz"))


def _write_promise(path: Path, digit: NDArray[np.float32]) -> None:
    with path.with_suffix(".npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 1, 28, 28 * 10**3)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(digit.tobytes())


BREAK: Mapping[str, Callable[[Path, Any], object]] = {
    "no such file": lambda path, _: path.with_suffix(".npy").symlink_to("nowhere.npy"),
    "truncated npy": _truncate_npy,
    "Python objects": lambda path, _: np.save(
        path.with_suffix(".npy"), np.full((1, 28, 28), None), allow_pickle=True
    ),
    "another shape": lambda path, _: np.save(path.with_suffix(".npy"), np.zeros((3, 5, 7))),
    "empty file": lambda path, _: path.with_suffix(".npy").touch(),
    "no picture": lambda path, _: path.with_suffix(".png").write_text("no picture"),
    "truncated picture": _truncate_png,
    "picture bomb": _write_bomb,
    "a header that promises terabytes": _write_promise,
    "truncated npz": _truncate_npz,
}
"""How a file is broken, by what is wrong with it."""
