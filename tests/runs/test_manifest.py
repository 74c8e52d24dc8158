"""The manifest: what a killed run leaves, what a hostile one says, and what is written at last."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from micam_fast.core.errors import OutputError, ResumeError
from micam_fast.core.output_files import remove_file
from micam_fast.runs.manifest import (
    NAME,
    Manifest,
    differences,
    files_there,
    named_files,
    read_header,
    resume_manifest,
    start_manifest,
)

HEADER: dict[str, Any] = {
    "model": {"name": "net", "sha256": "12ab", "weights": {}},
    "versions": {"micam-fast": "1.0", "numpy": "2.0"},
    "options": {"--format": ["png"], "--scale": 1.0, "--labels": None},
    "running": {"--threads": None},
}


def line(index: int, **more: Any) -> dict[str, Any]:
    return {"sample": index, "sha256": f"{index:02x}", "files": {f"{index}.png": 3}, **more}


def write(path: Path, lines: Iterable[dict[str, Any] | bytes]) -> Path:
    """A manifest of these lines, or bytes in the place of a line."""
    with start_manifest(path, HEADER) as manifest:
        manifest.close()
    with path.open("ab") as file:
        for each in lines:
            file.write(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\n")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The lines after the header."""
    content = path.read_bytes()
    assert content.endswith(b"\n")
    return [json.loads(each) for each in content.splitlines()[1:]]


def found(path: Path, count: int) -> list[int]:
    """Which samples a resumed run finds."""
    with resume_manifest(path, HEADER) as manifest:
        return [index for index in range(count) if manifest.find(index) is not None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / NAME


@pytest.fixture(autouse=True)
def folder(path: Path) -> Path:
    path.parent.mkdir()
    return path.parent


class TestLines:
    """What is added is there at once, and in its order at last."""

    def test_header_then_a_line_for_each_sample(self, path: Path) -> None:
        with start_manifest(path, HEADER) as manifest:
            assert json.loads(path.read_bytes()) == {"manifest": 3, **HEADER}
            for index in range(3):
                assert manifest.find(index) is None
                manifest.add(line(index))
                # Each is in the file at once, whatever becomes of the process.
                assert read(path)[-1] == line(index)
                assert manifest.find(index) == line(index)
            manifest.finish()
        assert read(path) == [line(index) for index in range(3)]

    @pytest.mark.parametrize("index", [-1, 3, 10**18])
    def test_there_is_no_other_sample(self, index: int, path: Path) -> None:
        with start_manifest(path, HEADER) as manifest:
            for each in range(3):
                manifest.add(line(each))
            assert manifest.find(index) is None

    def test_the_same_line_again_changes_nothing(self, path: Path) -> None:
        with start_manifest(path, HEADER) as manifest:
            manifest.add(line(0, seconds=1.5))
            manifest.add(line(1, seconds=1.5))
            before = path.read_bytes()
            manifest.add(line(0, seconds=2.5))
            manifest.finish()
        assert path.read_bytes() == before

    def test_what_changed_counts_once_and_in_its_place(self, path: Path) -> None:
        with start_manifest(path, HEADER) as manifest:
            for index in range(4):
                manifest.add(line(index))
            manifest.add(line(2, error="gone"))
            assert manifest.find(2) == line(2, error="gone")
            manifest.add(line(0, label="x"))
            assert len(read(path)) == 6
            manifest.finish()
            # And it goes on.
            manifest.add(line(4))
            assert manifest.find(0) == line(0, label="x")
        assert read(path) == [
            line(0, label="x"), line(1), line(2, error="gone"), line(3), line(4),
        ]  # fmt: skip
        assert [each.name for each in path.parent.iterdir()] == [NAME]

    def test_a_change_survives_a_kill_before_the_end(self, path: Path) -> None:
        with start_manifest(path, HEADER) as manifest:
            for index in range(3):
                manifest.add(line(index))
            manifest.add(line(1, label="x"))
        with resume_manifest(path, HEADER) as manifest:
            assert manifest.find(1) == line(1, label="x")
            manifest.finish()
        assert read(path) == [line(0), line(1, label="x"), line(2)]

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 4), st.sampled_from("ab"), st.booleans()),
            max_size=12,
        )
    )
    def test_any_order_ends_in_one_line_for_each(
        self, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, bool]]
    ) -> None:
        """Samples begin in their order, any may be done again, any step may be the last."""
        path = tmp_path_factory.mktemp("any") / NAME
        last: dict[int, str] = {}
        manifest = start_manifest(path, HEADER)
        for index, label, killed in steps:
            index = min(index, len(last))
            manifest.add(line(index, label=label))
            last[index] = label
            if killed:
                manifest.close()
                manifest = resume_manifest(path, HEADER)
            assert manifest.find(index) == line(index, label=label)
        manifest.finish()
        manifest.close()
        assert read(path) == [line(index, label=label) for index, label in sorted(last.items())]

    def test_a_new_run_replaces_an_old_one(self, path: Path) -> None:
        write(path, [line(0)])
        with start_manifest(path, HEADER) as manifest:
            assert manifest.find(0) is None
        assert read(path) == []

    def test_discard_leaves_nothing(self, path: Path) -> None:
        start_manifest(path, HEADER).discard()
        assert not any(path.parent.iterdir())


class TestDamage:
    """A killed process and a bad disk cost the lines that they hit."""

    @pytest.mark.parametrize("torn", [b"{", json.dumps(line(2)).encode(), b"\0" * 4096, b"\xff"])
    def test_a_torn_line_is_cut_off(self, torn: bytes, path: Path) -> None:
        write(path, [line(0), line(1), torn])
        with resume_manifest(path, HEADER) as manifest:
            assert manifest.find(2) is None
            assert manifest.find(1) == line(1)
            manifest.add(line(2))
        assert read(path) == [line(0), line(1), line(2)]

    def test_a_run_killed_at_any_byte_goes_on(self, path: Path) -> None:
        write(path, [line(0), line(1, label="é\n"), line(2)])
        whole = path.read_bytes()
        header = whole.index(b"\n") + 1
        for end in range(header, len(whole) + 1, 7):
            path.write_bytes(whole[:end])
            count = whole[:end].count(b"\n") - 1
            with resume_manifest(path, HEADER) as manifest:
                assert [manifest.find(each) is not None for each in range(3)] == [
                    each < count for each in range(3)
                ]
                for each in read(path)[count:] or [json.loads(x) for x in whole.splitlines()[1:]]:
                    manifest.add(each)
                manifest.finish()
            assert path.read_bytes() == whole

    @pytest.mark.parametrize(
        "damage",
        [
            b"\n",
            b"\0\0\0\n",
            b"no JSON\n",
            b"\xff\xfe\n",
            b"[1]\n",
            b'{"sample": 1}}\n',
            b'{"sample": 1, "files": {"1.png": 3}\n',
            b'{"sample": -1, "files": {}}\n',
            b'{"sample": "1", "files": {}}\n',
            b'{"sample": 1e0, "files": {}}\n',
            b'{"sample": ' + b"1" * 5000 + b', "files": {}}\n',
        ],
        ids=range(11),
    )
    def test_only_a_damaged_line_is_lost(self, damage: bytes, path: Path) -> None:
        """The disk had it in its middle: what follows was done all the same."""
        write(path, [line(0), damage, line(2), line(3)])
        assert found(path, 5) == [0, 2, 3]
        with resume_manifest(path, HEADER) as manifest:
            manifest.add(line(1))
            manifest.finish()
        assert read(path) == [line(index) for index in range(4)]

    def test_an_empty_file_is_no_manifest(self, path: Path) -> None:
        """Headers appear whole, by a rename: something else wrote this."""
        path.touch()
        with pytest.raises(ResumeError, match="is no manifest of this version"):
            resume_manifest(path, HEADER)
        assert path.read_bytes() == b""


class TestHostile:
    """A manifest may come from anyone, as a folder of results does."""

    def test_an_index_of_no_sample_takes_no_memory(self, path: Path) -> None:
        write(path, [line(0), line(10**14), line(10**18), line(5)])
        assert found(path, 7) == [0]

    def test_a_long_line_is_read(self, path: Path) -> None:
        write(path, [line(0, name="x" * 10_000_000), line(1)])
        assert found(path, 3) == [0, 1]

    @pytest.mark.parametrize("depth", [100, 900, 960, 990, 100_000])
    def test_deep_nesting(self, depth: int, path: Path) -> None:
        deep = b"[" * depth + b"]" * depth
        write(path, [b'{"sample": 0, "files": ' + deep + b"}\n", line(1)])
        with resume_manifest(path, HEADER) as manifest:
            first = manifest.find(0)
            assert first is None or not files_there(first, path.parent)
            manifest.add(line(0))
            assert manifest.find(0) == line(0)
            assert manifest.find(1) == line(1)

    @pytest.mark.parametrize("depth", [100, 900, 940, 960, 980, 990, 100_000])
    @pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"1}")])
    def test_a_deep_header(self, depth: int, brackets: tuple[bytes, bytes], path: Path) -> None:
        begin, end = brackets
        path.write_bytes(b'{"manifest": 3, "options": ' + begin * depth + end * depth + b"}\n")
        with pytest.raises(ResumeError, match="cannot resume"):
            resume_manifest(path, HEADER)

    def test_not_a_number_equals_nothing(self, path: Path) -> None:
        write(path, [b'{"sample": 0, "files": {"a.png": NaN}, "seconds": Infinity}\n'])
        (path.parent / "a.png").write_bytes(b"abc")
        with resume_manifest(path, HEADER) as manifest:
            first = manifest.find(0)
            assert first is not None
            assert not files_there(first, path.parent)

    @pytest.mark.parametrize(
        "name",
        [
            "../a.png", "/a.png", "x/../../a.png", "..", ".", "", "//a.png", "a\0.png",
            "\ud800.png", "x" * 5000, "a.png/..", "./../a.png", "{}/a.png", "/{}/a.png",
            "//{}/a.png", "..\\a.png", "C:a.png",
        ],
        ids=range(17),
    )  # fmt: skip
    def test_no_name_leads_out_of_the_folder(self, name: str, path: Path) -> None:
        (path.parent.parent / "a.png").write_bytes(b"abc")
        name = name.replace("{}", str(path.parent.parent))
        (path.parent / "b.png").write_bytes(b"abc")
        bad = line(0) | {"files": {"b.png": 3, name: 3}}
        assert not files_there(bad, path.parent)
        for each in named_files(bad):
            with suppress(OutputError):
                remove_file(path.parent / each)
        assert (path.parent.parent / "a.png").exists()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such pipes on this system")
    def test_a_pipe_is_not_waited_for(self, path: Path) -> None:
        os.mkfifo(path)
        with pytest.raises(OutputError, match="it is a pipe, and no regular file"):
            resume_manifest(path, HEADER)
        with write(path, [line(0)]).open("rb") as file:
            assert len(file.readlines()) == 2

    @pytest.mark.parametrize(
        "files", [None, 3, "a.png", [], ["a.png"], {}, {"a.png": "3"}, {"a.png": [3]}]
    )
    def test_files_that_are_none(self, files: Any, path: Path) -> None:
        (path.parent / "a.png").write_bytes(b"abc")
        assert not files_there({"sample": 0, "files": files}, path.parent)


class TestFiles:
    """Whether a sample was written."""

    def test_all_of_them_in_their_sizes(self, path: Path) -> None:
        given = line(0) | {"files": {"a.png": 3, "t_tiles/b.png": 2}}
        folder = path.parent
        (folder / "t_tiles").mkdir()
        (folder / "a.png").write_bytes(b"abc")
        assert not files_there(given, folder)
        (folder / "t_tiles/b.png").write_bytes(b"ab")
        assert files_there(given, folder)
        (folder / "a.png").write_bytes(b"ab")
        assert not files_there(given, folder)
        assert not files_there({"sample": 0, "error": "no such file"}, folder)


class TestHeader:
    """Which run a manifest is of."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"model": {"name": "other"}}, 'model name was "net", is "other"'),
            ({"model": {"sha256": "34cd"}}, 'model sha256 was "12ab", is "34cd"'),
            ({"versions": {"numpy": "2.1"}}, 'versions numpy was "2.0", is "2.1"'),
            ({"versions": {"isal": "1"}}, 'versions isal was not given, is "1"'),
            ({"options": {"--scale": 2.0}}, "--scale was 1.0, is 2.0"),
            ({"options": {"--labels": "a.csv"}}, '--labels was not given, is "a.csv"'),
            ({"options": {"--format": ["png", "npz"]}}, 'was ["png"], is ["png", "npz"]'),
            ({"layout": "x" * 100}, f'layout was not given, is "{"x" * 55}...'),
        ],
    )
    def test_what_differs_is_said(self, change: dict[str, Any], said: str, path: Path) -> None:
        content = write(path, [line(0)]).read_bytes()
        now = dict(HEADER)
        for name, value in change.items():
            now[name] = HEADER[name] | value if isinstance(value, dict) else value
        with pytest.raises(ResumeError, match=re.escape(said)) as caught:
            resume_manifest(path, now)
        assert "\n" not in str(caught.value)
        assert "--output-dir" in str(caught.value)
        assert path.read_bytes() == content

    def test_several_differences_are_all_said(self) -> None:
        now = HEADER | {"options": {"--format": ["svg"], "--scale": 1.0, "--labels": None}}
        now["versions"] = {"micam-fast": "2.0", "numpy": "2.0"}
        assert differences(HEADER, now) == [
            'versions micam-fast was "1.0", is "2.0"',
            '--format was ["png"], is ["svg"]',
        ]

    def test_how_it_is_run_does_not_count(self, path: Path) -> None:
        write(path, [line(0)])
        with resume_manifest(path, HEADER | {"running": {"--threads": 4}}) as manifest:
            assert manifest.find(0) == line(0)

    def test_tuples_are_lists(self, path: Path) -> None:
        given = HEADER | {"options": {"--mean": (0.0, 1.0)}}
        start_manifest(path, given).close()
        resume_manifest(path, given).close()

    @pytest.mark.parametrize(
        "first", [b"", b"\n", b"[]\n", b'{"manifest": 2}\n', b"\x89PNG\n", b"{}\n"]
    )
    def test_another_file_is_refused_and_kept(self, first: bytes, path: Path) -> None:
        path.write_bytes(first)
        with pytest.raises(ResumeError, match="is no manifest of this version"):
            resume_manifest(path, HEADER)
        assert path.read_bytes() == first

    def test_none_is_begun(self, path: Path) -> None:
        resume_manifest(path, HEADER).close()
        assert read_header(path) == {"manifest": 3, **HEADER}


class TestDisk:
    """Each failure is named, and no line is torn by it."""

    def test_a_full_disk_leaves_whole_lines(self, path: Path) -> None:
        """A limit on the size of files stands in for the disk: it takes a part of the line."""
        resource = pytest.importorskip("resource", reason="no limits on this system")
        write(path, [line(index) for index in range(3)])
        limit = path.stat().st_size + 20
        code = (
            "import sys; from pathlib import Path; from micam_fast.core.errors import OutputError; "
            "from micam_fast.runs.manifest import Manifest\n"
            "with Manifest(Path(sys.argv[1])) as manifest:\n"
            "    try: manifest.add({'sample': 3, 'name': 'x' * 100})\n"
            "    except OutputError as error: print(error, manifest.find(2) is not None)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        assert done.stdout == f"cannot write {path}: File too large True\n"
        assert read(path) == [line(index) for index in range(3)]

    def test_a_write_in_parts(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Slow:
            """Takes seven bytes at a time."""

            def __init__(self, file: Any) -> None:
                self._file = file

            def write(self, content: bytes) -> int:
                return int(self._file.write(content[:7]))

            def __getattr__(self, name: str) -> Any:
                return getattr(self._file, name)

        with start_manifest(path, HEADER) as manifest:
            monkeypatch.setattr(manifest, "_file", Slow(manifest._file))
            manifest.add(line(0))
            manifest.add(line(1))
        assert read(path) == [line(0), line(1)]

    @pytest.mark.parametrize("way", ["file", "folder"])
    @pytest.mark.parametrize("act", ["add", "change", "find", "finish", "finish in order"])
    def test_what_was_removed_is_named(self, act: str, way: str, path: Path) -> None:
        with start_manifest(path, HEADER) as manifest:
            manifest.add(line(0))
            manifest.add(line(1))
            if act != "finish in order":
                manifest.add(line(0, label="out of order"))
            if way == "file":
                path.unlink()
            else:
                shutil.rmtree(path.parent)
            acts: dict[str, Callable[[], object]] = {
                "add": lambda: manifest.add(line(2)),
                "change": lambda: manifest.add(line(1, label="x")),
                "find": lambda: manifest.find(1),
            }
            with pytest.raises(OutputError, match=re.escape(f"{path}: ") + "(it was|No such)"):
                acts.get(act, manifest.finish)()
        assert not path.exists()

    def test_another_in_its_place_is_left_alone(self, path: Path) -> None:
        with start_manifest(path, HEADER) as manifest:
            manifest.add(line(0))
            path.unlink()
            path.write_bytes(b"another\n")
            with pytest.raises(OutputError, match="removed while the run was writing it"):
                manifest.add(line(1))
        assert path.read_bytes() == b"another\n"

    def test_a_folder_in_its_place(self, path: Path) -> None:
        path.mkdir()
        with pytest.raises(OutputError, match=re.escape(f"cannot write {path}: ")):
            start_manifest(path, HEADER)
        with pytest.raises(OutputError, match=re.escape(f"cannot read {path}: ")):
            resume_manifest(path, HEADER)

    def test_no_file_to_open(self, path: Path) -> None:
        with pytest.raises(OutputError, match=re.escape(f"cannot write {path}: ")):
            Manifest(path)
