"""Where the files of a run go: a folder, or a place of an object store or another machine by URL.

A URL is any that fsspec knows (``s3://BUCKET/PREFIX``, ``sftp://HOST/FOLDER``); keys and endpoints
come from the environment or from fsspec's own configuration.
"""

from __future__ import annotations

import functools
import logging
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

from micam_fast.core.digests import short_digest
from micam_fast.core.errors import MissingExtraError, OutputError, os_errors_as
from micam_fast.core.extras import import_extra
from micam_fast.core.output_files import (
    check_folder,
    is_there,
    output_folder,
    partial_path,
    remove_file,
)
from micam_fast.core.texts import first_line_of
from micam_fast.core.timing import StageTimes
from micam_fast.runs.manifest import EARLIER, Line, files_there, named_files

Result = TypeVar("Result")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.+", re.DOTALL)
# Here a put is seen whole or not at all; elsewhere a file is renamed when it is there.
_ATOMIC = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "memory"}
_LONGEST_REASON = 200
_INTERVAL, _RARELY = 30.0, 20.0
"""Seconds between copies of a journal, and at least so many times as long as one takes."""


def open_store(place: str | Path) -> Store:
    """A store by a folder or URL; nothing is touched yet."""
    if isinstance(place, Path) or not is_url(place):
        return FolderStore(Path(place))
    parts = urlsplit(place)
    if parts.scheme.lower() in ("file", "local"):
        return FolderStore(Path(unquote(parts.netloc + parts.path)))
    return UrlStore(place.rstrip("/"))


def is_url(place: str) -> bool:
    """Whether a text names a place by its protocol."""
    return _URL.fullmatch(place) is not None


class FolderStore:
    """A folder of this machine, or one that many machines see; it can be sent to other processes.

    Names of files are relative to it. Every method raises an `OutputError` where it cannot do what
    it says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def journal(self) -> Path:
        """The folder of this machine that holds the manifest and the lock of a run."""
        return self.folder

    def check(self) -> None:
        """Find out, as far as that needs no writing, whether files can be written."""
        check_folder(self.folder)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """A context in which files are written; what was made for it goes if nothing came."""
        with output_folder(self.folder):
            yield

    @contextmanager
    def writing(self, stages: StageTimes) -> Iterator[Path]:
        """A context that gives a local folder, whose files are in the store after it.

        Each file appears when it is complete; `stages` is told how long sending takes. The manifest
        of an earlier run goes first, as it may tell of files that are replaced now.
        """
        self.forget_earlier()
        yield self.folder

    def forget_earlier(self) -> None:
        """Remove the manifest of an earlier run, so that nothing can put it back."""
        remove_file(self.journal / EARLIER)

    def has(self, line: Line) -> bool:
        """Whether a manifest's line names files, and all of them are there in their sizes."""
        return files_there(line, self.folder)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        path = self.folder / name
        if path.parent != self.folder and path.parent.is_symlink():
            # A folder of ours is none; who has put it there may mean files that are not ours.
            return
        remove_file(path)
        if path.parent != self.folder:
            # A folder of tiles goes with the last of them.
            with suppress(OSError):
                path.parent.rmdir()

    def mark(self, name: str) -> None:
        """Make an empty file, by which other processes know that they see the same store."""
        path = self.folder / name
        with os_errors_as(OutputError, f"cannot write {path}"):
            path.touch()

    def sees(self, name: str) -> bool:
        """Whether a file is there now."""
        return is_there((self.folder / name).exists)

    def fetch(self, name: str) -> bytes | None:
        """A file that the journal does not have, but may; ``None`` if there is none."""
        return None

    def publish(self, path: Path, *, now: bool = False) -> None:
        """Copy a file of the journal into the store; not each time, unless it must be now."""


class UrlStore:
    """A place that fsspec reaches, by a URL without a slash at its end; see `FolderStore`.

    If a library that the URL needs is missing, `check` raises a `MissingExtraError`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._sizes: dict[str, int] | None = None
        self._next = 0.0

    def __str__(self) -> str:
        return self.url

    def __reduce__(self) -> tuple[Any, ...]:
        return UrlStore, (self.url,)

    @property
    def journal(self) -> Path:
        """A folder of the user's cache, of this URL alone."""
        from platformdirs import user_cache_path

        return user_cache_path("micam-fast") / "runs" / short_digest(self.url)

    def check(self) -> None:
        """See `FolderStore`; whether there may be written is known by the first file."""
        _ = self._system

    @contextmanager
    def opened(self) -> Iterator[None]:
        """See `FolderStore`."""
        yield

    @contextmanager
    def writing(self, stages: StageTimes) -> Iterator[Path]:
        """See `FolderStore`."""
        with tempfile.TemporaryDirectory(prefix="micam-fast-") as name:
            folder = Path(name)
            yield folder
            self.forget_earlier()
            with stages.stage("upload"):
                for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                    self._put(path, path.relative_to(folder).as_posix())

    def forget_earlier(self) -> None:
        """See `FolderStore`; the journal is on this machine alone."""
        remove_file(self.journal / EARLIER)

    def has(self, line: Line) -> bool:
        """See `FolderStore`; what was there when it was first asked counts."""
        if self._sizes is None:
            self._sizes = self._list()
        sizes = named_files(line)
        return bool(sizes) and all(self._sizes.get(name) == size for name, size in sizes.items())

    def remove(self, name: str) -> None:
        """See `FolderStore`."""
        system, root = self._system
        with suppress(FileNotFoundError):
            self._do("remove", name, lambda: system.rm_file(f"{root}/{name}"))

    def mark(self, name: str) -> None:
        """See `FolderStore`."""
        with tempfile.NamedTemporaryFile(prefix="micam-fast-") as file:
            self._put(Path(file.name), name)

    def sees(self, name: str) -> bool:
        """See `FolderStore`."""
        system, root = self._system
        system.invalidate_cache()
        found: bool = self._do("look for", name, lambda: system.exists(f"{root}/{name}"))
        return found

    def fetch(self, name: str) -> bytes | None:
        """See `FolderStore`."""
        system, root = self._system
        system.invalidate_cache()
        try:
            content: bytes = self._do("read", name, lambda: system.cat_file(f"{root}/{name}"))
        except FileNotFoundError:
            return None
        return content

    def publish(self, path: Path, *, now: bool = False) -> None:
        """See `FolderStore`."""
        start = time.monotonic()
        if now or start >= self._next:
            self._put(path, path.name)
            # A long run's is large.
            passed = time.monotonic() - start
            self._next = start + max(_INTERVAL, _RARELY * passed)

    def _put(self, path: Path, name: str) -> None:
        """Copy a file into the store."""
        system, root = self._system
        target = PurePosixPath(root, name)
        protocols = {system.protocol} if isinstance(system.protocol, str) else {*system.protocol}

        def put() -> None:
            if protocols & _ATOMIC:
                system.put_file(str(path), str(target))
                return
            partial = partial_path(target)
            system.makedirs(str(target.parent), exist_ok=True)
            try:
                system.put_file(str(path), str(partial))
                system.mv(str(partial), str(target))
            except BaseException:
                with suppress(Exception):
                    system.rm_file(str(partial))
                raise

        try:
            self._do("write", name, put)
        except FileNotFoundError:
            raise OutputError(
                f"cannot write {name} to {self.url}: no such bucket or folder"
            ) from None

    def _list(self) -> dict[str, int]:
        system, root = self._system
        system.invalidate_cache()

        def find() -> dict[str, int]:
            found = system.find(root, detail=True)
            start = len(root) + 1
            return {path[start:]: facts["size"] for path, facts in found.items()}

        try:
            return self._do("list", "files", find)
        except FileNotFoundError:
            return {}

    @property
    def _system(self) -> tuple[Any, str]:
        """The file system, and the root as it has it."""
        return _open(self.url)

    def _do(self, what: str, name: str, act: Callable[[], Result]) -> Result:
        """Act; an error of the store is ours, but for a file that is not there."""
        try:
            return act()
        except FileNotFoundError:
            raise
        # Every file system has errors of its own.
        except Exception as error:
            raise OutputError(f"cannot {what} {name} at {self.url}: {_reason(error)}") from None


Store: TypeAlias = FolderStore | UrlStore


@functools.lru_cache(maxsize=16)
def _open(url: str) -> tuple[Any, str]:
    purpose = f"the URL {url}"
    core = import_extra("fsspec.core", extra="distributed", purpose=purpose)
    # Their own words would come beside our one line.
    logging.getLogger("s3fs").setLevel(logging.CRITICAL + 1)
    try:
        system, root = core.url_to_fs(url)
    except ImportError as error:
        raise MissingExtraError(f"{purpose} needs another library: {error}") from None
    except Exception as error:
        raise OutputError(f"cannot use {url}: {_reason(error)}") from None
    return system, root.rstrip("/")


def _reason(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "no permission"
    return first_line_of(error)[:_LONGEST_REASON]
