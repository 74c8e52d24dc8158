"""Names of the input's rows beside the tiles on which they lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import micam_fast
from micam_fast import cli
from micam_fast.core.choices import LOOKS, Look
from micam_fast.core.layers import Layer
from micam_fast.diagrams.row_names import (
    MOST_ROWS,
    name_marks,
    named_layers,
    names_room,
    rows_of_input,
)
from micam_fast.diagrams.tile_rooms import PUBLISHED, TILE_HEIGHT
from micam_fast.diagrams.tiles import stretched_side, tile_place
from tests.helpers.chains import op
from tests.helpers.models import make_model, random_array
from tests.helpers.pages import held
from tests.helpers.pictures import layer_map

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def net(rows: int = 12, columns: int = 500) -> onnx.ModelProto:
    """Pools along the columns, then along the rows, too; another way that keeps the rows."""
    nodes = [
        op("Conv", "x k b", "conv", pads=[1, 2, 1, 2]),
        op("MaxPool", "conv", "pool", kernel_shape=[1, 8], strides=[1, 8]),
        op("MaxPool", "pool", "half", kernel_shape=[2, 2], strides=[2, 2]),
        op("Resize", "half none scales", "again"),
        op("GlobalAveragePool", "again", "mean"),
        op("Flatten", "mean", "flat"),
    ]
    constants = {
        "k": random_array(1, 4, 1, 3, 5), "b": random_array(2, 4), "none": np.empty(0, np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }  # fmt: skip
    return make_model(nodes, {"x": ["N", 1, rows, columns]}, ["flat"], constants)


def explained(rows: int = 12, columns: int = 500, layers: str | None = None) -> Any:
    model = micam_fast.load_model(net(rows, columns), layers=layers)
    return model.explain(random_array(3, 1, rows, columns))


def texts(path: Path) -> list[str]:
    return re.findall(r">([^<>\n]+)</text>", path.read_text())


def test_rows_are_the_input_s_all_the_way() -> None:
    """What was made of fewer rows has as many again by chance."""
    found = explained()
    assert found.maps["again"].cam.shape[0] == 12
    rows = rows_of_input(found.scene.layers, found.maps, found.input_size)
    assert rows == {"x", "conv", "pool"}
    some = explained(layers="pool,half")
    rows = rows_of_input(some.scene.layers, some.maps, some.input_size)
    assert rows & some.maps.keys() == {"pool"}


@pytest.mark.parametrize(
    ("size", "count", "named"),
    [
        ((12, 500), 12, True),
        ((12, 96), 12, True),
        ((12, 95), 12, False),
        ((2, 500), 2, True),
        ((1, 500), 1, False),
        ((MOST_ROWS, 5000), MOST_ROWS, True),
        ((MOST_ROWS + 1, 5000), MOST_ROWS + 1, False),
        ((12, 500), 11, False),
        ((12, 500), 0, False),
    ],
)
def test_names_are_for_few_rows_of_a_long_input(
    size: tuple[int, int], count: int, named: bool
) -> None:
    maps = {"x": layer_map(np.random.default_rng(1).normal(size=size))}
    layers = [Layer("x", "Input", "Input")]
    found = named_layers(layers, maps, size, [str(n) for n in range(count)])
    assert found == (frozenset({"x"}) if named else frozenset())


def test_a_hatched_layer_has_none() -> None:
    bad = {"x": layer_map(np.full((12, 500), np.nan), bad_values=1)}
    layers = [Layer("x", "Input", "Input")]
    assert not named_layers(layers, bad, (12, 500), LEADS)


@pytest.mark.parametrize("columns", [30, 78, 500, 5000])
@pytest.mark.parametrize("rows", [2, 12, 20, 32])
@pytest.mark.parametrize("look", LOOKS)
def test_names_stand_beside_their_rows(look: Look, rows: int, columns: int) -> None:
    names = [f"lead {n}" for n in range(rows)]
    found = layer_map(np.random.default_rng(1).normal(size=(rows, columns)))
    room = names_room(names) if look == "flat" else 0.0
    place = tile_place(found, look, 1.0, names_room=room)
    marks = list(name_marks(names, look, place, (rows, 5000)))
    if look == "isometric" and rows == 32:
        assert not marks
        return
    assert [mark.text for mark in marks] == names
    middles = [mark.y - 0.36 * mark.size for mark in marks]
    assert np.all(np.diff(middles) >= marks[0].size)
    if look == "flat":
        assert all(0 <= mark.x < place.x for mark in marks)
        expected = place.y + (np.arange(rows) + 0.5) * place.height / rows
        np.testing.assert_allclose(middles, expected)
        assert place.x + place.width <= 425
    else:
        assert all(330 < mark.x < PUBLISHED.label_x for mark in marks)
    assert marks[0].y > 0
    assert marks[-1].y < TILE_HEIGHT


def test_long_names_are_shortened() -> None:
    names = ["a name of a row that is much longer than there is room for", *LEADS[1:]]
    assert names_room(names) < 100
    place = tile_place(layer_map(np.eye(12, 500)), "flat", 1.0, names_room=names_room(names))
    first, *others = name_marks(names, "flat", place, (12, 500))
    assert "\u2026" in first.text
    assert first.full == names[0]
    assert first.x >= 0
    assert [mark.full for mark in others] == [None] * 11


@pytest.mark.parametrize("look", LOOKS)
def test_a_diagram_with_names(look: Look, tmp_path: Path) -> None:
    found = explained()
    plain = texts(found.save(tmp_path / "plain.svg", look))
    named = texts(found.save(tmp_path / "named.svg", look, row_names=LEADS))
    for name in LEADS:
        assert named.count(name) - plain.count(name) == 3
    # Beside names the pool's rows are thicker than they need be; the label says so.
    assert stretched_side((12, 62)) is None
    more = named.count("rows drawn thicker") - plain.count("rows drawn thicker")
    assert more == (1 if look == "flat" else 0)
    for suffix in (".png", ".pdf"):
        paths = [tmp_path / f"{name}{suffix}" for name in ("plain", "named")]
        found.save(paths[0], look)
        found.save(paths[1], look, row_names=LEADS)
        assert paths[0].read_bytes() != paths[1].read_bytes()


def test_as_many_names_as_rows() -> None:
    with pytest.raises(ValueError, match="11 names of rows, the input has 12"):
        explained().save("never.png", row_names=LEADS[1:])


def test_the_command_draws_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(net(), "net.onnx")
    np.save("one.npy", random_array(3, 1, 12, 500))
    Path("leads.txt").write_text("\n".join(LEADS))
    Path("order.txt").write_text("\n".join(reversed(LEADS)))

    def run(*more: str) -> Any:
        words = ["plot", "net.onnx", "one.npy", "--format", "svg", "--row-names", "leads.txt"]
        return CliRunner().invoke(cli.main, [*words, "--output-dir", "out", *more])

    assert run().exit_code == 0
    (path,) = Path("out").glob("*.svg")
    drawn = [text for text in texts(path) if text in LEADS]
    assert drawn == [*LEADS] * 3
    Path("leads.txt").write_text("\n".join(["J", *LEADS[1:]]))
    assert "row_names_sha256" in run("--resume").output
    Path("leads.txt").write_text("\n".join(LEADS))
    assert run("--permute-rows", "order.txt").exit_code == 0
    drawn = [text for text in texts(path) if text in LEADS]
    assert drawn == [*reversed(LEADS)] * 3


@pytest.mark.parametrize("kind", ["activations", "contributions"])
@pytest.mark.parametrize("layers", ["*", "pool,half,again"])
def test_grids_with_names(
    kind: str, layers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first map of each line, where the rows are the input's."""
    monkeypatch.chdir(tmp_path)
    onnx.save(net(), "net.onnx")
    np.save("one.npy", random_array(3, 1, 12, 500))
    Path("leads.txt").write_text("\n".join(LEADS))
    words = ["grids", "net.onnx", "one.npy", "--of", kind, "--format", "svg,png"]
    words += ["--layers", layers, "--row-names", "leads.txt", "--output-dir", "out"]
    assert CliRunner().invoke(cli.main, words).exit_code == 0
    named = set()
    for path in Path("out").glob("*.svg"):
        drawn = [text for text in texts(path) if text in LEADS]
        assert drawn == [*LEADS] * (len(drawn) // 12)
        if drawn:
            named.add(path.name.split("_")[3])
    assert named == ({"x", "conv", "pool"} if layers == "*" else {"pool"})


def test_the_page_knows_which_rows_are_the_input_s(tmp_path: Path) -> None:
    found = explained()
    page = found.save(tmp_path / "page.html", row_names=LEADS).read_text()
    data = held(page)
    assert data["rowNames"] == [*LEADS]
    on_rows = {
        layer["name"]: each["onRows"]
        for layer, each in zip(data["layers"], data["samples"][0]["maps"], strict=True)
    }
    assert on_rows == {
        "x": True, "conv": True, "pool": True, "half": False, "again": False, "mean": False,
        "flat": False,
    }  # fmt: skip
