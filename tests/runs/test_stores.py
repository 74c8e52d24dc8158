"""Where files go: folders, and URLs of an object store on loopback."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from moto.server import ThreadedMotoServer

from micam_fast.core.errors import MissingExtraError, OutputError, SampleError
from micam_fast.core.timing import StageTimes
from micam_fast.runs import stores
from micam_fast.runs.manifest import EARLIER, take_further
from micam_fast.runs.observing import RunSample
from micam_fast.runs.on_cluster import _forget_earlier
from micam_fast.runs.stores import FolderStore, UrlStore, open_store
from tests.helpers.commands import failure_line, succeeded

GIVEN = ("plot", "net.onnx", "batch.npy", "--format", "npz,tiles", "--scale-tiles", "0.2")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of an empty bucket."""
    import s3fs

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        system = s3fs.S3FileSystem()
        system.mkdir("bucket")
        yield "s3://bucket"
        s3fs.S3FileSystem.clear_instance_cache()
        stores._open.cache_clear()
    server.stop()


def found(url: str) -> dict[str, bytes]:
    """What is in a store, the manifest without its header and seconds."""
    system, root = stores._open(url)
    system.invalidate_cache()
    names = [name.removeprefix(f"{root}/") for name in system.find(root)]
    return {name: _timeless(name, system.cat_file(f"{root}/{name}")) for name in names}


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): _timeless(path.name, path.read_bytes())
        for path in paths
    }


def _timeless(name: str, content: bytes) -> bytes:
    if name != "manifest.jsonl":
        return content
    return b"\n".join(line.split(b', "seconds"')[0] for line in content.splitlines()[1:])


def written(store: UrlStore, name: str, content: bytes) -> None:
    with store.writing(StageTimes()) as folder:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


class TestPlaces:
    """What a text names."""

    @pytest.mark.parametrize("place", ["out", "./out", "a:b", "s3:/bucket", "/tmp/x", "://x"])
    def test_folders(self, place: str) -> None:
        store = open_store(place)
        assert isinstance(store, FolderStore)
        assert store.folder == store.journal == Path(place)

    def test_a_folder_by_url(self) -> None:
        store = open_store("file:///tmp/a%20b")
        assert isinstance(store, FolderStore)
        assert store.folder == Path("/tmp/a b")

    def test_urls(self) -> None:
        store = open_store("memory://place/")
        assert str(store) == "memory://place"
        assert str(pickle.loads(pickle.dumps(store))) == "memory://place"
        assert store.journal != open_store("memory://other").journal

    def test_an_unknown_protocol(self) -> None:
        with pytest.raises(OutputError, match="cannot use no-such://x: Protocol not known"):
            open_store("no-such://x").check()

    def test_a_library_that_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(
            MissingExtraError, match=r"the URL gs://x/y needs another library: .*gcs"
        ):
            open_store("gs://x/y").check()
        monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'micam-fast\[distributed\]'"):
            open_store("memory://not-opened-yet").check()


class TestUrls:
    """Files by URL, in this process's memory."""

    @pytest.mark.parametrize("atomic", [True, False])
    def test_files_appear_under_their_names(
        self, monkeypatch: pytest.MonkeyPatch, atomic: bool
    ) -> None:
        if not atomic:
            monkeypatch.setattr(stores, "_ATOMIC", set())
        store = UrlStore(f"memory://names/{atomic}")
        written(store, "a/b.png", b"content")
        assert found(store.url) == {"a/b.png": b"content"}
        assert store.has({"files": {"a/b.png": 7}})
        assert not store.has({"files": {"a/b.png": 8}})
        assert not store.has({"files": {"a/b.png": 7, "c.png": 7}})
        assert not store.has({})
        store.remove("a/b.png")
        store.remove("a/b.png")
        assert found(store.url) == {}

    def test_a_failed_put_leaves_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from fsspec.implementations.memory import MemoryFileSystem

        monkeypatch.setattr(stores, "_ATOMIC", set())

        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("first line\nsecond line")

        monkeypatch.setattr(MemoryFileSystem, "mv", fail)
        with pytest.raises(OutputError, match=r"^cannot write a at memory://failed: first line$"):
            written(UrlStore("memory://failed"), "a", b"content")
        assert found("memory://failed") == {}

    def test_the_first_file_drops_the_manifest_of_an_earlier_run(self) -> None:
        store = UrlStore("memory://earlier")
        store.journal.mkdir(parents=True)
        earlier = store.journal / EARLIER
        earlier.write_text("{}")
        with store.writing(StageTimes()):
            # Nothing is replaced before all files of the sample are here.
            assert earlier.exists()
        assert not earlier.exists()

    def test_a_sample_for_other_machines_drops_the_manifest_of_an_earlier_run(self) -> None:
        """Their workers write to the URL and have no journal of this machine."""
        store = UrlStore("memory://far")
        store.journal.mkdir(parents=True)
        earlier = store.journal / EARLIER
        earlier.write_text("{}")
        given = [RunSample(0, SampleError("gone")), RunSample(1, {"x": np.zeros(1)})]
        left = [earlier.exists() for _ in _forget_earlier(given, store)]
        assert left == [True, False]

    def test_marks(self) -> None:
        store = UrlStore("memory://marks")
        assert not store.sees("mark")
        store.mark("mark")
        assert UrlStore("memory://marks").sees("mark")

    def test_a_journal_is_copied_now_and_then(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 100.0
        monkeypatch.setattr("micam_fast.runs.stores.time.monotonic", lambda: now)
        store, path = UrlStore("memory://journal"), tmp_path / "manifest.jsonl"
        assert store.fetch(path.name) is None
        seen = []
        for now, force in ((100.0, False), (129.0, False), (130.0, False), (131.0, True)):
            path.write_text(str(now))
            store.publish(path, now=force)
            seen.append(store.fetch(path.name))
        assert seen == [b"100.0", b"100.0", b"130.0", b"131.0"]


@pytest.mark.parametrize(
    ("known", "other", "expected"),
    [
        (b"h\n1\n", b"h\n1\n2\n", b"h\n1\n2\n"),
        (b"h\n1\n2\n", b"h\n1\n", b"h\n1\n2\n"),
        (b"h\n1\n", None, b"h\n1\n"),
        (None, b"h\n", b"h\n"),
        (None, None, None),
    ],
)
def test_the_manifest_that_came_further_counts(
    tmp_path: Path, known: bytes | None, other: bytes | None, expected: bytes | None
) -> None:
    path = tmp_path / "manifest.jsonl"
    if known is not None:
        path.write_bytes(known)
    take_further(path, other)
    assert (path.read_bytes() if path.exists() else None) == expected


class TestObjectStore:
    """``plot`` to S3."""

    def test_the_same_files_and_resuming(
        self, bucket: str, run_cli: Callable[..., Result], cli_out: Path
    ) -> None:
        succeeded(run_cli(*GIVEN))
        url = f"{bucket}/run"
        to_url = [*GIVEN, "--output-dir", url]
        assert f"to {url} in " in succeeded(run_cli(*to_url, out=False)).stdout
        assert found(url) == files(cli_out)
        # Another machine, which has no journal, goes on where this one was; a file is missing.
        store = UrlStore(url)
        assert not (store.journal / "manifest.jsonl").exists()
        store.remove(next(name for name in found(url) if "sample-1_" in name))
        again = succeeded(run_cli(*to_url, "--resume", out=False)).stdout
        assert again.splitlines()[-1].endswith("2 samples were there already")
        assert found(url) == files(cli_out)
        refused = failure_line(run_cli(*to_url, "--resume", "--scale", "2", out=False))
        assert f"cannot resume the run in {url}: --scale was 1.0, is 2.0" in refused
        # A mistyped path leaves it as it is, too.
        before = found(url)
        mistyped = run_cli("plot", "net.onnx", "mistyped.npy", "--output-dir", url, out=False)
        assert mistyped.exit_code == 2
        assert found(url) == before

    def test_a_dot_file_finds_its_tiles_beside_it(
        self, bucket: str, run_cli: Callable[..., Result]
    ) -> None:
        url = f"{bucket}/dot"
        words = ("plot", "net.onnx", "one.npy", "--format", "dot", "--output-dir", url)
        succeeded(run_cli(*words, out=False))
        (text,) = (content for name, content in found(url).items() if name.endswith(".dot"))
        assert b"imagepath" not in text
        assert b'_dot/000_x.png"' in text

    def test_by_a_cluster(self, bucket: str, run_cli: Callable[..., Result], cli_out: Path) -> None:
        succeeded(run_cli(*GIVEN))
        url = f"{bucket}/far"
        to_url = [*GIVEN, "--output-dir", url, "--scheduler", "local:2"]
        succeeded(run_cli(*to_url, out=False))
        assert found(url) == files(cli_out)

    def test_no_bucket(self, bucket: str, run_cli: Callable[..., Result]) -> None:
        result = run_cli(*GIVEN, "--output-dir", "s3://no-such-bucket/x", out=False)
        assert failure_line(result).endswith(
            "cannot write manifest.jsonl to s3://no-such-bucket/x: no such bucket or folder"
        )

    def test_no_permission(
        self, bucket: str, run_cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(13, "Access Denied: secret details")

        monkeypatch.setattr(stores._open(f"{bucket}/denied")[0], "put_file", refuse)
        result = run_cli(*GIVEN, "--output-dir", f"{bucket}/denied", out=False)
        assert failure_line(result).endswith(f"manifest.jsonl at {bucket}/denied: no permission")
        assert "secret" not in result.output
