"""Explanations to files, one for each format."""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pypdf
import pytest
from PIL import Image

import micam_fast
from micam_fast import Explanation
from micam_fast.api.formats.tiles import write as save_tiles
from micam_fast.core.choices import LOOKS, Look
from micam_fast.core.errors import LayoutEngineError, OutputError
from micam_fast.core.formats import suffixes
from micam_fast.diagrams.diagram_template import diagram_size
from micam_fast.diagrams.filling import header_lines
from micam_fast.diagrams.layout import find_engine
from micam_fast.diagrams.marks import Drawing
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.diagrams.numbers import show_range
from micam_fast.diagrams.png_limit import LARGEST_PNG
from micam_fast.diagrams.style import Style
from micam_fast.diagrams.tile_rooms import tile_room
from tests.helpers.models import random_array, single_conv

SVG = "{http://www.w3.org/2000/svg}"
NAMES = [
    *("image", "conv_1", "relu_1", "pool_1", "conv_2", "relu_2", "pool_2"),
    *("flatten", "dense_1", "relu_3", "dense_2", "softmax"),
]
SUFFIXES = [suffix[1:] for suffix in suffixes("diagram")]


def vivid(path: Path) -> int:
    """How many pixels of a picture are neither white nor grey."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return int((np.ptp(pixels, axis=2) > 60).sum())


# --- Each format ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_suffix_names_the_format(
    suffix: str, demo_explanation: Explanation, tmp_path: Path
) -> None:
    starts = {
        "png": b"\x89PNG",
        "svg": b"<?xml",
        "pdf": b"%PDF",
        "npz": b"PK",
        "dot": b"digraph",
        "html": b"<!DOCTYPE html>",
    }
    for name in (f"x.{suffix}", f"y.{suffix.upper()}"):
        path = tmp_path / name
        assert demo_explanation.save(path) == path
        assert path.read_bytes().startswith(starts[suffix])
    assert demo_explanation.save(str(tmp_path / f"z.{suffix}")) == tmp_path / f"z.{suffix}"
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("look", LOOKS)
def test_png(look: Look, demo_explanation: Explanation, tmp_path: Path) -> None:
    path = demo_explanation.save(tmp_path / "x.png", look)
    size = tile_room(look, demo_explanation.input_size).size
    layout = demo_explanation.scene.layout(frozenset(NAMES), "TB", size)
    with Image.open(path) as image:
        assert image.size == diagram_size(layout, header_lines(demo_explanation), 1.0)
        assert image.height > 12 * 205
    assert vivid(path) > 100_000


def test_png_of_other_scale_and_direction(demo_explanation: Explanation, tmp_path: Path) -> None:
    path = demo_explanation.save(tmp_path / "x.png", rankdir="LR", scale_tiles=0.5)
    with Image.open(path) as image:
        # Four rows of three nodes, each of 635 x 205 pixels at scale 1.
        assert 3 * 317 < image.width < 4 * 317
        assert 4 * 102 < image.height < 8 * 102
    assert vivid(path) > 20_000


@pytest.mark.parametrize("look", LOOKS)
def test_svg(look: Look, demo_explanation: Explanation, tmp_path: Path) -> None:
    root = ET.parse(demo_explanation.save(tmp_path / "x.svg", look)).getroot()
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert [line for line in said if line in NAMES] == NAMES
    shown = [image.findtext(f"{SVG}title") for image in root.iter(f"{SVG}image")]
    assert [title for title in shown if title] == NAMES
    assert {"lenet_mnist", "sample: digit_3.png", "label: 3"} <= set(said)


def test_an_isometric_svg_has_a_parallelogram_for_each_map(
    demo_explanation: Explanation, tmp_path: Path
) -> None:
    """Painted squares took 553 kB."""
    path = demo_explanation.save(tmp_path / "x.svg", "isometric")
    images = [each for each in ET.parse(path).getroot().iter(f"{SVG}image") if each[:]]
    assert len(images) == len(NAMES)
    assert all(each.attrib["transform"].startswith("matrix(301 40.5 -80 150.5") for each in images)
    flat = demo_explanation.save(tmp_path / "flat.svg", "flat")
    assert path.stat().st_size < 1.3 * flat.stat().st_size
    assert "area of the square" not in path.read_text()


def test_pdf(demo_explanation: Explanation, tmp_path: Path) -> None:
    pages = pypdf.PdfReader(demo_explanation.save(tmp_path / "x.pdf", "flat")).pages
    assert len(pages) == 1
    size = tile_room("flat", demo_explanation.input_size).size
    layout = demo_explanation.scene.layout(frozenset(NAMES), "TB", size)
    width, height = diagram_size(layout, header_lines(demo_explanation), 1.0)
    box = pages[0].mediabox
    assert (float(box.width), float(box.height)) == pytest.approx((width * 0.48, height * 0.48))
    said = pages[0].extract_text()
    assert all(name in said for name in NAMES)
    assert "prediction: class 3" in said


def test_npz(demo_explanation: Explanation, tmp_path: Path) -> None:
    with np.load(demo_explanation.save(tmp_path / "x.npz")) as data:
        found = dict(data)
    kinds = [f"{kind}/{name}" for kind in ("cam", "rgba", "range", "min_max") for name in NAMES]
    others = {"schema", "layers", "onnx_names", "global_range", "prediction"}
    assert set(found) == {*kinds, *others}
    assert found["schema"] == 2
    assert found["layers"].tolist() == list(NAMES)
    assert found["onnx_names"].tolist() == ["", *list(NAMES)[1:]]
    for name in NAMES:
        np.testing.assert_array_equal(found[f"cam/{name}"], demo_explanation.cams[name])
        np.testing.assert_array_equal(found[f"rgba/{name}"], demo_explanation.rgba[name])
        assert tuple(found[f"range/{name}"]) == demo_explanation.ranges[name]
        cam = demo_explanation.cams[name]
        assert tuple(found[f"min_max/{name}"]) == (cam.min(), cam.max())
    assert found["cam/conv_1"].dtype == np.float32
    assert found["rgba/conv_1"].dtype == np.uint8
    assert tuple(found["global_range"]) == demo_explanation.global_range
    assert demo_explanation.prediction is not None
    np.testing.assert_array_equal(found["prediction"], demo_explanation.prediction.probabilities)


def test_npz_holds_the_output_where_no_class_is_claimed(
    demo_explanation: Explanation, tmp_path: Path
) -> None:
    assert demo_explanation.prediction is not None
    largest = dataclasses.replace(demo_explanation.prediction, claimed=False)
    bare = dataclasses.replace(demo_explanation, prediction=largest)
    assert "12 maps, largest output 3 of 10>" in repr(bare)
    with np.load(bare.save(tmp_path / "x.npz")) as data:
        np.testing.assert_array_equal(data["prediction"], bare.output)


def test_npz_without_class_vector_holds_the_output(
    demo_explanation: Explanation, tmp_path: Path
) -> None:
    bare = dataclasses.replace(demo_explanation, prediction=None)
    with np.load(bare.save(tmp_path / "x.npz")) as data:
        np.testing.assert_array_equal(data["prediction"], bare.output)


@pytest.mark.parametrize("look", LOOKS)
def test_tiles(look: Look, demo_explanation: Explanation, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "tiles"
    assert {each.parent for each in save_tiles(demo_explanation, folder, Style(look))} == {folder}
    expected = [f"{index:03d}_{name}.png" for index, name in enumerate(NAMES)]
    assert sorted(path.name for path in folder.iterdir()) == [*expected, "strip.png"]
    width = {"isometric": 635, "flat": 330}[look]
    with Image.open(folder / "strip.png") as image:
        strip = np.asarray(image)
    for index, name in enumerate(expected):
        with Image.open(folder / name) as image:
            assert image.size == (width, 205)
            # Where two tiles meet, their frames lie over each other.
            part = strip[205 * index : 205 * index + 205]
            np.testing.assert_array_equal(np.asarray(image)[2:-2], part[2:-2])
    assert strip.shape == (205 * 12, width, 3)


def test_tiles_of_other_scale(demo_explanation: Explanation, tmp_path: Path) -> None:
    save_tiles(demo_explanation, tmp_path, Style("flat", scale_tiles=0.5))
    with Image.open(tmp_path / "001_conv_1.png") as image:
        assert image.size == (165, 102)


def test_tiles_of_layers_that_share_a_name_on_disk(
    demo_explanation: Explanation, tmp_path: Path
) -> None:
    layers = demo_explanation.scene.layers[:2]
    renamed = [
        dataclasses.replace(layer, name=name, inputs=())
        for layer, name in zip(layers, ["a/b", "a:b"], strict=True)
    ]
    found = dataclasses.replace(
        demo_explanation,
        maps={"a/b": demo_explanation.maps["image"], "a:b": demo_explanation.maps["conv_1"]},
        scene=ModelDiagram("net", tuple(renamed)),
    )
    save_tiles(found, tmp_path, Style("flat"))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["000_a_b.png", "001_a_b.png", "strip.png"]


# --- DOT, for a user's own Graphviz ---------------------------------------------------------


def render(engine: Path, dot: Path, kind: str, cwd: Path) -> Path:
    """Run Graphviz somewhere else; what it writes lies beside the DOT file."""
    path = dot.with_suffix(f".{kind}")
    answer = subprocess.run(
        [engine, "-Kdot", f"-T{kind}", dot, "-o", path], cwd=cwd, capture_output=True, text=True
    )
    assert answer.returncode == 0
    assert "warning" not in answer.stderr.lower()
    assert "error" not in answer.stderr.lower()
    return path


@pytest.fixture(params=["out", "a b & <c> \"d\" 'é'"])
def strange_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder to write to, of an everyday name and of one that needs quoting everywhere."""
    folder = tmp_path / str(request.param)
    folder.mkdir()
    return folder


@pytest.mark.parametrize("look", LOOKS)
def test_dot_as_svg(
    look: Look,
    demo_explanation: Explanation,
    any_engine: Path,
    strange_folder: Path,
    tmp_path: Path,
) -> None:
    dot = demo_explanation.save(strange_folder / "net.dot", look)
    root = ET.parse(render(any_engine, dot, "svg", tmp_path)).getroot()
    links = [
        image.attrib["{http://www.w3.org/1999/xlink}href"] for image in root.iter(f"{SVG}image")
    ]
    assert len(links) == len(NAMES)
    for link, name in zip(links, NAMES, strict=True):
        assert link.endswith(f"_{name}.png")
        with Image.open(strange_folder / link) as image:
            assert image.width >= 50
    said = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert set(NAMES) <= set(said)
    assert "prediction: class 3, probability 0.9998" in said


@pytest.mark.parametrize("look", LOOKS)
def test_dot_as_png(
    look: Look,
    demo_explanation: Explanation,
    any_engine: Path,
    strange_folder: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if any_engine.name == "graphviz-pure":
        reason = "graphviz-pure 0.2.2 draws no picture into a PNG, wherever the picture lies"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    dot = demo_explanation.save(strange_folder / "net.dot", look)
    assert vivid(render(any_engine, dot, "png", tmp_path)) > 50_000


@pytest.mark.parametrize("stem", ["net & co", "a <b>", 'say "x"', "it's", "50%", "日本"])
def test_dot_as_svg_under_any_name(
    stem: str, demo_explanation: Explanation, any_engine: Path, tmp_path: Path
) -> None:
    # Graphviz 2.43 and 16.1 write picture names into the SVG as they are.
    dot = demo_explanation.save(tmp_path / f"{stem}.dot", "flat")
    root = ET.parse(render(any_engine, dot, "svg", tmp_path)).getroot()
    links = [
        image.attrib["{http://www.w3.org/1999/xlink}href"] for image in root.iter(f"{SVG}image")
    ]
    assert len(links) == len(NAMES)
    assert all((tmp_path / link).is_file() for link in links)


def test_dot_of_a_left_out_layer_has_no_picture(
    demo_explanation: Explanation, tmp_path: Path
) -> None:
    fewer = {name: found for name, found in demo_explanation.maps.items() if name != "relu_1"}
    found = dataclasses.replace(demo_explanation, maps=fewer)
    text = found.save(tmp_path / "x.dot").read_text()
    assert text.count("<IMG") == len(list((tmp_path / "x_dot").iterdir())) == len(NAMES) - 1
    assert '>relu_1<BR ALIGN="LEFT"/>Relu<BR ALIGN="LEFT"/>' in text


def test_dot_runs_in_the_direction_asked_for(demo_explanation: Explanation, tmp_path: Path) -> None:
    assert "rankdir=LR" in demo_explanation.save(tmp_path / "x.dot", rankdir="LR").read_text()


# --- What cannot be written -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.jpg", "x", "x.png.gz", ".png", "x.tiles"])
def test_unknown_formats(name: str, demo_explanation: Explanation, tmp_path: Path) -> None:
    match = (
        rf"^unknown format: '{re.escape(name)}' "
        r"\(the suffix must be one of \.png, \.svg, \.npz, \.pdf, \.dot, \.html\)$"
    )
    with pytest.raises(OutputError, match=match):
        demo_explanation.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("columns", "look"), [(75, "isometric"), (76, "flat")])
@pytest.mark.parametrize("suffix", ["png", "svg", "html"])
def test_the_look_follows_the_size_of_the_input(
    suffix: str, columns: int, look: Look, tmp_path: Path
) -> None:
    model = micam_fast.load_model(single_conv(random_array(2, 4, 1, 3, 3), [None, 1, None, None]))
    found = model.explain(random_array(3, 1, 40, columns))
    paths = [found.save(tmp_path / f"default.{suffix}"), found.save(tmp_path / f"a.{suffix}", look)]
    one, other = (path.read_bytes() for path in paths)
    assert one == other


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf", "dot"])
def test_unknown_looks(suffix: str, demo_explanation: Explanation, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown look: 'round' \(must be one of auto, isom"):
        demo_explanation.save(tmp_path / f"x.{suffix}", "round")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf", "dot"])
def test_unknown_rankdirs(suffix: str, demo_explanation: Explanation, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown rankdir: 'up' \(must be one of TB, LR\)"):
        demo_explanation.save(tmp_path / f"x.{suffix}", rankdir="up")
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_impossible_scales(
    scale: float, suffix: str, demo_explanation: Explanation, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="scale_tiles must be"):
        demo_explanation.save(tmp_path / f"x.{suffix}", scale_tiles=scale)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("level", [-1, 10, 1.5])
def test_impossible_compress_levels(
    level: int, demo_explanation: Explanation, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"compress_level must be 0 to 9, not {level}"):
        demo_explanation.save(tmp_path / "file.png", compress_level=level)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scale", [9.0, 12.0, 40.0])
@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_a_png_that_is_too_large_is_refused_with_what_fits(
    scale: float, rankdir: str, demo_explanation: Explanation, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="more than 170; write SVG instead, or smaller") as told:
        demo_explanation.save(tmp_path / "x.png", rankdir=rankdir, scale_tiles=scale)
    assert not list(tmp_path.iterdir())
    width, height, megapixels, asked, python = re.findall(r"\d+(?:\.\d+)?", _facts(told.value))
    assert int(width) * int(height) == pytest.approx(int(megapixels) * 1e6, abs=0.51e6)
    assert asked == python
    layout = demo_explanation.scene.picture_layout(frozenset(NAMES), rankdir)
    fitting = diagram_size(layout, header_lines(demo_explanation), float(asked))
    assert 0.9 * 170e6 < fitting[0] * fitting[1] <= 170e6


def _facts(error: OutputError) -> str:
    """The numbers of the message that says what is too large and what fits."""
    match = re.fullmatch(
        r"the PNG would have (\d+ x \d+ = \d+) megapixels, more than 170; write SVG instead, or "
        r"smaller tiles with --scale-tiles (\S+) \(scale_tiles=(\S+) in Python\)",
        str(error),
    )
    assert match is not None
    return " ".join(match.groups())


@pytest.mark.parametrize("limit", [1e6, 1e5, 3e4])
def test_the_scale_told_always_fits(
    limit: float,
    demo_explanation: Explanation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("micam_fast.diagrams.png_limit.LARGEST_PNG", limit)
    with pytest.raises(OutputError, match="--scale-tiles") as told:
        demo_explanation.save(tmp_path / "x.png")
    found = re.search(r"scale_tiles=(\S+) ", str(told.value))
    assert found is not None
    assert float(found[1]) > 0
    demo_explanation.save(tmp_path / "x.png", scale_tiles=float(found[1]))


def test_pillow_opens_the_largest_png() -> None:
    # It warns above its limit, and refuses above twice that.
    assert Image.MAX_IMAGE_PIXELS is not None
    limit = 2 * Image.MAX_IMAGE_PIXELS
    assert 0.9 * limit < LARGEST_PNG < limit


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_that_is_a_file(
    suffix: str, demo_explanation: Explanation, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"^cannot write .*file/.*: \w+"):
        demo_explanation.save(tmp_path / "file" / f"x.{suffix}")


@pytest.mark.parametrize("suffix", ["png", "svg", "npz", "pdf"])
def test_a_folder_that_is_missing(
    suffix: str, demo_explanation: Explanation, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"^cannot write .*: No such file or directory$"):
        demo_explanation.save(tmp_path / "missing" / f"x.{suffix}")


def test_tiles_below_a_file(demo_explanation: Explanation, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"^cannot write to folder .*file/tiles"):
        save_tiles(demo_explanation, tmp_path / "file" / "tiles", Style("flat"))


def fail(drawing: Drawing, file: BinaryIO) -> None:
    file.write(b"half a file")
    raise RuntimeError("the encoder stopped")


@pytest.mark.parametrize(
    ("suffix", "writer"),
    [
        ("png", "diagrams.encoders.encoded.PngPage.write"),
        ("pdf", "api.formats.pdf.write_pdf"),
        ("npz", "api.formats.npz.np.savez"),
    ],
)
def test_a_writer_that_fails_leaves_no_file(
    suffix: str,
    writer: str,
    demo_explanation: Explanation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing_savez(file: BinaryIO, **arrays: object) -> None:
        fail(Drawing(1, 1, ()), file)

    def failing_page(page: object, fillings: object, file: BinaryIO, level: int) -> None:
        fail(Drawing(1, 1, ()), file)

    replacements: dict[str, Callable[..., None]] = {
        "png": failing_page,
        "pdf": fail,
        "npz": failing_savez,
    }
    monkeypatch.setattr(f"micam_fast.{writer}", replacements[suffix])
    with pytest.raises(RuntimeError, match="the encoder stopped"):
        demo_explanation.save(tmp_path / f"x.{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_without_graphviz_diagrams_cannot_be_drawn(
    suffix: str, demo_explanation: Explanation, tmp_path: Path
) -> None:
    scene = ModelDiagram("net", demo_explanation.scene.layers, tmp_path / "missing")
    with pytest.raises(LayoutEngineError, match=r"no Graphviz program at .*; install one with"):
        dataclasses.replace(demo_explanation, scene=scene).save(tmp_path / f"x.{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["npz", "dot"])
def test_without_graphviz_the_rest_is_written(
    suffix: str, demo_explanation: Explanation, tmp_path: Path
) -> None:
    scene = ModelDiagram("net", demo_explanation.scene.layers, tmp_path / "missing")
    path = dataclasses.replace(demo_explanation, scene=scene).save(tmp_path / f"x.{suffix}")
    assert path.stat().st_size > 1000


# --- Header and notebooks -------------------------------------------------------------------


def test_header_says_all_that_is_known(demo_explanation: Explanation) -> None:
    low, high = show_range(*demo_explanation.global_range)
    assert header_lines(demo_explanation) == [
        "lenet_mnist",
        "sample: digit_3.png",
        "label: 3",
        "prediction: class 3, probability 0.9998",
        f"all maps: min {low}, max {high}",
    ]


def test_header_is_silent_about_what_is_not_known(demo_explanation: Explanation) -> None:
    bare = dataclasses.replace(demo_explanation, sample="", label=None, prediction=None)
    assert [line.split(":")[0] for line in header_lines(bare)] == ["lenet_mnist", "all maps"]


def test_notebooks_show_svg(demo_explanation: Explanation) -> None:
    bundle = demo_explanation._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/svg+xml"}
    assert bundle["text/plain"] == repr(demo_explanation)
    assert "lenet_mnist: 12 maps, prediction 3 (0.9998)" in bundle["text/plain"]
    root = ET.parse(io.StringIO(bundle["image/svg+xml"])).getroot()
    assert len(list(root.iter(f"{SVG}image"))) == 12 + 5


@pytest.mark.parametrize(
    ("include", "exclude", "kinds"),
    [
        (["text/plain"], None, {"text/plain"}),
        (["text/plain", "text/html"], None, {"text/plain"}),
        (None, ["image/svg+xml"], {"text/plain"}),
        (["image/svg+xml"], ["image/svg+xml"], set()),
    ],
)
def test_notebooks_choose(
    include: list[str] | None,
    exclude: list[str] | None,
    kinds: set[str],
    demo_explanation: Explanation,
) -> None:
    assert set(demo_explanation._repr_mimebundle_(include, exclude)) == kinds


def test_a_notebook_without_graphviz_still_says_something(
    demo_explanation: Explanation, tmp_path: Path
) -> None:
    scene = ModelDiagram("net", demo_explanation.scene.layers, tmp_path / "missing")
    found = dataclasses.replace(demo_explanation, scene=scene)
    assert found._repr_mimebundle_(include=["text/plain"]) == {"text/plain": repr(found)}


def test_any_engine_draws_the_demo(
    demo_explanation: Explanation, any_engine: Path, tmp_path: Path
) -> None:
    scene = ModelDiagram("net", demo_explanation.scene.layers, any_engine)
    path = dataclasses.replace(demo_explanation, scene=scene).save(tmp_path / "x.png", "flat")
    assert vivid(path) > 100_000


def test_the_engine_beside_the_interpreter_is_a_dependency() -> None:
    assert find_engine().name.startswith("graphviz-pure")
