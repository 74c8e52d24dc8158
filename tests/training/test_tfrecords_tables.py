"""Rows of CSV files: what their columns are, how they fill samples, which are broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from micam_fast.core.errors import DataError
from micam_fast.training.records import LabelledTable, survey_table


def forbidden(note: str) -> None:
    pytest.fail(f"nothing was to be said: {note}")


def write(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def survey(path: Path, **changed: Any) -> LabelledTable:
    """The table with few enough values for 2 x 2."""
    given = {"label": "y", "height": 2, "width": 2, "say": forbidden, "skipped": forbidden}
    return survey_table(path, **{**given, **changed})


def quiet(note: str) -> None:
    """For notes that another test looks at."""


def values(table: LabelledTable) -> list[list[float]]:
    return [sample.ravel().tolist() for sample, _ in table.samples()]


def labels(table: LabelledTable) -> list[int]:
    return [label for _, label in table.samples()]


class TestRows:
    """A row is a sample."""

    def test_it_fills_the_sample_row_major(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,b,c,d,y,e", "1,2,3,4,0,5", "6,7,8,9,1,-1.5e2", "0,0,0,0,0,1")
        table = survey(path, height=3, width=2, say=quiet)
        assert table.count == 3
        (first, first_label), (second, second_label), _ = table.samples()
        assert first.shape == (3, 2, 1)
        assert first.dtype == np.float32
        assert first[..., 0].tolist() == [[1, 2], [3, 4], [5, 0]]
        assert second[..., 0].tolist() == [[6, 7], [8, 9], [-150, 0]]
        assert (first_label, second_label) == (0, 1)

    def test_it_may_fill_it_wholly(self, tmp_path: Path) -> None:
        table = survey(write(tmp_path, "a,b,c,d,y", "1,2,3,4,0", "1,2,3,4,0"), say=quiet)
        assert values(table)[0] == [1, 2, 3, 4]

    def test_its_samples_can_be_read_twice(self, tmp_path: Path) -> None:
        table = survey(write(tmp_path, "a,y", "1,0", "2,0"))
        assert values(table) == values(table) == [[1, 0, 0, 0], [2, 0, 0, 0]]

    def test_spaces_quotes_blank_lines_and_the_mark_of_excel(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        path.write_bytes(b'\xef\xbb\xbf"a" , y\r\n\r\n " 1.5", "0"\r\n2 ,0\r\n')
        assert values(survey(path)) == [[1.5, 0, 0, 0], [2, 0, 0, 0]]

    def test_columns_of_one_name(self, tmp_path: Path) -> None:
        """Network traffic of CIC-IDS2017 has one twice."""
        table = survey(write(tmp_path, "a,a,b,a,y", "1,2,3,x,0", "1,2,3,x,0"), say=quiet)
        assert table.describe()["columns"] == ["a", "a#2", "b", "a#3"]
        assert table.describe()["codes"] == {"a#3": ["x"]}


class TestWindows:
    """Rows around a row are a sample."""

    def test_consecutive_rows(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,b,y", "1,2,1", "3,4,0", "5,6,1", "7,8,0")
        table = survey(path, height=2, width=3, window=True, say=quiet)
        assert table.count == 3
        samples = list(table.samples())
        assert [sample.shape for sample, _ in samples] == [(2, 3, 1)] * 3
        assert [sample[..., 0].tolist() for sample, _ in samples] == [
            [[1, 2, 0], [3, 4, 0]],
            [[3, 4, 0], [5, 6, 0]],
            [[5, 6, 0], [7, 8, 0]],
        ]
        assert [label for _, label in samples] == [0, 1, 0]

    def test_none_reaches_over_a_broken_row(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,y", "1,0", "2,0", "x,0", "3,0", "x,0", "4,0", "5,0", "6,0")
        table = survey(path, height=2, width=1, window=True, skipped=quiet)
        assert table.count == 3
        assert values(table) == [[1, 2], [4, 5], [5, 6]]

    def test_too_few_rows_between_broken_ones(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,y", "1,0", "x,0", "3,0", "4,x,0", "5,0")
        with pytest.raises(DataError, match=r"has 3 rows .* --height 2 rows, as broken ones lie"):
            survey(path, height=2, width=1, window=True, skipped=quiet)

    def test_too_few_rows(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,y", "1,0", "2,0")
        with pytest.raises(DataError, match=r"2 rows .*, too few for a window of --height 3 rows$"):
            survey(path, height=3, window=True)

    def test_too_many_columns(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,b,c,y", "1,2,3,0")
        with pytest.raises(DataError, match="3 columns beside the label do not fit into --width 2"):
            survey(path, height=9, width=2, window=True)


class TestTexts:
    """Columns and labels that are no numbers."""

    def test_texts_become_codes(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,b,y", "udp,1,0", "tcp,2,0", "udp,3,0", ",4,0")
        notes: list[str] = []
        table = survey(path, say=notes.append)
        assert values(table) == [[2, 1, 0, 0], [1, 2, 0, 0], [2, 3, 0, 0], [0, 4, 0, 0]]
        assert notes == ["text column 'a' becomes codes: ''=0, tcp=1, udp=2"]

    def test_many_codes_are_not_all_said(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,y", *(f"t{number:03},0" for number in range(200)))
        notes: list[str] = []
        table = survey(path, say=notes.append)
        assert notes == [
            "text column 'a' becomes codes: t000=0, t001=1, t002=2, t003=3, t004=4, t005=5, "
            "t006=6, t007=7, t008=8, t009=9 and so on, 200 in all"
        ]
        assert len(table.describe()["codes"]["a"]) == 200

    def test_half_of_the_values_decide(self, tmp_path: Path) -> None:
        """In a text column a number is a text like the others; missing values decide nothing."""
        path = write(tmp_path, "a,b,y", "x,1,0", "7,2,0", ",z,0", ",,0")
        skipped: list[str] = []
        table = survey(path, say=quiet, skipped=skipped.append)
        assert table.describe()["codes"] == {"a": ["7", "x"]}
        assert len(skipped) == 2

    @pytest.mark.parametrize("text", ["1_000", "0x10", "1,5", "one"])
    def test_what_is_no_number(self, tmp_path: Path, text: str) -> None:
        path = write(tmp_path, "a,y", f'"{text}",0', f'"{text}",0')
        assert survey(path, say=quiet).describe()["codes"] == {"a": [text]}

    def test_text_labels(self, tmp_path: Path) -> None:
        path = write(tmp_path, "y,a", "bad,1", "good,2", "bad,3", "bad,4")
        notes: list[str] = []
        table = survey(path, say=notes.append)
        assert labels(table) == [0, 1, 0, 0]
        assert table.classes == ("bad", "good")
        assert notes == ["labels 'y' become class codes: bad=0, good=1"]

    @pytest.mark.parametrize(
        ("given", "expected", "classes"),
        [
            (["0", "2", "1"], [0, 2, 1], 3),
            (["2", "1", "1"], [2, 1, 1], 3),
            (["10", "9", "11", "8", "7", "6"], [10, 9, 11, 8, 7, 6], 12),
        ],
    )
    def test_whole_numbers_are_labels(
        self, tmp_path: Path, given: list[str], expected: list[int], classes: int
    ) -> None:
        notes: list[str] = []
        path = write(tmp_path, "a,y", *(f"1,{label}" for label in given))
        table = survey(path, say=notes.append)
        assert labels(table) == expected
        assert table.classes == tuple(map(str, range(classes)))
        assert not [note for note in notes if "class codes" in note]

    @pytest.mark.parametrize(
        ("given", "expected", "classes"),
        [
            (["1", "-1", "1"], [1, 0, 1], ("-1", "1")),
            (["10", "9.5", "10"], [1, 0, 1], ("9.5", "10")),
            (["900", "30", "900"], [1, 0, 1], ("30", "900")),
            (["99999999999", "0", "0"], [1, 0, 0], ("0", "99999999999")),
            (["01", "1", "x"], [0, 1, 2], ("01", "1", "x")),
            (["1.0", "1", "1"], [1, 0, 0], ("1", "1.0")),
            (["nan", "10", "9", "-5"], [3, 1, 2, 0], ("-5", "10", "9", "nan")),
            (["inf", "2", "10"], [2, 1, 0], ("10", "2", "inf")),
            (["1" * 5000, "2", "2"], [0, 1, 1], ("1" * 5000, "2")),
        ],
    )
    def test_other_numbers_are_classes(
        self, tmp_path: Path, given: list[str], expected: list[int], classes: tuple[str, ...]
    ) -> None:
        notes: list[str] = []
        path = write(tmp_path, "a,y", *(f"1,{label}" for label in given))
        table = survey(path, say=notes.append)
        assert labels(table) == expected
        assert table.classes == classes
        assert [note for note in notes if note.startswith("labels 'y' become class codes: ")]

    def test_the_side_file(self, tmp_path: Path) -> None:
        path = write(tmp_path, "proto,y,bytes", "tcp,bad,1", "udp,good,2")
        table = survey(path, height=1, width=3, say=quiet)
        assert table.describe() == {
            "height": 1,
            "width": 3,
            "window": False,
            "columns": ["proto", "bytes"],
            "codes": {"proto": ["tcp", "udp"]},
            "label": "y",
            "classes": ["bad", "good"],
        }


class TestClassesOfTheTrainingPart:
    """A single file is split in its order, so a sorted table cannot be learnt."""

    def test_a_sorted_table(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,y", *["1,0"] * 5, *["1,1"] * 3, *["1,2"] * 2)
        notes: list[str] = []
        survey(path, say=notes.append)
        assert notes == [
            "no record of class 2 among the first 60 %, which are the training part of a single "
            "file: shuffle the table's rows"
        ]

    def test_a_mixed_table(self, tmp_path: Path) -> None:
        survey(write(tmp_path, "a,y", *["1,0", "1,1"] * 3), say=forbidden)

    def test_windows(self, tmp_path: Path) -> None:
        """The row of class 1 is in the first window, but labels none."""
        path = write(tmp_path, "a,y", "1,1", *["1,0"] * 6, "1,1")
        notes: list[str] = []
        survey(path, window=True, say=notes.append)
        assert notes == [
            "no record of class 1 among the first 60 %, which are the training part of a single "
            "file"
        ]


class TestBrokenRows:
    """They are named by their line and left out."""

    def test_each_is_named(self, tmp_path: Path) -> None:
        path = write(
            tmp_path,
            "a,b,y",
            "1,2,0",
            "x,2,0",
            "",
            "1,2",
            "1,2,0,9",
            "1,2,",
            "1,,0",
            '"1',
            ' ",2,0',
            "nan,2,0",
            "-inf,2,0",
            "1,1e39,0",
            "3,4,0",
        )
        skipped: list[str] = []
        table = survey(path, skipped=skipped.append)
        assert values(table) == [[1, 2, 0, 0], [1, 2, 0, 0], [3, 4, 0, 0]]
        assert skipped == [
            f"{path}, line 3: 'x' in column 'a', expected is a finite number",
            f"{path}, line 5: 2 fields, expected are 3",
            f"{path}, line 6: 4 fields, expected are 3",
            f"{path}, line 7: no label in column 'y'",
            f"{path}, line 8: '' in column 'b', expected is a finite number",
            f"{path}, line 11: 'nan' in column 'a', expected is a finite number",
            f"{path}, line 12: '-inf' in column 'a', expected is a finite number",
            f"{path}, line 13: '1e39' in column 'b', expected is a finite number",
        ]

    def test_lines_that_a_stray_quote_takes_in_are_named(self, tmp_path: Path) -> None:
        """In a column of texts they would be a value like the others."""
        path = write(
            tmp_path, "y,a", "0,x", '0,"z', "0,x", "1,y", '0,"q"', "0,x", '1,"two', 'lines"', '1,"w'
        )
        skipped: list[str] = []
        table = survey(path, say=quiet, skipped=skipped.append)
        assert skipped == [
            f"{path}, lines 3 to 6: a quote in line 3 is not closed there, and takes in what "
            "follows",
            f"{path}, line 10: a quote in line 10 is not closed there, and takes in what follows",
        ]
        assert table.codes == {1: ("two\nlines", "x")}

    def test_a_quote_within_a_text_stays(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,y", 'a 5" pipe,0', '"a ""q""",0')
        assert survey(path, say=quiet).codes == {0: ('a "q"', 'a 5" pipe')}

    def test_they_add_no_codes_and_classes(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,b,y", "x,1,0", "w,?,2", "z,2,0", "q,3,0,0")
        table = survey(path, say=quiet, skipped=quiet)
        assert table.describe()["codes"] == {"a": ["x", "z"]}
        assert table.classes == ("0",)

    def test_nothing_is_left(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a,y", "1,", "2,")
        with pytest.raises(DataError, match=r"table\.csv has 0 rows .*, too few for one sample"):
            survey(path, skipped=quiet)


class TestErrors:
    """Tables that cannot be read at all."""

    def test_no_such_column(self, tmp_path: Path) -> None:
        path = write(tmp_path, "size,label,Class", "1,2,3")
        with pytest.raises(
            DataError, match=r"no column 'labels'; did you mean 'label'\? \(columns: size, label, C"
        ):
            survey(path, label="labels")

    def test_no_name_is_near(self, tmp_path: Path) -> None:
        path = write(tmp_path, ",".join(f"c{number}" for number in range(30)), "1")
        with pytest.raises(DataError, match=r"no column 'label' \(columns: c0, .*, c19 and 10 mo"):
            survey(path, label="label")

    def test_two_such_columns(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="2 columns 'y', expected is one"):
            survey(write(tmp_path, "y,a,y", "1,2,3"))

    def test_no_other_column(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no column but the label 'y'"):
            survey(write(tmp_path, "y", "1"))

    def test_too_many_columns(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"5 columns beside the label do not fit into 2 x 2 = 4 values \(--hei"
        ):
            survey(write(tmp_path, "a,b,c,d,e,y", "1,2,3,4,5,0"))

    @pytest.mark.parametrize("content", ["", "\n\n"])
    def test_an_empty_file(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "empty.csv").write_text(content)
        with pytest.raises(DataError, match=r"empty\.csv is empty"):
            survey(tmp_path / "empty.csv")

    def test_a_header_alone(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="0 rows that can be used, too few for one sample"):
            survey(write(tmp_path, "a,y"))

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"cannot read .*/no\.csv: No such file or directory"):
            survey(tmp_path / "no.csv")

    def test_another_encoding(self, tmp_path: Path) -> None:
        (tmp_path / "latin.csv").write_bytes("a,y\ncafé,0\n".encode("cp1252"))
        with pytest.raises(DataError, match=r"latin\.csv is no UTF-8 text: 'iconv -f cp1252"):
            survey(tmp_path / "latin.csv")

    def test_what_the_csv_module_refuses(self, tmp_path: Path) -> None:
        """An open quote swallows what follows."""
        path = write(tmp_path, "a,y", "1,0", '"2,0', *["3,0"] * 50_000)
        with pytest.raises(
            DataError, match=r"table\.csv, line 3: field larger than .*: is a quote not closed\?$"
        ):
            survey(path)

    def test_an_open_quote_in_the_header(self, tmp_path: Path) -> None:
        path = write(tmp_path, 'a,"y', "1,0", "2,0")
        with pytest.raises(DataError, match=r"table\.csv, lines 1 to 3: a quote in line 1 is not"):
            survey(path)
