"""The output folder of a run: one live run at a time, a manifest, nothing left of a killed one."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micam_fast.core.digests import file_digest
from micam_fast.core.errors import ModelError, OutputError, ResumeError, os_errors_as
from micam_fast.core.formats import need_layout
from micam_fast.core.output_files import output_folder
from micam_fast.core.texts import count_of
from micam_fast.core.versions import deciding_libraries
from micam_fast.models.onnx.files import external_files
from micam_fast.runs.manifest import (
    EARLIER,
    NAME,
    RUNNING,
    Manifest,
    read_header,
    resume_manifest,
    start_manifest,
    take_further,
    tells_of_files,
)
from micam_fast.runs.sample_files import PlotOptions, expected_layout
from micam_fast.runs.stores import Store, UrlStore

if TYPE_CHECKING:
    from micam_fast.api.model import Model


LOCK = ".micam-fast.lock"
_LEFT = re.compile(r"\..*(?:_sample-\d+.*|manifest\.jsonl)\.[0-9a-f]{16}\.part", re.DOTALL)
_LEFT_TILE = re.compile(r"\..*\.[0-9a-f]{16}\.part", re.DOTALL)


@contextmanager
def open_run(
    store: Store, header: Mapping[str, Any], *, resume: bool, say: Callable[[str], None]
) -> Iterator[Manifest]:
    """Lock an output folder for a run, tidy it up, and open its manifest.

    A new run that ends, or is killed, before it begins to write a sample leaves the manifest of an
    earlier one as it was. The store drops that manifest with the first file that it takes.

    Parameters
    ----------
    store
        Where the files go; its folder of this machine is made if it is not there.
    header
        Of the manifest, see `describe_run`.
    resume
        Go on with the run of the manifest that is there; else a new one is begun.
    say
        Takes a line if a run begins anew that could have been resumed, and if the earlier one's
        manifest stays after all.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    ResumeError
        If another run is at work there, or the one that is there cannot be gone on with.
    """
    folder = store.journal
    with output_folder(folder), _lock(folder, str(store)):
        remove_leftovers(folder)
        path = folder / NAME
        _settle_earlier(path)
        if resume:
            take_further(path, store.fetch(NAME))
            manifest = resume_manifest(path, header, str(store))
        else:
            # A place that may only be written to shows no earlier run.
            with suppress(OutputError):
                take_further(path, store.fetch(NAME))
            _tell_of_run(path, str(store), say)
            with os_errors_as(OutputError, f"cannot write {path}"), suppress(FileNotFoundError):
                path.replace(folder / EARLIER)
            manifest = start_manifest(path, header)
        with manifest, _published(store, path), _earlier_kept(manifest, say):
            yield manifest


@contextmanager
def _earlier_kept(manifest: Manifest, say: Callable[[str], None]) -> Iterator[None]:
    """Give an earlier run's manifest its name again if this run begins no sample's files."""
    try:
        yield
    finally:
        manifest.close()
        if _settle_earlier(manifest.path):
            say("no sample was written; the manifest is that of the earlier run, as it was")


def _settle_earlier(path: Path) -> bool:
    """Drop the manifest of an earlier run if the new one has written a sample.

    Else it takes the new one's place, and the function returns that it did.
    """
    earlier = path.with_name(EARLIER)
    with os_errors_as(OutputError, f"cannot tidy up folder {path.parent}"):
        if not earlier.exists():
            return False
        if tells_of_files(path):
            earlier.unlink()
            return False
        earlier.replace(path)
        return True


@contextmanager
def _published(store: Store, path: Path) -> Iterator[None]:
    """Have a manifest in the store, too, from the first moment to the last."""
    store.publish(path, now=True)
    try:
        yield
    except BaseException:
        with suppress(OutputError):
            store.publish(path, now=True)
        raise
    if path.exists():
        store.publish(path, now=True)
        if isinstance(store, UrlStore):
            # The copy is as good; the user's cache does not grow.
            path.unlink(missing_ok=True)
    else:
        store.remove(NAME)


def describe_run(
    model: Model,
    source: Path,
    options: PlotOptions,
    given: Mapping[str, Any],
    running: Mapping[str, Any],
) -> dict[str, Any]:
    """The header of a manifest: all that the bytes of the files depend on, but for the samples.

    `given` are all options as JSON values by name, `running` those that change no byte.

    Raises
    ------
    ModelError
        If the file has gone.
    """
    from importlib.metadata import version

    layout = None
    if need_layout(options.formats, poster=options.is_poster(model)):
        # Where Graphviz put the nodes decides over every diagram.
        layout = expected_layout(model, options)
    weights = {path.name: _digest(path) for path in external_files(model.file)}
    classes, rows = "\n".join(model.prediction.class_names), "\n".join(options.row_names)
    return {
        "model": {"name": model.name, "sha256": _digest(source), "weights": weights},
        "versions": {name: version(name) for name in deciding_libraries(options.formats)},
        "machine": platform.machine(),
        "options": dict(given),
        **({"class_names_sha256": hashlib.sha256(classes.encode()).hexdigest()} if classes else {}),
        **({"row_names_sha256": hashlib.sha256(rows.encode()).hexdigest()} if rows else {}),
        "layout_sha256": layout and hashlib.sha256(repr(layout).encode()).hexdigest(),
        RUNNING: dict(running),
    }


@contextmanager
def _lock(folder: Path, place: str) -> Iterator[None]:
    """Hold the folder as long as this process lives; the system lets go of a killed one's lock."""
    from filelock import FileLock, Timeout

    path = folder / LOCK
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ResumeError(
            f"another run is writing to {place} ({_read_holder(path)}); wait for its end, "
            "or choose another --output-dir"
        ) from None
    except OSError as error:
        raise OutputError(f"cannot write to folder {folder}: {error.strerror or error}") from None
    try:
        with suppress(OSError):
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        # Before it is let go of: whoever opened the file meanwhile sees that it has no name.
        with suppress(OSError):
            path.unlink()
        lock.release()


def _read_holder(path: Path) -> str:
    text = ""
    with suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
    return text[:200] or "it has just begun"


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run, or a killed worker, was writing.

    Raises
    ------
    OutputError
        If it cannot be removed.
    """
    failure = f"cannot tidy up folder {folder}"
    with os_errors_as(OutputError, failure), os.scandir(folder) as found:
        for each in found:
            if _LEFT.fullmatch(each.name):
                with suppress(FileNotFoundError):
                    Path(each.path).unlink()
            elif each.name.endswith(("_tiles", "_dot")) and each.is_dir(follow_symlinks=False):
                for path in Path(each.path).iterdir():
                    if _LEFT_TILE.fullmatch(path.name):
                        path.unlink(missing_ok=True)


def _tell_of_run(path: Path, place: str, say: Callable[[str], None]) -> None:
    """A run that is begun anew may be one that should have been gone on with."""
    with suppress(OutputError):
        if not read_header(path):
            return
        with Manifest(path) as manifest:
            count = len(manifest)
        if count:
            say(
                f"{place} holds {count_of(count, 'sample')} of an earlier run; this one begins "
                "anew: files of the same names are replaced, others stay, and the manifest tells "
                "of this run alone (--resume goes on with a run)"
            )


def _digest(path: Path) -> str:
    with os_errors_as(ModelError, f"cannot read model {path}"):
        return file_digest(path)
