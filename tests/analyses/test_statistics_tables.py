"""Which layers cost most and extract least, and the table for notebooks."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from micam_fast.analyses.statistics import Statistics, stats
from micam_fast.analyses.statistics.tables import cost_lines, show_count
from tests.helpers.models import conv_net, conv_node, make_model, random_array


def idle_net() -> onnx.ModelProto:
    """A 1x1 convolution of 8 equal channels, its ReLU; one of 8 that differ, normalized, ReLU."""
    nodes = [
        conv_node("alike", "x", "w1", "b1"),
        helper.make_node("Relu", ["alike:0"], ["r1"], "relu_1"),
        conv_node("useful", "r1", "w2"),
        helper.make_node("BatchNormalization", ["useful:0", "s", "t", "m", "v"], ["bn:0"], "bn"),
        helper.make_node("Relu", ["bn:0"], ["r2"], "relu_2"),
        helper.make_node("Add", ["r2", "r1"], ["sum:0"], "sum"),
    ]
    kernel = np.ones((8, 4, 1, 1), np.float32)
    kernel[6:] = -1
    one = np.ones(8, np.float32)
    constants = {
        "w1": kernel, "b1": np.full(8, 10, np.float32) * np.sign(kernel[:, 0, 0, 0]),
        "w2": random_array(2, 8, 8, 1, 1), "s": one, "t": 0 * one, "m": 0 * one, "v": one,
    }  # fmt: skip
    return make_model(nodes, {"x": [None, 4, 6, 6]}, ["sum:0"], constants, name="idle")


@pytest.fixture(scope="module")
def found() -> Statistics:
    return stats(idle_net(), [random_array(seed, 4, 6, 6) for seed in range(5)])


def test_layers_are_seen_where_the_model_hands_them_on(found: Statistics) -> None:
    costs = {cost.layer.layer: cost for cost in found.costs.layers}
    assert {name: cost.seen.layer for name, cost in costs.items()} == {
        # Two layers read relu_1: there the chain ends.
        "alike": "relu_1",
        "useful": "relu_2",
    }
    assert (costs["alike"].parameters, costs["useful"].parameters) == (40, 64 + 32)
    assert costs["useful"].multiply_adds == 64 * 36


def test_what_is_used(found: Statistics) -> None:
    costs = {cost.layer.layer: cost for cost in found.costs.layers}
    alike = costs["alike"]
    # Six channels are the same, two are dead behind the ReLU; four inputs make four directions.
    assert alike.seen.effective_rank == pytest.approx(1)
    assert (alike.seen.possible_rank, alike.seen.rank_limit) == (8, "channels")
    assert (alike.layer.possible_rank, alike.layer.rank_limit) == (4, "inputs")
    assert (alike.possible_rank, alike.rank_limit) == (4, "inputs")
    assert alike.used == pytest.approx(1 / 4)
    assert alike.seen.dead_channels == 2 / 8
    assert alike.seen.dead_indices == (6, 7)
    assert alike.parameter_share == pytest.approx(40 / 136)
    assert alike.multiply_add_share == pytest.approx(32 / (32 + 64))
    assert alike.idle == pytest.approx((40 / 136 + 1 / 3) / 2 * (3 / 4))
    assert alike.seen.energy is not None
    assert alike.energy_per_parameter == alike.seen.energy / 40


def test_few_positions_bound_the_rank() -> None:
    # Three samples of a dense layer of five units: no more than two dimensions can show.
    found = stats(conv_net(), [random_array(seed, 1, 8, 6) for seed in range(3)])
    dense = next(cost for cost in found.costs.layers if cost.layer.layer == "dense")
    assert dense.seen.effective_rank is not None
    assert dense.used == pytest.approx(dense.seen.effective_rank / 2)


def test_without_a_rank_living_channels_count() -> None:
    samples = [random_array(seed, 4, 6, 6) for seed in range(5)]
    found = stats(idle_net(), samples, positions=0)
    costs = {cost.layer.layer: cost for cost in found.costs.layers}
    assert costs["alike"].used == 6 / 8


def test_lines_of_the_terminal(found: Statistics) -> None:
    title, header, *rows, legend = cost_lines(found.costs)
    assert title == "layers that cost most and extract least, all samples:"
    assert header.split()[:2] == ["layer", "seen"]
    assert {row.split()[0] for row in rows} == {"alike", "useful"}
    assert len({len(row) for row in rows}) == 1
    assert legend.startswith("used: effective rank / the rank that is possible")
    (alike,) = (row for row in rows if row.startswith("alike"))
    assert " 1.0 of 4 inputs 25.0% 25.0% 6 7 " in " ".join(alike.split())
    *_, rest = cost_lines(found.costs, most=1)
    assert rest.startswith("1 more layer holds ")


def test_dead_layers_are_named() -> None:
    found = stats(idle_net(), [random_array(1, 4, 6, 6)], dead_threshold=1e9)
    *_, last = cost_lines(found.costs)
    assert last.startswith("wholly dead: ")
    assert "alike" in last


def test_multiply_adds_that_nobody_knows_are_not_zero() -> None:
    nodes = [helper.make_node("Einsum", ["x", "w"], ["y"], "sum", equation="...j,jk->...k")]
    proto = make_model(nodes, {"x": [None, 5, 7]}, ["y"], {"w": random_array(1, 7, 3)})
    found = stats(proto, [random_array(2, 5, 7)])
    assert found.costs.layers[0].multiply_adds is None
    row = next(line for line in cost_lines(found.costs) if line.startswith("sum"))
    assert row.split()[:6] == ["sum", "itself", "21", "100.0%", "-", "-"]


def test_a_model_without_costs() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"], "relu")]
    found = stats(make_model(nodes, {"x": [None, 2, 3, 3]}, ["y"]), [random_array(1, 2, 3, 3)])
    assert list(cost_lines(found.costs)) == ["no layer has parameters or multiply-adds"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (1234, "1.23 k"), (999_400, "999 k"),
     (999_600, "1 M"), (2.5e9, "2.5 G"), (3e12, "3 T"), (None, "-")],
)  # fmt: skip
def test_counts_in_three_digits(number: float | None, text: str) -> None:
    assert show_count(number) == text


def test_the_table_of_a_notebook() -> None:
    proto = conv_net()
    proto.graph.node[0].name = "<script>"
    samples = [random_array(seed, 1, 8, 6) for seed in range(3)]
    found = stats(proto, samples, labels=["a", "<b>", "a"])
    text = found._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "&lt;b&gt;" in text
    # Two layers that cost, and seven for all samples and for each class.
    assert text.count("<tr>") == 1 + 2 + 1 + 3 * 7
    assert ">class<" in text
    assert ">class<" not in stats(proto, samples)._repr_html_()
