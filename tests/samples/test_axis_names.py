"""Names of rows and columns, from the files that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from micam_fast.core.csv_reading import number_repeats, read_csv_header
from micam_fast.core.errors import AxisError, DataError
from micam_fast.samples.axis_names import check_names, read_names


def written(path: Path, content: str | bytes) -> Path:
    """A file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def side_file(path: Path, **changes: Any) -> Path:
    """What ``micam-fast tfrecord table`` writes beside its records."""
    found = {
        "height": 4,
        "width": 3,
        "window": True,
        "columns": ["duration", "service", "bytes"],
        "codes": {"service": ["http", "smtp"]},
        "label": "class",
        "classes": ["back", "satan"],
    }
    return written(path, json.dumps(found | changes))


class TestTextFiles:
    """One name a line."""

    @pytest.mark.parametrize(
        "content",
        [
            "cpu_user\ncpu_sys\nréseau\n",
            "cpu_user\r\ncpu_sys\r\nréseau",
            "cpu_user\n cpu_sys \nréseau\n\n",
        ],
    )
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_a_name_a_line(self, tmp_path: Path, content: str, mark: bytes) -> None:
        path = written(tmp_path / "names.txt", mark + content.encode())
        assert read_names(path) == ("cpu_user", "cpu_sys", "réseau")

    def test_a_name_that_comes_again_is_numbered(self, tmp_path: Path) -> None:
        path = written(tmp_path / "names", "a\nb\na\na\n")
        assert read_names(path) == ("a", "b", "a#2", "a#3")

    def test_an_empty_line_is_no_name(self, tmp_path: Path) -> None:
        path = written(tmp_path / "names.txt", "a\n\nb\n")
        with pytest.raises(AxisError, match=r"names\.txt: line 2 is empty; expected is a name"):
            read_names(path)

    @pytest.mark.parametrize("content", ["", "\n \n"])
    def test_an_empty_file(self, tmp_path: Path, content: str) -> None:
        with pytest.raises(AxisError, match=r"names\.txt holds no names"):
            read_names(written(tmp_path / "names.txt", content))

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(AxisError, match=r"cannot read .*none\.txt: No such file"):
            read_names(tmp_path / "none.txt")

    def test_no_utf8(self, tmp_path: Path) -> None:
        with pytest.raises(AxisError, match=r"names\.txt is no UTF-8 text"):
            read_names(written(tmp_path / "names.txt", b"caf\xe9\n"))


class TestTables:
    """The header of a CSV, and the file beside records."""

    def test_the_header_of_a_csv(self, tmp_path: Path) -> None:
        content = '\ufeffduration, "src bytes",a\n1,2,3\n'
        assert read_names(written(tmp_path / "a.CSV", content)) == ("duration", "src bytes", "a")

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", r"a\.csv is empty"),
            ("0.5,1,2\n", r"a\.csv begins with numbers; expected is a first row of names"),
            ("a,,b\n", r"a\.csv: column 2 has no name"),
            ('a,"b\nc,d\n', r"a\.csv, lines 1 to 2: a quote in line 1 is not closed"),
            (b"caf\xe9,b\n", r"a\.csv is no UTF-8 text"),
        ],
    )
    def test_no_header(self, tmp_path: Path, content: str | bytes, said: str) -> None:
        with pytest.raises(AxisError, match=said):
            read_names(written(tmp_path / "a.csv", content))

    def test_the_columns_of_a_side_file(self, tmp_path: Path) -> None:
        path = side_file(tmp_path / "a.json")
        assert read_names(path) == ("duration", "service", "bytes")

    def test_what_no_column_fills_is_padding(self, tmp_path: Path) -> None:
        path = side_file(tmp_path / "a.json", width=5)
        assert read_names(path)[2:] == ("bytes", "padding 4", "padding 5")

    def test_a_row_of_the_table_in_a_row_of_the_sample(self, tmp_path: Path) -> None:
        path = side_file(tmp_path / "a.json", window=False, height=1)
        assert read_names(path) == ("duration", "service", "bytes")

    def test_columns_that_name_cells_name_no_columns(self, tmp_path: Path) -> None:
        path = side_file(tmp_path / "a.json", window=False, height=2, width=2)
        with pytest.raises(AxisError, match=r"fills a sample of 2 x 2, so that its columns name"):
            read_names(path)

    @pytest.mark.parametrize("content", ["[]", "3", '{"columns": 3}', '{"columns": [1]}', "{}"])
    def test_some_other_json(self, tmp_path: Path, content: str) -> None:
        with pytest.raises(AxisError, match=r"a\.json lists no columns; expected is the file that"):
            read_names(written(tmp_path / "a.json", content))

    def test_broken_json(self, tmp_path: Path) -> None:
        with pytest.raises(AxisError, match=r"a\.json is no JSON: Expecting"):
            read_names(written(tmp_path / "a.json", '{"columns": ['))


class TestChecks:
    """Names against the model's input."""

    @pytest.mark.parametrize("size", [3, None])
    def test_as_many_as_there_are(self, size: int | None) -> None:
        check_names(("a", "b", "c"), size, "rows", Path("names.txt"))

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("n.txt", r"^n\.txt names 3 columns, the model's input has 2 columns$"),
            ("n.csv", r"^n\.csv names 3 columns, .* \(with a label column, if it has one\)$"),
        ],
    )
    def test_too_many(self, name: str, said: str) -> None:
        with pytest.raises(AxisError, match=said):
            check_names(("a", "b", "c"), 2, "columns", Path(name))


def test_repeats_differ_from_names_that_are_there() -> None:
    assert number_repeats(["a", "a", "a#2", "a"]) == ("a", "a#3", "a#2", "a#4")


def test_a_broken_header_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv, lines 1 to 2: a quote in line 1"):
        read_csv_header(written(tmp_path / "a.csv", 'a,"b\nc\n'))
