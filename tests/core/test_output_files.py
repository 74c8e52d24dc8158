"""Output files: whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from micam_fast.core.errors import OutputError
from micam_fast.core.output_files import (
    archive_name,
    atomic_file,
    check_file,
    file_stem,
    is_there,
    make_folder,
    make_own_folder,
    unique_stem,
)


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with atomic_file(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_when_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"old")
    with atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_a_writer_that_fails_leaves_all_as_it_was(
    old: bytes | None, error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "x.png"
    if old is not None:
        path.write_bytes(old)

    def write() -> None:
        with atomic_file(path) as file:
            file.write(b"half")
            raise error("stopped")

    with pytest.raises(error, match="stopped"):
        write()
    assert [each.read_bytes() for each in tmp_path.iterdir()] == ([] if old is None else [old])


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.png"

    def write() -> None:
        with atomic_file(path) as file:
            file.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=rf"^cannot write {path}: No space left on device$"):
        write()
    assert not list(tmp_path.iterdir())


def open_and_close(path: Path) -> None:
    with atomic_file(path):
        pass


def test_a_file_in_a_folder_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "x.png"
    with pytest.raises(OutputError, match=rf"^cannot write {path}: No such file or directory$"):
        open_and_close(path)


def test_a_file_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "x.png"
    with pytest.raises(OutputError, match=rf"^cannot write {path}: Not a directory$"):
        open_and_close(path)


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.mkdir()
    with pytest.raises(OutputError, match=rf"^cannot write {path}: Is a directory$"):
        open_and_close(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")
    path.touch()  # the file system takes it
    with atomic_file(path) as file:
        file.write(b"one")
    assert path.read_bytes() == b"one"


def test_a_folder_is_made_with_those_around_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert make_folder(path) == path
    assert make_folder(path) == path
    assert path.is_dir()
    assert not list(path.iterdir())


def test_a_folder_of_ours_is_no_link(tmp_path: Path) -> None:
    assert make_own_folder(tmp_path / "a") == tmp_path / "a"
    assert make_own_folder(tmp_path / "a").is_dir()
    link = tmp_path / "link"
    link.symlink_to("a")
    with pytest.raises(OutputError, match=rf"^cannot write to folder {link}: it is a link"):
        make_own_folder(link)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_folder_in_the_place_of_a_file(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / below
    with pytest.raises(OutputError, match=rf"^cannot write to folder {path}: \w+"):
        make_folder(path)


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("conv_1", "conv_1"),
        ("model/block-1/Add:0", "model_block-1_Add_0"),
        ("../../etc/passwd", "etc_passwd"),
        ("..", "unnamed"),
        ("-rf", "rf"),
        ("", "unnamed"),
        ("日本", "unnamed"),
        ("a\n\x00b", "a_b"),
        ("x" * 200, "x" * 80),
    ],
)
def test_texts_as_parts_of_file_names(text: str, stem: str) -> None:
    assert file_stem(text) == stem


@given(st.text(st.characters(exclude_categories=()), max_size=120))
def test_any_text_as_a_part_of_a_file_name(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", file_stem(text))


def test_threads_may_write_the_same_file_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_file(path) as first, atomic_file(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_could_be_written(tmp_path: Path) -> None:
    check_file(tmp_path / "new" / "table.csv")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "table.csv").write_text("old")
    check_file(tmp_path / "table.csv")
    with pytest.raises(OutputError, match=r"table\.csv is a file"):
        check_file(tmp_path / "table.csv" / "below.csv")
    with pytest.raises(OutputError, match=r"cannot write .*: it is a folder"):
        check_file(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "none", "."])
def test_is_there(name: str) -> None:
    assert is_there(Path(name).exists) is (name == ".")


def test_a_name_that_no_file_can_have_is_told_when_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    check_file(path)
    with pytest.raises(OutputError, match="File name too long"), atomic_file(path):
        pass


def test_stems_that_tell_texts_apart() -> None:
    assert unique_stem("net_sample-0") == "net_sample-0"
    texts = ["a b", "a_b", "a  b", "日本", "中国", "x" * 100, "x" * 101]
    stems = {unique_stem(text) for text in texts}
    assert len(stems) == len(texts)
    assert all(re.fullmatch(r"[A-Za-z0-9_]+(~[0-9a-f]{32})?", stem) for stem in stems)


@pytest.mark.parametrize(
    "name",
    ["conv_1", "/features/conv0/Conv", "model/block:0", "日本", "a..b", "...x", "C:\\x", "."],
)
def test_names_in_archives_that_are_as_they_are(name: str) -> None:
    assert archive_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["..", "../x", "a/../../b", "..\\x", "a/.. /b", "nul\x00", "\u202ex", "\ud800", "x/" * 501,
     "日" * 81, "a~" + "0" * 32],
)  # fmt: skip
def test_names_in_archives_that_could_do_harm(name: str) -> None:
    found = archive_name(name)
    assert re.fullmatch(r"[A-Za-z0-9._-]+~[0-9a-f]{32}", found)
    assert found not in (name, archive_name(f"{name}x"))
