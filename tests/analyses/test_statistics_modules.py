"""What modules cost: sums over their layers."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from micam_fast.analyses.statistics import Statistics, stats
from micam_fast.analyses.statistics.modules import ModuleCost, outermost
from micam_fast.analyses.statistics.tables import module_lines
from micam_fast.core.errors import OutputError
from tests.helpers.models import conv_net, conv_node, make_model, random_array


def staged_net() -> onnx.ModelProto:
    """Two stages side by side, whose layers take turns; the second one is dead behind its ReLU."""
    nodes = [
        conv_node("n0", "x", "stem.weight"),
        conv_node("n1", "n0:0", "a.0.conv.weight"),
        conv_node("n2", "n0:0", "b.conv.weight", "b.conv.bias"),
        helper.make_node("Relu", ["n1:0"], ["r1"], "/a/a.0/act/Relu"),
        helper.make_node("Relu", ["n2:0"], ["r2"], "/b/act/Relu"),
        conv_node("n3", "r1", "a.1.conv.weight"),
        helper.make_node("Add", ["n3:0", "r2"], ["sum"], "/Add"),
    ]
    constants = {
        "stem.weight": random_array(1, 4, 2, 1, 1),
        "a.0.conv.weight": random_array(2, 6, 4, 1, 1),
        "a.1.conv.weight": random_array(4, 6, 6, 1, 1),
        "b.conv.weight": random_array(3, 6, 4, 1, 1),
        "b.conv.bias": np.full(6, -1e6, np.float32),
    }
    return make_model(nodes, {"x": [None, 2, 5, 5]}, ["sum"], constants, name="staged")


@pytest.fixture(scope="module")
def found() -> Statistics:
    return stats(staged_net(), [random_array(seed, 2, 5, 5) for seed in range(4)])


def test_each_module_stands_before_those_within(found: Statistics) -> None:
    assert [(each.module, each.depth, each.layers) for each in found.modules] == [
        ("a", 1, 3),
        ("a.0", 2, 2),
        ("a.1", 2, 1),
        ("b", 1, 2),
    ]


def test_what_adds_up_is_summed(found: Statistics) -> None:
    costs = {each.module: each for each in found.modules}
    a, b = costs["a"], costs["b"]
    assert (a.parameters, costs["a.0"].parameters, costs["a.1"].parameters) == (60, 24, 36)
    assert b.parameters == 6 * 4 + 6
    assert a.multiply_adds == 25 * 60
    assert a.parameter_share == pytest.approx(60 / (8 + 60 + 30))
    assert (a.values, b.values) == (3 * 6 * 25, 2 * 6 * 25)
    assert (b.channels, b.dead_channels) == (6, 1)
    by_layer = {cost.layer.layer: cost.idle or 0 for cost in found.costs.layers}
    assert a.idle == pytest.approx(by_layer["a.0.conv"] + by_layer["a.1.conv"])
    assert b.idle == by_layer["b.conv"]
    assert not a.is_bound


def test_a_sum_that_lacks_a_layer_is_unknown() -> None:
    samples = [random_array(seed, 2, 5, 5) for seed in range(2)]
    costs = {each.module: each for each in stats(staged_net(), samples, layers="b*").modules}
    assert costs["a"].values is None
    assert costs["a"].idle is None
    # What the file tells needs no run.
    assert (costs["a"].parameters, costs["b"].values) == (60, 2 * 6 * 25)


def test_without_ranks_what_is_idle_is_at_least_that() -> None:
    samples = [random_array(seed, 2, 5, 5) for seed in range(2)]
    found = stats(staged_net(), samples, positions=0)
    assert all(each.is_bound for each in found.modules)
    (row,) = (line for line in module_lines(found.modules) if line.startswith("b "))
    assert row.split()[-2:] == ["100.0%", f">={found.modules[-1].idle:.1%}"]


def test_rows_know_the_module_around_them(found: Statistics) -> None:
    modules = {row.layer: row.module for row in found.rows}
    assert modules["a.0.conv"] == "a.0"
    assert modules["a.0.act"] == "a.0"
    assert modules["b.conv"] == "b"
    assert modules["stem"] is None


def test_a_model_without_modules_has_no_table() -> None:
    found = stats(conv_net(), [random_array(1, 1, 8, 6)])
    assert found.modules == ()
    assert list(module_lines(found.modules)) == []
    assert "Modules" not in found._repr_html_()
    assert ">module<" not in found._repr_html_()


def test_lines_of_the_terminal(found: Statistics) -> None:
    title, header, *rows, legend = module_lines(found.modules)
    assert title == "modules, all samples:"
    assert header.split()[:3] == ["module", "layers", "parameters"]
    assert [row.split()[0] for row in rows] == ["a", "a.0", "a.1", "b"]
    assert legend.startswith("sums over the layers of each module")


def test_of_many_modules_the_outermost_are_shown(found: Statistics) -> None:
    *lines, rest = module_lines(found.modules, most=3)
    assert [line.split()[0] for line in lines[2:-1]] == ["a", "b"]
    assert rest == "2 more modules: the output file has all"


def test_of_many_outermost_modules_the_first_are_shown(found: Statistics) -> None:
    flat: list[ModuleCost] = [replace(found.modules[0], module=str(n)) for n in range(9)]
    assert [each.module for each in outermost(flat, 4)] == ["0", "1", "2", "3"]


def test_the_page_has_a_table_and_a_column(found: Statistics) -> None:
    text = found._repr_html_()
    assert "<h2>Modules, all samples</h2>" in text
    assert '<td class="text">a.0</td><td>2</td><td>24</td>' in text
    assert '<th class="text">type</th><th class="text">module</th>' in text


def test_files(found: Statistics, tmp_path: Path) -> None:
    with found.save_modules(tmp_path / "m.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["module"] for row in rows] == ["a", "a.0", "a.1", "b"]
    assert float(rows[3]["dead_channels"]) == 1
    held = json.loads(found.save(tmp_path / "s.json").read_bytes())
    assert [each["parameters"] for each in held["modules"]] == [60, 24, 36, 30]
    assert held["rows"][1]["module"] is None
    with pytest.raises(OutputError, match=r"its name must end in one of \.csv, \.parquet"):
        found.save_modules(tmp_path / "m.json")


def test_parquet(found: Statistics, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = found.save_modules(tmp_path / "m.parquet")
    assert parquet.read_table(path).to_pydict()["is_bound"] == [False] * 4
