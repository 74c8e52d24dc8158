"""The files of the cache: what is kept, what is ignored, what is thrown away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from micam_fast.core import plan_cache
from micam_fast.core.digests import short_digest
from micam_fast.core.plan_cache import PlanFiles, plan_key, user_plan_files

KEY = plan_key(b"key")
CONTENT = {"a": [1, 2.5, None, "ä"], "b": {}}


@pytest.fixture
def files(tmp_path: Path) -> PlanFiles:
    return PlanFiles(tmp_path / "new" / "plans")


def test_what_is_kept_is_found(files: PlanFiles, tmp_path: Path) -> None:
    assert files.load(KEY) is None
    assert not (tmp_path / "new").exists()
    files.keep(KEY, CONTENT)
    assert files.load(KEY) == CONTENT
    assert files.load(plan_key(b"other")) is None
    files.keep(KEY, [1])
    assert files.load(KEY) == [1]
    assert [path.name for path in (tmp_path / "new" / "plans").iterdir()] == [f"{KEY}.json"]


DAMAGED = {
    "empty": b"",
    "text": b"hello",
    "other": b"0" * 64 + b"\n{}",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("case", [*DAMAGED, "cut", "changed", "folder"])
def test_damaged_files_are_ignored_and_written_anew(
    case: str, files: PlanFiles, tmp_path: Path
) -> None:
    files.keep(KEY, CONTENT)
    (path,) = tmp_path.rglob("*.json")
    whole = path.read_bytes()
    path.unlink()
    if case == "folder":
        path.mkdir()
    else:
        damaged = {"cut": whole[:-1], "changed": whole.replace(b"2.5", b"2.6")} | DAMAGED
        path.write_bytes(damaged[case])
    assert files.load(KEY) is None
    files.keep(KEY, CONTENT)
    assert files.load(KEY) == (None if case == "folder" else CONTENT)


def test_json_that_is_too_deep(files: PlanFiles, tmp_path: Path) -> None:
    files.keep(KEY, CONTENT)
    (path,) = tmp_path.rglob("*.json")
    deep = b"[" * 100_000
    path.write_bytes(short_digest(deep).encode() + b"\n" + deep)
    assert files.load(KEY) is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    files = PlanFiles(tmp_path / "file" / "plans")
    files.keep(KEY, CONTENT)
    assert files.load(KEY) is None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_without_permission(files: PlanFiles, tmp_path: Path) -> None:
    files.keep(KEY, CONTENT)
    folder = tmp_path / "new" / "plans"
    folder.chmod(0o500)
    files.keep(plan_key(b"other"), CONTENT)
    assert files.load(KEY) == CONTENT
    folder.chmod(0o700)
    assert len(list(folder.iterdir())) == 1


def test_the_folder_is_bounded(
    files: PlanFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was used last stays; halves that another process left behind go, too."""
    monkeypatch.setattr(plan_cache, "LARGEST_NUMBER", 3)
    keys = [plan_key(bytes([number])) for number in range(5)]
    folder = tmp_path / "new" / "plans"
    folder.mkdir(parents=True)
    (folder / ".half.part").touch()
    os.utime(folder / ".half.part", (1, 1))
    for age, key in enumerate(keys[:3]):
        files.keep(key, age)
        os.utime(folder / f"{key}.json", (1000 + age, 1000 + age))
    assert {path.stem for path in folder.iterdir()} == set(keys[:3])
    files.load(keys[0])
    files.keep(keys[3], 3)
    assert [files.load(key) for key in keys] == [0, None, 2, 3, None]


def test_keys_tell_their_parts_apart() -> None:
    keys = [plan_key(*parts) for parts in ([], [b""], [b"a", b"b"], [b"ab"], [b"a", b"", b"b"])]
    assert len(set(keys)) == len(keys)
    assert plan_key(b"a", b"b") == keys[2]


def test_keys_change_with_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    module = tmp_path / "core" / "module.py"
    module.parent.mkdir()
    monkeypatch.setattr(plan_cache, "_PACKAGE", tmp_path)
    for text in ("one", "other"):
        module.write_text(text)
        plan_cache._code.cache_clear()
        keys.append(plan_key(b"a"))
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9")
    plan_cache._code.cache_clear()
    keys.append(plan_key(b"a"))
    plan_cache._code.cache_clear()
    assert len(set(keys)) == 3


def test_the_folder_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    user_plan_files().keep(KEY, CONTENT)
    assert [p.relative_to(tmp_path).parts[:2] for p in tmp_path.rglob("*.json")] == [
        ("micam-fast", "plans")
    ]


def test_processes_that_write_at_once(tmp_path: Path) -> None:
    """Whoever reads finds all of a file, or none of it."""
    code = (
        "import sys; from pathlib import Path\n"
        "from micam_fast.core.plan_cache import PlanFiles\n"
        "files = PlanFiles(Path(sys.argv[1]))\n"
        "content = [int(sys.argv[2])] * 50_000\n"
        "for _ in range(40):\n"
        f"    files.keep({KEY!r}, content)\n"
        f"    assert files.load({KEY!r}) in ([1] * 50_000, [2] * 50_000)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "plans"), number])
        for number in "12"
    ]
    assert [process.wait() for process in running] == [0, 0]
    (kept,) = (tmp_path / "plans").iterdir()
    assert len(json.loads(kept.read_bytes().partition(b"\n")[2])) == 50_000
