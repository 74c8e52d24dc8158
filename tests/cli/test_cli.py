"""The command line: what its options do."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import micam_fast.api.loading
from micam_fast.core.formats import FORMATS, format_names
from tests.helpers import models
from tests.helpers.commands import arrays, failure_line, names, only, succeeded, usage_error


class TestFormats:
    """What is written."""

    def test_png_is_the_default(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        succeeded(run_cli("plot", "net.onnx", "one.npy"))
        (path,) = cli_out.glob("*_sample-*")
        assert re.fullmatch(r"net_sample-0_pred-\d-[01]\.\d{4}\.png", path.name)
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) > 600

    @pytest.mark.parametrize("look", ["isometric", "flat"])
    @pytest.mark.parametrize("projection", ["published", "transposed"])
    def test_every_format_look_and_projection(
        self, run_cli: Callable[..., Result], cli_out: Path, look: str, projection: str
    ) -> None:
        formats = ",".join(format_names("diagram"))
        options = ("--format", formats, "--look", look, "--projection", projection)
        result = succeeded(run_cli("plot", "net.onnx", "one.npy", *options))
        assert "wrote 7 files" in result.stdout
        stem = only(cli_out, "*.png").stem
        ends = (*(each.ending for each in FORMATS if "diagram" in each.contents), "_dot")
        assert names(cli_out) == sorted(f"{stem}{end}" for end in ends)
        assert ET.parse(only(cli_out, "*.svg")).getroot().tag.endswith("svg")
        assert only(cli_out, "*.pdf").read_bytes().startswith(b"%PDF-")
        assert "Bokeh" in only(cli_out, "*.html").read_text()
        assert only(cli_out, "*.dot").read_text().startswith("digraph")
        layers = ("x", "conv", "relu", "pool", "flatten", "dense", "softmax")
        tiles = [f"{index:03d}_{name}.png" for index, name in enumerate(layers)]
        assert names(cli_out / f"{stem}_dot") == tiles
        assert names(cli_out / f"{stem}_tiles") == [*tiles, "strip.png"]
        found = arrays(only(cli_out, "*.npz"))
        about = {"schema", "layers", "onnx_names", "global_range", "prediction"}
        assert set(found) == about | {
            f"{kind}/{name}" for kind in ("cam", "rgba", "range", "min_max") for name in layers
        }
        assert found["cam/conv"].dtype == np.float32
        assert found["rgba/conv"].dtype == np.uint8
        assert found["rgba/conv"].shape == (8, 6, 4)
        assert found["prediction"].shape == (5,)

    def test_looks_differ(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        pictures = []
        for look in ("isometric", "flat"):
            succeeded(run_cli("plot", "net.onnx", "one.npy", "--look", look))
            pictures.append(only(cli_out, "*.png").read_bytes())
        assert pictures[0] != pictures[1]

    def test_projections_differ(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        maps = []
        for projection in ("published", "transposed"):
            words = ("plot", "net.onnx", "one.npy", "--format", "npz", "--projection", projection)
            succeeded(run_cli(*words))
            maps.append(arrays(only(cli_out, "*.npz"))["cam/conv"])
        assert not np.allclose(maps[0], maps[1])

    def test_formats_may_repeat_and_be_upper_case(
        self, run_cli: Callable[..., Result], cli_out: Path
    ) -> None:
        result = succeeded(run_cli("plot", "net.onnx", "one.npy", "--format", "NPZ, npz,svg"))
        assert "wrote 2 files (npz, svg)" in result.stdout
        assert {Path(name).suffix for name in names(cli_out)} == {".npz", ".svg"}

    @pytest.mark.parametrize("given", ["gif", "png,", "", "png;svg"])
    def test_unknown_formats(
        self, run_cli: Callable[..., Result], cli_out: Path, given: str
    ) -> None:
        said = usage_error(run_cli("plot", "net.onnx", "one.npy", "--format", given))
        assert "must be one or more of png, svg, npz, pdf, dot, html, tiles" in said
        assert not cli_out.exists()

    def test_rankdir(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        shapes = {}
        for rankdir in ("TB", "LR"):
            succeeded(run_cli("plot", "net.onnx", "one.npy", "--rankdir", rankdir))
            with Image.open(only(cli_out, "*.png")) as picture:
                shapes[rankdir] = picture.size
        assert shapes["TB"][1] > 2 * shapes["TB"][0]
        assert shapes["LR"][0] > 2 * shapes["LR"][1]

    def test_scale_tiles(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        widths = []
        for scale in ("1", "0.5"):
            succeeded(run_cli("plot", "net.onnx", "one.npy", "--scale-tiles", scale))
            with Image.open(only(cli_out, "*.png")) as picture:
                widths.append(picture.width)
        assert widths[1] == pytest.approx(widths[0] / 2, rel=0.05)

    @pytest.mark.parametrize("look", ["isometric", "flat"])
    def test_compress_level(self, run_cli: Callable[..., Result], cli_out: Path, look: str) -> None:
        """Level 0 is not compressed, 1 the default, 9 the smallest; the pixels are the same."""
        sizes, pixels = {}, {}
        for level in ("", *"0123456789"):
            option = ("--compress-level", level) if level else ()
            succeeded(run_cli("plot", "net.onnx", "one.npy", "--look", look, *option))
            sizes[level] = only(cli_out, "*.png").stat().st_size
            with Image.open(only(cli_out, "*.png")) as picture:
                pixels[level] = np.asarray(picture)
            np.testing.assert_array_equal(pixels[level], pixels[""])
        assert sizes[""] == sizes["1"]
        assert sizes["0"] >= pixels["0"].size > 10 * sizes["1"]
        assert min(sizes.values()) == sizes["9"] < sizes["1"]

    def test_tiles_are_compressed_too(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        sizes = []
        for level in ("0", "9"):
            words = ("--format", "tiles", "--compress-level", level)
            succeeded(run_cli("plot", "net.onnx", "one.npy", *words))
            sizes.append(only(cli_out, "*_tiles/strip.png").stat().st_size)
        assert sizes[0] > 10 * sizes[1]

    @pytest.mark.parametrize("level", ["-1", "10", "1.5", "fast", ""])
    def test_no_compress_level(
        self, run_cli: Callable[..., Result], cli_out: Path, level: str
    ) -> None:
        said = usage_error(run_cli("plot", "net.onnx", "one.npy", "--compress-level", level))
        assert "--compress-level" in said
        assert not cli_out.exists()

    def test_a_png_that_is_too_large(
        self, run_cli: Callable[..., Result], cli_out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("micam_fast.diagrams.png_limit.LARGEST_PNG", 1e5)
        words = ("plot", "net.onnx", "one.npy", "--layout", "nchw")
        said = failure_line(run_cli(*words))
        assert "write SVG instead, or smaller tiles with --scale-tiles 0." in said
        assert not cli_out.exists()
        some = run_cli(*words, "--format", "png,npz")
        assert some.exit_code == 1
        assert "its png was not written: the PNG would have" in some.stderr
        assert some.stdout.rstrip().endswith("; 1 sample lacks a format")
        assert [path.suffix for path in cli_out.iterdir()].count(".npz") == 1


class TestLayers:
    """The three ways to choose layers, and the table."""

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["--layers", "conv"], {"conv"}),
            (["--layers", "conv,p*"], {"conv", "pool"}),
            (["--exclude-layers", "x,conv,s*"], {"relu", "pool", "flatten", "dense"}),
            (["--from", "flatten"], {"flatten", "dense", "softmax"}),
            (["--to", "conv"], {"x", "conv"}),
            (["--from", "relu", "--to", "flatten"], {"relu", "pool", "flatten"}),
        ],
    )
    def test_choose(
        self, run_cli: Callable[..., Result], cli_out: Path, words: list[str], expected: set[str]
    ) -> None:
        succeeded(run_cli("plot", "net.onnx", "one.npy", "--format", "npz,svg", *words))
        found = arrays(only(cli_out, "*.npz"))
        assert {name.removeprefix("cam/") for name in found if name.startswith("cam/")} == expected
        # Those left out stay in the diagram as labels.
        drawing = only(cli_out, "*.svg").read_text()
        for name in ("conv", "relu", "pool", "flatten", "dense", "softmax"):
            assert f">{name}<" in drawing

    @pytest.mark.parametrize(
        "words",
        [
            ["--layers", "conv", "--exclude-layers", "pool"],
            ["--layers", "conv", "--from", "conv"],
            ["--layers", "conv", "--to", "conv"],
            ["--exclude-layers", "conv", "--from", "conv", "--to", "pool"],
        ],
    )
    def test_conflicts(
        self, run_cli: Callable[..., Result], cli_out: Path, words: list[str]
    ) -> None:
        said = usage_error(run_cli("plot", "net.onnx", "one.npy", *words))
        assert "choose one of --layers, --exclude-layers and --from/--to" in said
        assert not cli_out.exists()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--layers", "konv"], "no layer matches 'konv' (near names: conv"),
            (["--layers", "conv,den"], "no layer matches 'den' (near names: dense"),
            (["--exclude-layers", "rel"], "no layer matches 'rel' (near names: relu"),
            (["--from", "pol"], "no layer matches 'pol' (near names: pool"),
            (["--to", "zzzz"], "no layer matches 'zzzz' (the first layers: x, conv, relu"),
            (["--from", "pool", "--to", "conv"], "no way leads from layer 'pool' to layer 'conv'"),
        ],
    )
    def test_no_such_layer(
        self, run_cli: Callable[..., Result], cli_out: Path, words: list[str], said: str
    ) -> None:
        assert said in failure_line(run_cli("plot", "net.onnx", "one.npy", *words))
        assert not cli_out.exists()

    @pytest.mark.parametrize("option", ["--layers", "--exclude-layers", "--from", "--to"])
    def test_an_empty_choice_is_not_taken_for_all(
        self, run_cli: Callable[..., Result], cli_out: Path, option: str
    ) -> None:
        """As it comes from a shell variable that is not set."""
        result = run_cli("plot", "net.onnx", "one.npy", "--format", "npz", option, "")
        assert result.exit_code == 2
        assert not cli_out.exists()

    def test_table(self, run_cli: Callable[..., Result]) -> None:
        result = succeeded(run_cli("layers", "net.onnx", out=False))
        assert result.stderr == ""
        rows = [re.split(r"\s{2,}", line) for line in result.stdout.splitlines()]
        assert rows == [
            ["layer", "class", "inputs", "output", "kernel", "bias"],
            ["x", "Input", "-", "(None, 1, 8, 6)", "-", "-"],
            ["conv", "Conv", "x", "(None, 4, 8, 6)", "(4, 1, 3, 3)", "(4,)"],
            ["relu", "Relu", "conv", "(None, 4, 8, 6)", "-", "-"],
            ["pool", "MaxPool", "relu", "(None, 4, 4, 3)", "-", "-"],
            ["flatten", "Flatten", "pool", "(None, 48)", "-", "-"],
            ["dense", "Gemm", "flatten", "(None, 5)", "(48, 5)", "(5,)"],
            ["softmax", "Softmax", "dense", "(None, 5)", "-", "-"],
        ]

    def test_table_of_several_inputs(self, run_cli: Callable[..., Result]) -> None:
        lines = succeeded(run_cli("layers", "two.onnx", out=False)).stdout.splitlines()
        assert lines[1].startswith("image ")
        assert lines[2].startswith("depth ")
        (add,) = [line for line in lines if line.startswith("add ")]
        assert "conv_image, conv_depth" in add

    @pytest.mark.parametrize("name", ["text.onnx", "empty.onnx", "missing.onnx", "strange.onnx"])
    def test_table_of_what_is_no_model(self, run_cli: Callable[..., Result], name: str) -> None:
        assert Path(name).stem in failure_line(run_cli("layers", name, out=False))


class TestSamples:
    """Where samples come from."""

    def test_a_batch_a_file_a_folder(
        self, run_cli: Callable[..., Result], tmp_path: Path, cli_out: Path
    ) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        Image.new("L", (6, 8)).save(folder / "b.png")
        np.save(folder / "a.npy", models.random_array(9, 1, 8, 6))
        words = ("plot", "net.onnx", "batch.npy", "one.npy", str(folder), "--format", "npz")
        result = succeeded(run_cli(*words))
        told = re.findall(r"^sample (\d) \((.*?)\): net_sample-\1_", result.stdout, re.MULTILINE)
        assert told == [
            ("0", "batch.npy[0]"),
            ("1", "batch.npy[1]"),
            ("2", "batch.npy[2]"),
            ("3", "one.npy"),
            ("4", "a.npy"),
            ("5", "b.png"),
        ]
        assert "wrote 6 files (npz) for 6 samples to " in result.stdout
        assert len(names(cli_out)) == 6

    def test_a_list_on_standard_input(
        self, run_cli: Callable[..., Result], cli_out: Path, cli_files: Path
    ) -> None:
        stdin = f"one.npy\n\n  {cli_files / 'batch.npy'}  \r\n"
        result = succeeded(run_cli("plot", "net.onnx", "-", "--format", "npz", stdin=stdin))
        assert re.findall(r"^sample \d \((.*?)\)", result.stdout, re.MULTILINE) == [
            "one.npy",
            "batch.npy[0]",
            "batch.npy[1]",
            "batch.npy[2]",
        ]
        assert len(names(cli_out)) == 4

    @pytest.mark.parametrize(("given", "stdin"), [("-", ""), ("-", "\n\n"), ("empty", None)])
    def test_no_sample_at_all(
        self, run_cli: Callable[..., Result], cli_out: Path, given: str, stdin: str | None
    ) -> None:
        assert "no sample in " in failure_line(run_cli("plot", "net.onnx", given, stdin=stdin))
        assert not cli_out.exists()

    def test_samples_must_be_given(self, run_cli: Callable[..., Result]) -> None:
        said = usage_error(run_cli("plot", "net.onnx"))
        assert "give at least one sample, or '-' for a list on standard input" in said

    @pytest.mark.parametrize(
        ("words", "note"),
        [
            (["one.npy"], "input 'x': taken as nchw"),
            (["last.npy"], "input 'x': taken as nhwc, moved to the model's nchw"),
        ],
    )
    def test_auto_layout_says_what_it_decided(
        self, run_cli: Callable[..., Result], words: list[str], note: str
    ) -> None:
        assert note in succeeded(run_cli("plot", "net.onnx", *words, "--format", "npz")).output

    def test_a_given_layout(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        result = succeeded(
            run_cli("plot", "net.onnx", "last.npy", "--format", "npz", "--layout", "nhwc")
        )
        assert result.stderr == ""
        result = run_cli("plot", "net.onnx", "last.npy", "--format", "npz", "--layout", "nchw")
        assert result.exit_code == 2
        assert "shape (8, 6, 1) does not fit input 'x' of shape (1, 8, 6)" in result.stderr
        assert "layout assumed: nchw" in result.stderr

    def test_pixel_rules(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        words = ("--scale", "0.5", "--mean", "10,20,30", "--std", "2,4,8", "--channel-order", "bgr")
        result = succeeded(run_cli("plot", "rgb.onnx", "colour.png", "--format", "npz", *words))
        assert result.stderr == ""
        # (25 - 10) / 2, (50 - 20) / 4, (100 - 30) / 8; the map of an input is its channels' mean.
        expected = (7.5 + 7.5 + 8.75) / 3
        np.testing.assert_allclose(arrays(only(cli_out, "*.npz"))["cam/x"], expected, rtol=1e-6)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--mean", "1,x"], "'1,x' is no list of numbers like"),
            (["--std", ""], "'' is no list of numbers like"),
            (["--std", "1,0,1"], "--std must not be 0"),
            (["--scale", "big"], "'big' is no list of numbers"),
            (["--channel-order", "grb"], "'grb' is not one of 'rgb', 'bgr'"),
            (["--layout", "hwc"], "'hwc' is not one of 'auto', 'nchw', 'nhwc'"),
        ],
    )
    def test_bad_rules(
        self, run_cli: Callable[..., Result], cli_out: Path, words: list[str], said: str
    ) -> None:
        assert said in usage_error(run_cli("plot", "rgb.onnx", "colour.png", *words))
        assert not cli_out.exists()

    @pytest.mark.parametrize("option", ["--scale", "--mean", "--std"])
    @pytest.mark.parametrize("value", ["nan", "inf"])
    def test_pixel_rules_are_finite(
        self, run_cli: Callable[..., Result], cli_out: Path, option: str, value: str
    ) -> None:
        result = run_cli("plot", "rgb.onnx", "colour.png", "--format", "npz", option, value)
        assert result.exit_code == 2
        assert not cli_out.exists()

    def test_a_wrong_number_of_means_is_told_once(
        self, run_cli: Callable[..., Result], cli_out: Path
    ) -> None:
        words = ("plot", "rgb.onnx", "colour.png", "colour.png", "--mean", "1,2")
        result = run_cli(*words)
        assert result.exit_code == 2
        assert result.stderr.count("--mean has 2 values for 3 channels") == 1
        assert not cli_out.exists()

    def test_labels(self, run_cli: Callable[..., Result], cli_out: Path, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("cat\r\nsea lion\n", encoding="utf-8")
        options = ("--format", "npz,svg", "--labels", str(tmp_path / "labels.txt"))
        succeeded(run_cli("plot", "net.onnx", "batch.npy", *options))
        assert [re.sub(r"_pred.*", "", path.stem) for path in sorted(cli_out.glob("*.npz"))] == [
            "net_sample-0_label-cat",
            "net_sample-1_label-sea_lion",
            "net_sample-2",
        ]
        assert "label: sea lion" in only(cli_out, "*sample-1*.svg").read_text()

    def test_labels_with_a_byte_order_mark(
        self, run_cli: Callable[..., Result], cli_out: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "labels.txt").write_text("cat\n", encoding="utf-8-sig")
        options = ("--format", "svg", "--labels", str(tmp_path / "labels.txt"))
        succeeded(run_cli("plot", "net.onnx", "one.npy", *options))
        assert "label: cat" in only(cli_out, "*.svg").read_text(encoding="utf-8")

    def test_an_empty_line_is_no_label(
        self, run_cli: Callable[..., Result], cli_out: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "labels.txt").write_text("\ncat\n", encoding="utf-8")
        options = ("--format", "npz", "--labels", str(tmp_path / "labels.txt"))
        succeeded(run_cli("plot", "net.onnx", "batch.npy", *options))
        assert names(cli_out)[0].startswith("net_sample-0_pred-")
        assert names(cli_out)[1].startswith("net_sample-1_label-cat_")

    @pytest.mark.parametrize("content", [None, b"\xff\xfe\x00broken"])
    def test_unreadable_labels(
        self, run_cli: Callable[..., Result], cli_out: Path, tmp_path: Path, content: bytes | None
    ) -> None:
        path = tmp_path / "labels.txt"
        if content is not None:
            path.write_bytes(content)
        said = failure_line(run_cli("plot", "net.onnx", "one.npy", "--labels", str(path)))
        assert f"cannot read labels {path}: " in said
        assert "[Errno" not in said
        assert not cli_out.exists()


class TestFurtherInputs:
    """``--input NAME=FILE``."""

    def test_one_array_for_all(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        words = ("plot", "two.onnx", "batch.npy", "--input", "depth=depth.npy", "--format", "npz")
        succeeded(run_cli(*words))
        depth = np.load("depth.npy").mean(axis=0)
        assert len(names(cli_out)) == 3
        for path in cli_out.glob("*_sample-*"):
            np.testing.assert_allclose(arrays(path)["cam/depth"], depth, rtol=1e-5, atol=1e-6)

    def test_all_inputs_by_name(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        words = ("--input", "depth=depth.npy", "--input", "image=batch.npy", "--format", "npz")
        succeeded(run_cli("plot", "two.onnx", *words))
        assert len(names(cli_out)) == 3

    def test_samples_that_nothing_reads_are_refused(
        self, run_cli: Callable[..., Result], cli_out: Path
    ) -> None:
        """They would be left out without a word."""
        words = ("--input", "depth=depth.npy", "--input", "image=batch.npy", "--format", "npz")
        result = run_cli("plot", "two.onnx", "one.npy", *words)
        assert result.exit_code == 2
        assert not cli_out.exists()

    def test_an_input_without_an_array(self, run_cli: Callable[..., Result], cli_out: Path) -> None:
        said = failure_line(run_cli("plot", "two.onnx", "one.npy", "--layout", "nchw"))
        assert "input 'depth' has no array (give --input depth=FILE" in said
        assert not cli_out.exists()

    @pytest.mark.parametrize("given", ["depth", "nope=depth.npy", "=depth.npy"])
    def test_wrong_words(self, run_cli: Callable[..., Result], cli_out: Path, given: str) -> None:
        said = usage_error(run_cli("plot", "two.onnx", "one.npy", "--input", given))
        assert "NAME=FILE is expected, NAME one of image, depth" in said
        assert not cli_out.exists()

    @pytest.mark.parametrize(
        ("file", "said"),
        [
            ("missing.npy", "cannot read missing.npy: No such file or directory"),
            ("wrong.npy", "shape (5, 7) does not fit input 'depth' of shape (2, 8, 6)"),
            ("text.onnx", "text.onnx is no readable array file"),
        ],
    )
    def test_bad_files(
        self, run_cli: Callable[..., Result], cli_out: Path, file: str, said: str
    ) -> None:
        words = ("plot", "two.onnx", "one.npy", "--input", f"depth={file}")
        assert said in failure_line(run_cli(*words))
        assert not cli_out.exists()

    def test_npz_is_refused(self, run_cli: Callable[..., Result]) -> None:
        words = ("plot", "two.onnx", "one.npy", "--input", "depth=depth.npz")
        assert "an .npy file is expected" in usage_error(run_cli(*words))


class TestResources:
    """Threads, memory, batches: the same cli_files, whatever they are."""

    @pytest.mark.parametrize(
        "words",
        [
            ["--threads", "2"],
            ["--batch-size", "1"],
            ["--batch-size", "2", "--threads", "2"],
            ["--memory", "1K"],
            ["--memory", "1B"],
        ],
    )
    def test_same_bytes(
        self, run_cli: Callable[..., Result], tmp_path: Path, words: list[str]
    ) -> None:
        common = ("plot", "net.onnx", "batch.npy", "--format", "png,svg")
        succeeded(
            run_cli(*common, "--threads", "1", "--output-dir", str(tmp_path / "a"), out=False)
        )
        succeeded(run_cli(*common, *words, "--output-dir", str(tmp_path / "b"), out=False))
        assert names(tmp_path / "a") == names(tmp_path / "b")
        for path in (tmp_path / "a").glob("*_sample-*"):
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("1000", 1000),
            ("2K", 2 * 2**10),
            ("500M", 500 * 2**20),
            ("500MB", 500 * 2**20),
            ("4G", 4 * 2**30),
            ("4 GiB", 4 * 2**30),
            ("1.5g", 3 * 2**29),
            ("1T", 2**40),
        ],
    )
    def test_memory(
        self,
        run_cli: Callable[..., Result],
        monkeypatch: pytest.MonkeyPatch,
        given: str,
        expected: int,
    ) -> None:
        asked: list[Any] = []
        real = micam_fast.api.loading.load_model

        def spy(*words: Any, **options: Any) -> Any:
            asked.append(options["memory"])
            return real(*words, **options)

        monkeypatch.setattr(micam_fast.api.loading, "load_model", spy)
        succeeded(run_cli("plot", "net.onnx", "one.npy", "--format", "npz", "--memory", given))
        assert asked == [expected]

    @pytest.mark.parametrize("given", ["", "much", "-1", "0", "0.0G", "4P", "4 4", "1e9", "0.5"])
    def test_no_amount_of_memory(
        self, run_cli: Callable[..., Result], cli_out: Path, given: str
    ) -> None:
        said = usage_error(run_cli("plot", "net.onnx", "one.npy", "--memory", given))
        assert f"{given!r} is no amount of memory like 500M or 4G" in said
        assert not cli_out.exists()

    @pytest.mark.parametrize("option", ["--threads", "--batch-size"])
    @pytest.mark.parametrize("given", ["0", "-1", "two"])
    def test_no_count(
        self, run_cli: Callable[..., Result], cli_out: Path, option: str, given: str
    ) -> None:
        said = usage_error(run_cli("plot", "net.onnx", "one.npy", option, given))
        assert f"Invalid value for '{option}'" in said
        assert not cli_out.exists()
