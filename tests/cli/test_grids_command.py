"""``micam-fast grids``: files of many layers and samples, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from micam_fast import Model, load_model
from micam_fast.analyses.grids.files import _WRITERS, GridFiles, channel_maps, save_grids
from micam_fast.analyses.grids.picture import draw_grid
from micam_fast.cli.commands.grids import grids
from micam_fast.core.choices import ChannelKind
from micam_fast.core.errors import LayerSelectionError, OutputError, SampleError
from micam_fast.core.formats import format_names
from micam_fast.demo import DIGITS, MODEL
from micam_fast.samples import Sample
from tests.helpers import models
from tests.helpers.activations import copies
from tests.helpers.commands import names, succeeded, usage_error
from tests.helpers.drawings import pixels_of

RunGrids = Callable[..., Result]
SPATIAL = ["000_image", "001_conv_1", "002_relu_1", "003_pool_1", "004_conv_2", "005_relu_2",
           "006_pool_2"]  # fmt: skip


@pytest.fixture
def run_grids(cli_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunGrids:
    """Run the command in the folder of `cli_files`, writing to `cli_out`."""
    monkeypatch.chdir(cli_files)

    def run_it(*words: str) -> Result:
        given = [*words, "--output-dir", str(tmp_path / "out")]
        return CliRunner().invoke(grids, given, prog_name="micam-fast grids")

    return run_it


def digits(count: int = 1) -> list[Sample]:
    return [Sample(f"digit {n}", {"image": np.load(DIGITS)[n]}) for n in range(count)]


@pytest.mark.parametrize("of", ["activations", "contributions"])
def test_a_picture_for_each_layer_with_feature_maps(
    run_grids: RunGrids, cli_out: Path, of: str
) -> None:
    result = succeeded(run_grids(str(MODEL), str(DIGITS), "--of", of, "--format", "png,svg"))
    found = names(cli_out)
    assert found == [
        f"lenet_mnist_sample-{n}_{layer}_{of}.{name}"
        for n in range(10)
        for layer in SPATIAL
        for name in ("png", "svg")
    ]
    assert result.stdout.splitlines()[0] == "sample 0 (digits.npy[0]): 14 files"
    assert f"wrote 140 files (png, svg) for 10 samples to {cli_out} in " in result.stdout
    assert "note: a picture for each of up to 12 layers; --layers chooses some" in result.stderr
    assert (
        "note: no feature maps, as their activation is a list of values: flatten, dense_1, relu_3, "
        "dense_2, softmax\n"
    ) in result.stderr


def test_pictures_show_what_the_model_gives(demo_model: Model, tmp_path: Path) -> None:
    """The same pixels as drawn by hand from the layers' arrays."""
    ((name, found),) = save_grids(demo_model, digits(), tmp_path / "new", formats=("png", "svg"))
    assert name == "digit 0"
    assert isinstance(found, GridFiles)
    assert names(tmp_path / "new") == sorted(path.name for path in found.paths)
    (arrays,) = demo_model.activations([digits()[0].arrays], copies)
    assert not isinstance(arrays, SampleError)
    layer = demo_model.layers[4]
    drawing = draw_grid(
        layer, arrays["conv_2"], of="activations", header=["lenet_mnist, sample: digit 0"]
    )
    path = tmp_path / "new" / "lenet_mnist_sample-0_004_conv_2_activations.png"
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), pixels_of(drawing))


def test_the_projection_says_to_which_map(run_grids: RunGrids, cli_out: Path) -> None:
    for projection in ("published", "transposed"):
        succeeded(
            run_grids(
                "net.onnx", "one.npy", "--layers", "conv", "--of", "contributions",
                "--projection", projection, "--format", "svg",
            )
        )  # fmt: skip
        text = (cli_out / "net_sample-0_001_conv_contributions.svg").read_text(encoding="utf-8")
        assert f">projection: {projection}<" in text
        assert ">what each of 4 channels adds to the layer's map of 8 x 6, the largest " in text


def test_chosen_layers_make_no_note_of_their_number(run_grids: RunGrids, cli_out: Path) -> None:
    result = succeeded(run_grids("net.onnx", "one.npy", "--layers", "conv,pool"))
    assert "up to" not in result.stderr
    assert names(cli_out) == [
        "net_sample-0_001_conv_activations.png", "net_sample-0_003_pool_activations.png",
    ]  # fmt: skip
    assert "sample 0 (one.npy): net_sample-0_001_conv_activations.png, net_" in result.stdout


def test_layers_without_feature_maps_alone(run_grids: RunGrids, cli_out: Path) -> None:
    result = run_grids("net.onnx", "one.npy", "--layers", "dense,softmax")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "micam-fast: error: none of the chosen layers has feature maps: dense, softmax"
    )
    assert not cli_out.exists()


def test_samples_that_fail_are_named_and_the_others_written(
    run_grids: RunGrids, cli_out: Path
) -> None:
    result = run_grids("net.onnx", "wrong.npy", "one.npy", "none.npy", "--layers", "conv")
    assert result.exit_code == 1
    assert names(cli_out) == ["net_sample-1_001_conv_activations.png"]
    assert "error: sample 0 (wrong.npy) skipped: " in result.stderr
    assert "error: sample 2 (none.npy) skipped: " in result.stderr
    assert "for 1 sample to" in result.stdout
    assert "; 2 samples failed" in result.stdout


def test_no_sample_at_all(run_grids: RunGrids) -> None:
    assert "give at least one sample" in usage_error(run_grids("net.onnx"))
    result = run_grids("net.onnx", "empty")
    assert result.exit_code == 2
    assert "micam-fast: error: no sample in empty\n" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "pdf"], "unknown format: 'pdf' (must be one or more of png, svg)"),
        (["--of", "all"], "'all' is not one of 'activations', 'contributions'"),
    ],
)
def test_wrong_options(run_grids: RunGrids, words: list[str], message: str) -> None:
    assert message in usage_error(run_grids("net.onnx", "one.npy", *words))


def test_channels_that_are_not_finite_are_named(tmp_path: Path, run_grids: RunGrids) -> None:
    node = onnx.helper.make_node("Log", ["x"], ["y"], name="log")
    proto = models.make_model([node], {"x": ["n", 2, 3, 4]}, ["y"], name="logs")
    onnx.save(proto, tmp_path / "logs.onnx")
    sample = np.ones((2, 3, 4), np.float32)
    sample[1, 0, 0] = 0
    np.save(tmp_path / "s.npy", sample)
    result = succeeded(run_grids(str(tmp_path / "logs.onnx"), str(tmp_path / "s.npy")))
    assert (
        "note: sample 0 (s.npy): channels that are not finite, drawn hatched, in log\n"
    ) in result.stderr


def test_formats_are_in_step() -> None:
    assert format_names("grid") == tuple(_WRITERS)


def test_wrong_arguments(demo_model: Model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown kind: 'all'"):
        list(save_grids(demo_model, digits(), tmp_path, of="all"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown format: 'pdf'"):
        list(save_grids(demo_model, digits(), tmp_path, formats=("pdf",)))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is a file"):
        list(save_grids(demo_model, digits(), tmp_path / "file"))
    flat = load_model(MODEL, layers="softmax")
    with pytest.raises(LayerSelectionError, match="has feature maps: softmax"):
        list(save_grids(flat, digits(), tmp_path))


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_writes_the_same(threads: int, tmp_path: Path) -> None:
    model = load_model(MODEL, threads=threads, layers="*_1")
    found = list(save_grids(model, digits(5), tmp_path))
    assert [name for name, _ in found] == [f"digit {n}" for n in range(5)]
    for _, each in found:
        assert isinstance(each, GridFiles)
        assert [path.name.split("_", 3)[3] for path in each.paths] == [
            f"{layer}_activations.png" for layer in SPATIAL[1:4]
        ]
        assert each.flat == ("dense_1",)
    first = load_model(MODEL, threads=2, layers="*_1")
    ((_, other),) = save_grids(first, digits(1), tmp_path / "other")
    assert isinstance(other, GridFiles)
    for path in other.paths:
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


@pytest.mark.parametrize("of", ["activations", "contributions"])
def test_how_many_are_folded_is_in_the_header(of: ChannelKind, tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Reshape", ["x", "to"], ["fold"], name="fold"),
        models.conv_node("conv", "fold", "k"),
    ]
    held = {"to": np.array([-1, 3, 8, 6]), "k": models.random_array(1, 4, 3, 3, 3)}
    model = load_model(models.make_model(nodes, {"x": ["N", 5, 3, 8, 6]}, ["conv:0"], held))
    sample = Sample("clip", {"x": models.random_array(2, 5, 3, 8, 6)})
    ((_, found),) = save_grids(model, [sample], tmp_path, of=of, formats=("svg",))
    assert isinstance(found, GridFiles)
    told = ["mean of 5 in the batch axis" in path.read_text() for path in found.paths]
    assert told == [False, True, True]


@pytest.mark.parametrize("of", ["activations", "contributions"])
def test_the_header_has_the_sizes_of_the_run(of: ChannelKind, tmp_path: Path) -> None:
    shape = ["N", 1, "height", "width"]
    nodes, kernel = [models.conv_node("conv", "x", "k")], models.random_array(1, 4, 1, 3, 3)
    model = load_model(models.make_model(nodes, {"x": shape}, ["conv:0"], {"k": kernel}))
    sample = Sample("sample", {"x": models.random_array(2, 1, 8, 6)})
    ((_, found),) = save_grids(model, [sample], tmp_path, of=of, formats=("svg",))
    assert isinstance(found, GridFiles)
    assert "I: (None, 1, 8, 6) · O: (None, 4, 6, 4)" in found.paths[1].read_text()


def test_maps_of_channels() -> None:
    line, volume = models.random_array(1, 3, 7), models.random_array(2, 3, 4, 5, 6)
    np.testing.assert_array_equal(channel_maps(line), line[:, np.newaxis])
    expected = volume.astype(np.float64).mean(axis=1)
    np.testing.assert_allclose(channel_maps(volume), expected, rtol=1e-6)
    plane = models.random_array(3, 3, 4, 5)
    assert not np.shares_memory(channel_maps(plane), plane)
    np.testing.assert_array_equal(channel_maps(plane), plane)
