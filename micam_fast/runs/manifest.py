"""The manifest of a run: a header, then one line of JSON for each sample, in their order.

It proves what is done. A line is appended by one write when the sample's files have their names, so
that a killed run leaves at most a torn last line, which the next one cuts off. Where a sample was
tried again, its last line counts; `Manifest.finish` leaves one for each.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, Self

from micam_fast.core.errors import OutputError, ResumeError, os_errors_as
from micam_fast.core.output_files import atomic_file

NAME = "manifest.jsonl"
EARLIER = f".{NAME}.earlier"
"""The manifest of an earlier run, until the new one replaces a file."""
FORMAT = 3
"""Counts up where a manifest, what its layers are called or how they are drawn becomes another."""
Line = dict[str, Any]
_INDEX = re.compile(rb'\{"sample": ([0-9]{1,15}),')
_NOWHERE = -1
_LAYOUT = "layout_sha256"
RUNNING = "running"
"""The part of a header that tells how a run was run, which changes no byte of what it writes."""
COMPARED = "compared"
"""The part of a header that tells what came of comparing the model with its own file."""


class Manifest:
    """The lines of a run, in a file that is open for more; `start_manifest` or `resume_manifest`.

    Parameters
    ----------
    path
        The file, which holds a header and whole lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Where the last line of a sample begins: 8 bytes for each, however many there are.
        self._places = array("q")
        self._last, self._ordered = -1, True
        with os_errors_as(OutputError, f"cannot write {path}"):
            self._file = path.open("rb+", buffering=0)
            self._scan()

    def __len__(self) -> int:
        """One more than the highest index of a sample."""
        return len(self._places)

    def header(self) -> Line:
        """The first line; empty if it cannot be believed.

        Raises
        ------
        OutputError
            If the file cannot be read.
        """
        return read_header(self.path) or {}

    def tell(self, name: str, value: Any) -> None:
        """Put a JSON value into the header under a name; all lines stay.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        header = self.header() | {name: value}
        with os_errors_as(OutputError, f"cannot write {self.path}"):
            self._check_there()
            with self.path.open("rb") as source, atomic_file(self.path) as file:
                source.readline()
                file.write(_dump(header))
                shutil.copyfileobj(source, file)
            self._open_again()

    def find(self, index: int) -> Line | None:
        """The line of a sample; ``None`` if there is none, or none that can be believed.

        Raises
        ------
        OutputError
            If the file cannot be read.
        """
        if not 0 <= index < len(self._places) or self._places[index] == _NOWHERE:
            return None
        failure = f"cannot read {self.path}"
        with os_errors_as(OutputError, failure), self.path.open("rb") as file:
            file.seek(self._places[index])
            return _parse(file.readline())

    def add(self, line: Line) -> None:
        """Append the line of a sample; nothing happens if it has that very line, but for the time.

        Parameters
        ----------
        line
            JSON values by name; ``"sample"``, its index, comes first.

        Raises
        ------
        OutputError
            If it cannot be written; the file is left as it was.
        """
        index = int(line["sample"])
        old = self.find(index)
        if old is not None and _timeless(old) == _timeless(line):
            return
        end = self._file.seek(0, os.SEEK_END)
        content = _dump(line)
        try:
            self._check_there()
            written = 0
            while written < len(content):
                written += self._file.write(content[written:]) or 0
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(end)
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from None
        self._note(index, end)

    def finish(self) -> None:
        """Leave one line for each sample, in their order, on the disk.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        with os_errors_as(OutputError, f"cannot write {self.path}"):
            self._check_there()
            if self._ordered:
                with suppress(OSError):
                    os.fsync(self._file.fileno())
                return
            with self.path.open("rb") as source, atomic_file(self.path) as file:
                file.write(source.readline())
                for place in self._places:
                    if place != _NOWHERE:
                        source.seek(place)
                        file.write(source.readline())
            self._open_again()

    def discard(self) -> None:
        """Remove the file."""
        self.close()
        with suppress(OSError):
            self.path.unlink()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open_again(self) -> None:
        """Go on with the file that has taken this one's name."""
        self._file.close()
        self._file = self.path.open("rb+", buffering=0)
        self._scan()

    def _scan(self) -> None:
        """Find the lines, and cut off one that a killed run has torn."""
        self._places, self._last, self._ordered = array("q"), -1, True
        whole = 0
        with self.path.open("rb") as file:
            for number, content in enumerate(file):
                if not content.endswith(b"\n"):
                    break
                found = _INDEX.match(content)
                # No sample has a higher index than there are lines before its own.
                if found is not None and int(found[1]) < number:
                    self._note(int(found[1]), whole)
                elif whole:
                    self._ordered = False
                whole += len(content)
        self._file.truncate(whole)

    def _check_there(self) -> None:
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError(0, "it was removed while the run was writing it")

    def _note(self, index: int, place: int) -> None:
        self._places.extend([_NOWHERE] * (index + 1 - len(self._places)))
        self._places[index] = place
        self._ordered = self._ordered and index > self._last
        self._last = index


def start_manifest(path: Path, header: Mapping[str, Any]) -> Manifest:
    """Begin a manifest with a header of JSON values by name; one that is there is replaced.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_file(path) as file:
        file.write(_dump({"manifest": FORMAT, **header}))
    return Manifest(path)


def resume_manifest(path: Path, header: Mapping[str, Any], place: str = "") -> Manifest:
    """Go on with a manifest; begin one if there is none.

    `place` is what a message calls the place of the run; by default the file's folder.

    Raises
    ------
    OutputError
        If it cannot be written.
    ResumeError
        If it is of another model, other options or versions; the message says what differs.
    """
    before = read_header(path)
    if before is None:
        return start_manifest(path, header)
    if before.get("manifest") != FORMAT:
        raise ResumeError(
            f"cannot resume: {path} is no manifest of this version; choose another --output-dir, "
            "or leave out --resume to start anew"
        )
    if found := differences(before, header):
        raise ResumeError(
            f"cannot resume the run in {place or path.parent}: {'; '.join(found)}; give what it "
            "was begun with, choose another --output-dir, or leave out --resume to start anew"
        )
    return Manifest(path)


def take_further(path: Path, other: bytes | None) -> None:
    """Let a manifest, which need not be there, be replaced by a copy of it that has come further.

    Raises
    ------
    OutputError
        If the file cannot be read or written.
    """
    if other is None:
        return
    with os_errors_as(OutputError, f"cannot read {path}"):
        known = path.read_bytes() if path.exists() else b""
    if other.count(b"\n") > known.count(b"\n"):
        with atomic_file(path) as file:
            file.write(other)


def read_header(path: Path) -> dict[str, Any] | None:
    """The header of a manifest; ``None`` if there is no file, empty if it is none.

    Raises
    ------
    OutputError
        If it cannot be read.
    """
    from micam_fast.core.input_files import open_input

    try:
        with open_input(path) as file:
            return _parse(file.readline(2**24)) or {}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror or error}") from None


def tells_of_files(path: Path) -> bool:
    """Tell whether a manifest has a line of a sample that was written.

    Raises
    ------
    OutputError
        If it cannot be read.
    """
    with os_errors_as(OutputError, f"cannot read {path}"):
        if not path.exists():
            return False
        with path.open("rb") as file:
            file.readline()
            lines = (_parse(content) for content in file)
            return any(line is not None and "error" not in line for line in lines)


def files_there(line: Line, folder: Path) -> bool:
    """Tell whether a sample was written, and its files are still there in their sizes."""
    sizes = named_files(line)
    try:
        return bool(sizes) and all(
            (folder / name).stat().st_size == size for name, size in sizes.items()
        )
    except OSError:
        return False


def named_files(line: Line) -> dict[str, int]:
    """Sizes in bytes by name relative to the folder; none if one of the names leads out of it."""
    files = line.get("files")
    if not isinstance(files, dict):
        return {}
    for name in files:
        parts = PurePosixPath(name).parts
        # Two slashes are a root of its own; a run writes no name with a backslash or a colon.
        odd = name.startswith("/") or "\\" in name or ":" in name or not name.isprintable()
        if not parts or ".." in parts or odd:
            return {}
    return files


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two headers do not have in common, in words; how they were run does not count."""
    one, other = (
        {name: value for name, value in each.items() if name not in (RUNNING, COMPARED, "manifest")}
        for each in (before, json.loads(_dump(now)))
    )
    found = list(_differences(one, other))
    # Another layout mostly follows from something that says more.
    return [each for each in found if not each.startswith(_LAYOUT)] or found


def _differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    if not (isinstance(before, dict) and isinstance(now, dict)):
        if before != now:
            yield f"{where.removeprefix('options ')} was {_show(before)}, is {_show(now)}"
        return
    for name in dict.fromkeys([*before, *now]):
        yield from _differences(before.get(name), now.get(name), f"{where} {name}".strip())


def _show(value: Any) -> str:
    if value is None:
        return "not given"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:56]}..."


def _timeless(line: Line) -> Line:
    return {name: value for name, value in line.items() if name != "seconds"}


def _dump(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, allow_nan=False).encode() + b"\n"


def _parse(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
