"""``micam-fast diff``: models and samples on the command line, what is written and told."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import Result
from onnx import numpy_helper
from PIL import Image

from micam_fast import load_model
from micam_fast.analyses.differences import diff, files, gates
from micam_fast.api.averages import Average
from micam_fast.core.choices import DIFFERENCE_METRICS
from micam_fast.core.formats import format_names
from tests.helpers import models
from tests.helpers.clips import CLIPS, KERNEL, clip_net
from tests.helpers.commands import failure_line, names, only, succeeded, usage_error
from tests.helpers.differences import other_net
from tests.helpers.quantized_models import quantize, residual_net, samples as random_samples

Run = Callable[..., Result]


@pytest.fixture
def run(run_cli: Run) -> Run:
    """Run ``micam-fast diff``."""

    def run_it(*words: str, out: bool = True) -> Result:
        return run_cli("diff", *words, out=out)

    return run_it


@pytest.fixture
def other(tmp_path: Path) -> str:
    """A model with layers of other sizes, one less and one more."""
    onnx.save(other_net(), tmp_path / "other.onnx")
    return str(tmp_path / "other.onnx")


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with only(folder, "*.csv").open(encoding="utf-8", newline="") as file:
        return {row["layer"]: row for row in csv.DictReader(file)}


def svg_lines(folder: Path) -> list[str]:
    root = ET.parse(only(folder, "*.svg")).getroot()
    return ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]


# --- Samples --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        ("ab.csv", "ba.csv", True),
        ("ab.csv", "ab.csv", False),
        ("one.npy", "ba.csv", False),
        ("ab.csv", "one.npy", False),
    ],
)
def test_columns_of_other_names_are_told(
    run: Run, tmp_path: Path, cli_files: Path, a: str, b: str, told: bool
) -> None:
    body = "1,2,3,4,5,6\n" * 8
    (tmp_path / "ab.csv").write_text(f"a,b,c,d,e,f\n{body}")
    (tmp_path / "ba.csv").write_text(f"b,a,c,d,e,f\n{body}")
    (tmp_path / "one.npy").write_bytes((cli_files / "one.npy").read_bytes())
    paths = [str(tmp_path / name) for name in (a, b)]
    done = succeeded(run("net.onnx", *paths, "--format", "csv"))
    line = f"{paths[1]} names other columns than {paths[0]}; columns are taken in their order"
    assert (line in done.stderr) is told


def test_two_samples_of_a_batch(run: Run, cli_out: Path, cli_files: Path) -> None:
    done = succeeded(run("net.onnx", "batch.npy:0", "batch.npy:2", "--format", "png,svg,csv"))
    stem = "diff_net_batch.npy_0_batch.npy_2"
    assert names(cli_out) == [f"{stem}.csv", f"{stem}.png", f"{stem}.svg"]
    model = load_model(cli_files / "net.onnx")
    batch = np.load(cli_files / "batch.npy")
    found = diff(model.explain(batch[0]), model.explain(batch[2]))
    rows = rows_of(cli_out)
    assert list(rows) == ["x", "conv", "relu", "pool", "flatten", "dense", "softmax"]
    for name, row in rows.items():
        assert float(row["relative_l2"]) == found.layers[name].relative_l2
    first, heading, *table = done.stdout.splitlines()[:-1]
    assert first == "layers that differ most (relative L2: |B - A| / |A|):"
    assert heading.split()[:2] == ["layer", "class"]
    assert [line.split()[0] for line in table] == [each.layer.name for each in found.ranked]
    assert table[0].split()[2] == f"{found.ranked[0].relative_l2:.4f}"
    assert done.stdout.splitlines()[-1] == f"wrote {stem} (png, svg, csv) to {cli_out}"
    lines = svg_lines(cli_out)
    assert "net: difference B - A" in lines
    assert any(line.startswith("A: batch.npy[0], prediction: class ") for line in lines)


def test_a_batch_and_a_folder_are_means(
    run: Run, cli_out: Path, cli_files: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for place in range(2):
        np.save(folder / f"{place}.npy", models.random_array(20 + place, 1, 8, 6))
    succeeded(run("net.onnx", "batch.npy", str(folder), "--format", "svg,csv"))
    model = load_model(cli_files / "net.onnx")
    sides = []
    for samples in (
        np.load(cli_files / "batch.npy"),
        [np.load(p) for p in sorted(folder.iterdir())],
    ):
        average = Average()
        for each in model.explain_many(samples):
            average.add(each)
        sides.append(average.mean())
    found = diff(*sides)
    for name, row in rows_of(cli_out).items():
        assert float(row["relative_l2"]) == pytest.approx(found.layers[name].relative_l2, rel=1e-5)
    lines = svg_lines(cli_out)
    assert "A: mean of 3 samples of batch.npy" in lines
    assert "B: mean of 2 samples of some" in lines


def test_labels_are_a_s_and_b_s(run: Run, cli_out: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("cat\ndog\n")
    words = "net.onnx", "batch.npy:0", "batch.npy:1", "--format", "svg"
    succeeded(run(*words, "--labels", str(tmp_path / "labels")))
    lines = svg_lines(cli_out)
    assert [line.split(", ")[1] for line in lines if line[:3] in ("A: ", "B: ")] == [
        "label cat", "label dog",
    ]  # fmt: skip


def test_samples_that_fail_are_left_out_and_named(
    run: Run, cli_out: Path, cli_files: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for name in ("one", "wrong"):
        np.save(folder / f"{name}.npy", np.load(cli_files / f"{name}.npy"))
    done = run("net.onnx", "one.npy", str(folder), "--format", "csv")
    assert done.exit_code == 1
    assert (
        "micam-fast: error: B: sample 1 (wrong.npy) skipped: shape (5, 7) does not fit"
        in done.stderr
    )
    assert all(float(row["relative_l2"]) == 0 for row in rows_of(cli_out).values())


def test_a_side_without_a_sample_is_an_error(run: Run, cli_out: Path) -> None:
    done = run("net.onnx", "one.npy", "wrong.npy")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        "micam-fast: error: B: no sample of wrong.npy can be compared"
    )
    assert not cli_out.exists()


def test_a_folder_without_a_sample_is_an_error(run: Run, cli_out: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = run("net.onnx", str(tmp_path / "none"), "one.npy")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        f"micam-fast: error: A: {tmp_path / 'none'} holds no sample"
    )
    assert not cli_out.exists()


def test_layers_that_are_not_finite_are_told(run: Run, cli_out: Path, tmp_path: Path) -> None:
    sample = models.random_array(1, 1, 8, 6)
    sample[0, 2, 2] = np.nan
    np.save(tmp_path / "bad.npy", sample)
    done = succeeded(run("net.onnx", "one.npy", str(tmp_path / "bad.npy")))
    assert done.stderr.splitlines()[-1] == ("micam-fast: note: the CSV names these layers")
    assert "note: 7 layers whose maps are not compared, as they are not finite\n" in done.stderr
    assert done.stdout.splitlines()[0] == "no layer can be compared"
    assert len(names(cli_out)) == 2


# --- Models ---------------------------------------------------------------------------------


def test_two_models_see_one_sample(run: Run, cli_out: Path, other: str) -> None:
    done = succeeded(run("net.onnx", other, "one.npy", "--format", "csv"))
    assert names(cli_out) == ["diff_net_other_one.npy.csv"]
    for line in (
        "3 layers whose maps are not compared, as their sizes differ",
        "3 layers only in A",
        "2 layers only in B",
        "the CSV names these layers",
        "--match structure matches layers by what they do, whatever their names",
    ):
        assert f"micam-fast: note: {line}\n" in done.stderr
    assert rows_of(cli_out)["x"]["relative_l2"] == "0.0"


@pytest.fixture
def quantized(tmp_path: Path) -> tuple[str, str, str]:
    """A model, what ONNX Runtime's tool makes of it, and samples."""
    net = residual_net()
    onnx.save(quantize(net, tmp_path, "QOperator"), tmp_path / "int8.onnx")
    onnx.save(net, tmp_path / "float.onnx")
    np.save(tmp_path / "some.npy", random_samples(3))
    one, other, some = (str(tmp_path / name) for name in ("float.onnx", "int8.onnx", "some.npy"))
    return one, other, some


def test_a_quantized_model_s_worst_layers_come_first(
    run: Run, cli_out: Path, quantized: tuple[str, str, str]
) -> None:
    done = succeeded(run(*quantized, "--format", "csv"))
    first, heading, *table, _ = done.stdout.splitlines()
    assert first == (
        "layers that differ most, 10 of 16 (by the noise that each adds to what it reads):"
    )
    assert heading.split()[2:6] == ["added", "noise", "SNR", "saturated"]
    added, ratios = ([float(line.split()[place]) for line in table] for place in (2, 4))
    assert added == sorted(added, reverse=True)
    assert 20 < min(ratios) < 45
    rows = rows_of(cli_out)
    assert (rows["r0_node"]["b_layer"], rows["r0_node"]["b_class"]) == (
        "c0_node_quant", "QLinearConv",
    )  # fmt: skip
    assert rows["c0_node"]["note"] == "B computes it within c0_node_quant"
    assert rows["r0_node"]["note"] == (
        "maps are not compared: B's is weighted through a kernel, A's is not"
    )
    assert rows["r0_node"]["snr_db"]
    assert "only in" not in done.stderr


def test_noise_is_that_of_the_frame(run: Run, cli_out: Path, tmp_path: Path) -> None:
    other = clip_net()
    for tensor in other.graph.initializer:
        if tensor.name == "k":
            tensor.CopyFrom(numpy_helper.from_array(np.round(KERNEL * 4) / 4, "k"))
    onnx.save(clip_net(), tmp_path / "a.onnx")
    onnx.save(other, tmp_path / "b.onnx")
    np.save(tmp_path / "clips.npy", CLIPS)
    words = [str(tmp_path / name) for name in ("a.onnx", "b.onnx", "clips.npy")]
    found = []
    for more in ([], ["--frame", "0"], ["--frame", "1"]):
        succeeded(run(*words, *more, "--format", "csv"))
        found.append(rows_of(cli_out)["conv"]["snr_db"])
    assert len(set(found)) == 3


def test_samples_of_their_own_have_no_noise(
    run: Run, cli_out: Path, quantized: tuple[str, str, str]
) -> None:
    one, other, some = quantized
    done = succeeded(run(one, other, f"{some}:0", f"{some}:1", "--format", "csv"))
    assert "SNR" not in done.stdout
    assert {row["snr_db"] for row in rows_of(cli_out).values()} == {""}


def test_chosen_layers_are_a_s_and_their_partners(
    run: Run, cli_out: Path, quantized: tuple[str, str, str]
) -> None:
    succeeded(run(*quantized, "--format", "csv", "--layers", "c9_node,r0_node"))
    assert {name: row["b_layer"] for name, row in rows_of(cli_out).items()} == {
        "r0_node": "c0_node_quant", "c9_node": "c9_node_quant",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (["relative-error=0.2", "noise-db=-10"], 0),
        (["relative-error=0.2", "noise-db=-60"], 3),
        (["relative-error=0.001"], 3),
        (["not-compared=50"], 0),
        (["not-compared=0"], 3),
    ],
)
def test_limits_make_the_exit_code(
    run: Run, quantized: tuple[str, str, str], limits: list[str], code: int
) -> None:
    words = [word for each in limits for word in ("--fail-above", each)]
    done = run(*quantized, "--format", "csv", "--json", *words)
    assert done.exit_code == code
    record = json.loads(done.stdout)
    assert record["fails"] is (code == 3)
    assert [f"{each['metric']}={each['limit']:g}" for each in record["limits"]] == limits
    errors = [line for line in done.stderr.splitlines() if "micam-fast: error: " in line]
    assert bool(errors) is (code == 3)
    assert record["layers"][0]["b"].endswith("_quant")
    (path,) = record["files"]
    assert Path(path).is_file()


def test_a_limit_for_what_was_not_measured_fails(run: Run) -> None:
    words = "net.onnx", "batch.npy:0", "batch.npy:1", "--format", "csv"
    done = run(*words, "--fail-above", "noise-db=0")
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-1] == (
        "micam-fast: error: noise-db: no layer was measured, at most 0 is allowed"
    )


def test_layers_of_other_names_are_matched_by_structure(
    run: Run, cli_out: Path, cli_files: Path, tmp_path: Path
) -> None:
    proto = onnx.load(cli_files / "net.onnx")
    for index, node in enumerate(proto.graph.node):
        node.name = f"n{index}"
    onnx.save(proto, tmp_path / "named.onnx")
    words = "net.onnx", str(tmp_path / "named.onnx"), "one.npy", "--format", "csv"
    succeeded(run(*words, "--match", "structure"))
    rows = rows_of(cli_out)
    assert {row["relative_l2"] for row in rows.values()} == {"0.0"}
    assert [row["b_layer"] for row in rows.values()][:3] == ["x", "n0", "n1"]


def test_two_models_see_a_sample_each(run: Run, cli_out: Path, cli_files: Path, other: str) -> None:
    succeeded(run("net.onnx", other, "batch.npy:0", "batch.npy:1", "--format", "csv"))
    batch = np.load(cli_files / "batch.npy").astype(np.float64)
    expected = np.linalg.norm(batch[1] - batch[0]) / np.linalg.norm(batch[0])
    assert float(rows_of(cli_out)["x"]["relative_l2"]) == pytest.approx(expected, rel=1e-6)


def test_models_without_a_common_layer(run: Run, tmp_path: Path, cli_out: Path) -> None:
    node = models.conv_node("alone", "y", "w")
    constants = {"w": models.random_array(1, 1, 1, 1, 1)}
    proto = models.make_model([node], {"y": ["n", 1, 8, 6]}, ["alone:0"], constants)
    onnx.save(proto, tmp_path / "alone.onnx")
    done = run("net.onnx", str(tmp_path / "alone.onnx"), "one.npy")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith("micam-fast: error: no layer of net (x, conv, ")
    assert not cli_out.exists()


def test_chosen_layers_alone_are_compared(run: Run, cli_out: Path) -> None:
    succeeded(run("net.onnx", "batch.npy:0", "batch.npy:1", "--layers", "conv,*ool"))
    assert list(rows_of(cli_out)) == ["conv", "pool"]


# --- Names and orders -----------------------------------------------------------------------


def test_an_order_is_undone_before_maps_are_compared(
    run: Run, cli_out: Path, tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("\n".join(f"c{place}" for place in range(6)))
    succeeded(
        run(
            "net.onnx", "one.npy", "--permute-columns", "seed:3", "--permute-rows", "seed:4",
            "--column-names", str(tmp_path / "names.txt"), "--format", "svg,csv",
        )
    )  # fmt: skip
    rows = rows_of(cli_out)
    assert rows["x"]["relative_l2"] == "0.0"
    assert float(rows["conv"]["relative_l2"]) > 0
    assert rows["conv"]["largest_column"] in {f"c{place}" for place in range(6)}
    assert rows["pool"]["largest_column"] in {"0", "1", "2"}
    lines = svg_lines(cli_out)
    # It is said once.
    (line,) = (line for line in lines if "seed:" in line)
    assert line.startswith("order of B's input: rows by seed:4, columns by seed:3; its maps on ")
    a, b = (line[3:].split(", ")[0] for line in lines if line[:3] in ("A: ", "B: "))
    assert (a, b) == ("one.npy", "one.npy")


# --- Names of models and samples ------------------------------------------------------------


def test_files_of_the_same_name_are_told_apart_by_their_folders(
    run: Run, cli_out: Path, cli_files: Path, tmp_path: Path
) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").write_bytes((cli_files / "net.onnx").read_bytes())
        np.save(tmp_path / name / "x.npy", models.random_array(len(name), 1, 8, 6))
    words = [str(tmp_path / path) for path in (
        "before/model.onnx", "after/model.onnx", "before/x.npy", "after/x.npy",
    )]  # fmt: skip
    succeeded(run(*words, "--format", "svg"))
    stem = "diff_before_model.onnx_after_model.onnx_before_x.npy_after_x.npy"
    assert names(cli_out) == [f"{stem}.svg"]
    lines = svg_lines(cli_out)
    assert "before/model.onnx and after/model.onnx: difference B - A" in lines
    sides = [line.split(", prediction")[0] for line in lines if line[:3] in ("A: ", "B: ")]
    assert sides == [
        "A: before/x.npy, by before/model.onnx", "B: after/x.npy, by after/model.onnx",
    ]  # fmt: skip


def test_means_of_folders_of_the_same_name_are_told_apart(
    run: Run, cli_out: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "normal").mkdir(parents=True)
        for place in range(2):
            np.save(tmp_path / name / "normal" / f"{place}.npy", models.random_array(1, 1, 8, 6))
    words = [f"{tmp_path}/{name}/normal/" for name in "ab"]
    succeeded(run("net.onnx", *words, "--format", "svg"))
    assert names(cli_out) == ["diff_net_a_normal_b_normal.svg"]
    lines = svg_lines(cli_out)
    assert "A: mean of 2 samples of a/normal" in lines
    assert "B: mean of 2 samples of b/normal" in lines


def test_files_of_long_names_can_be_written(
    run: Run, cli_out: Path, cli_files: Path, tmp_path: Path
) -> None:
    words = []
    for place, name in enumerate(("net.onnx", "net.onnx", "one.npy", "one.npy")):
        words.append(str(tmp_path / f"{place}{'x' * 200}{Path(name).suffix}"))
        Path(words[-1]).write_bytes((cli_files / name).read_bytes())
    succeeded(run(*words, "--format", "csv"))
    assert len(only(cli_out, "*.csv").name) > 200


# --- Options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["one.npy", "one.npy"], "0 models and 2 samples were given; expected is MODEL A B"),
        (["net.onnx"], "1 model and 0 samples were given"),
        (["net.onnx", "a", "b", "c"], "1 model and 3 samples were given"),
        (["net.onnx", "net.onnx", "net.ONNX", "a"], "3 models and 1 sample were given"),
        (["net.onnx", "one.npy"], "one model and one sample leave nothing to compare"),
        (["net.onnx", "a", "b", "--fail-above", "snr=3"],
         "'snr=3' is no METRIC=VALUE (METRIC must be one of relative-l2, relative-error, noise-db"),
        (["net.onnx", "a", "b", "--fail-above", "noise-db"], "'' is no list of numbers"),
        (["net.onnx", "a", "b", "--format", "npz"],
         "unknown format: 'npz' (must be one or more of png, svg, pdf, html, csv)"),
    ],
)  # fmt: skip
def test_wrong_arguments(run: Run, words: list[str], said: str) -> None:
    assert said in usage_error(run(*words))


def test_a_format_that_fails_does_not_stop_the_others(run: Run, cli_out: Path) -> None:
    words = "net.onnx", "batch.npy:0", "batch.npy:1", "--engine", "./failing_engine"
    done = run(*words, "--format", "png,csv")
    assert done.exit_code == 1
    assert "failed with exit code 3: too hard" in done.stderr
    assert [Path(name).suffix for name in names(cli_out)] == [".csv"]
    failed = run(*words, "--format", "svg")
    assert failed.exit_code == 2
    assert failed.stdout == ""


def test_a_folder_that_cannot_be_written_is_told_first(run: Run) -> None:
    line = failure_line(run("no.onnx", "a", "b", "--output-dir", "one.npy/x", out=False))
    assert "cannot write to folder one.npy/x" in line


def test_formats_are_those_of_the_files() -> None:
    assert set(format_names("difference")) == set(files._WRITERS)


def test_metrics_are_those_of_the_limits() -> None:
    assert (*gates.METRICS, gates.NOT_COMPARED) == DIFFERENCE_METRICS


# --- Posters --------------------------------------------------------------------------------


def test_a_poster_is_drawn_where_it_is_asked_for(run: Run, cli_out: Path) -> None:
    given = ("--drawing", "poster", "--page", "600x500", "--scale-png", "2", "--format", "png,svg")
    succeeded(run("net.onnx", "batch.npy:0", "batch.npy:1", *given))
    with Image.open(only(cli_out, "*.png")) as picture:
        assert picture.size == (1200, 1000)
    assert "relative L2, |B - A| / |A|, of every layer, in the order of the page" in svg_lines(
        cli_out
    )


def test_a_small_network_is_a_diagram(run: Run, cli_out: Path) -> None:
    succeeded(run("net.onnx", "batch.npy:0", "batch.npy:1", "--format", "svg"))
    assert not any("in the order of the page" in line for line in svg_lines(cli_out))


@pytest.mark.parametrize("option", [("--rankdir", "LR"), ("--scale-tiles", "1")])
def test_what_belongs_to_the_diagram_is_refused_for_a_poster(
    run: Run, option: tuple[str, str]
) -> None:
    result = run("net.onnx", "batch.npy:0", "batch.npy:1", "--drawing", "poster", *option)
    assert f"{option[0]} can be given for a diagram" in usage_error(result)
