"""What is idle where something is not known, and what limits a rank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from micam_fast.analyses.statistics import Statistics, stats
from micam_fast.analyses.statistics.costs import Costs, LayerCost, ModelCosts, find_costs
from micam_fast.analyses.statistics.tables import cost_lines
from tests.helpers.models import conv_net, conv_node, make_model, random_array


def loop_net() -> onnx.ModelProto:
    """A convolution, one in a Loop, and a dense classifier."""
    info = helper.make_tensor_value_info
    size = [None, 4, 6, 6]
    body = helper.make_graph(
        [
            helper.make_node("Conv", ["s", "k"], ["t"], pads=[1] * 4),
            helper.make_node("Identity", ["c"], ["d"]),
        ],
        "body",
        [
            info("i", onnx.TensorProto.INT64, []),
            info("c", onnx.TensorProto.BOOL, []),
            info("s", onnx.TensorProto.FLOAT, size),
        ],
        [info("d", onnx.TensorProto.BOOL, []), info("t", onnx.TensorProto.FLOAT, size)],
        [numpy_helper.from_array(random_array(1, 4, 4, 3, 3), "k")],
    )
    nodes = [
        conv_node("conv", "x", "w"),
        helper.make_node("Loop", ["n", "go", "conv:0"], ["loop:0"], "loop", body=body),
        helper.make_node("Flatten", ["loop:0"], ["flat:0"], "flatten"),
        helper.make_node("Gemm", ["flat:0", "m"], ["dense:0"], "dense"),
    ]
    constants = {
        "w": random_array(2, 4, 2, 1, 1), "n": np.array(2), "go": np.array(True),
        "m": random_array(3, 144, 5),
    }  # fmt: skip
    return make_model(nodes, {"x": [None, 2, 6, 6]}, ["dense:0"], constants)


def run(proto: onnx.ModelProto, *size: int, count: int = 9, **given: Any) -> Statistics:
    return stats(proto, [random_array(seed, *size) for seed in range(count)], **given)


def of(costs: Costs, name: str) -> LayerCost:
    (found,) = (cost for cost in costs.layers if cost.layer.layer == name)
    return found


def test_an_unknown_cost_halves_no_share() -> None:
    found = run(loop_net(), 2, 6, 6).costs
    assert found.multiply_adds.unknown == ("loop",)
    assert found.multiply_adds.known == 36 * 8 + 144 * 5
    # The sum of the multiply-adds lacks one, so no layer has a share of it.
    assert {cost.multiply_add_share for cost in found.layers} == {None}
    total = 8 + 4 * 4 * 9 + 144 * 5
    for name, parameters in (("conv", 8), ("loop", 144)):
        cost = of(found, name)
        assert cost.used is not None
        assert cost.parameter_share == parameters / total
        assert cost.idle == pytest.approx(parameters / total * (1 - cost.used))


def test_lines_say_what_is_unknown() -> None:
    lines = list(cost_lines(run(loop_net(), 2, 6, 6).costs))
    (row,) = (line for line in lines if line.startswith("loop"))
    assert row.split()[4:6] == ["-", "-"]
    assert (
        "mult-adds of all layers: at least 1.01 k; those of loop are unknown, and so is each "
        "share of them" in lines
    )
    (rest,) = (line for line in cost_lines(run(loop_net(), 2, 6, 6).costs, most=1)
               if " more layers hold " in line)  # fmt: skip
    assert rest.endswith("and an unknown share of the mult-adds")


def test_a_model_that_multiplies_nothing_is_idle_by_its_parameters() -> None:
    nodes = [
        helper.make_node("BatchNormalization", ["x", "s", "t", "m", "v"], ["bn:0"], "bn"),
        helper.make_node("Tanh", ["bn:0"], ["y"], "tanh"),
    ]
    one = np.ones(3, np.float32)
    constants = {"s": one, "t": 0 * one, "m": 0 * one, "v": one}
    (cost,) = run(make_model(nodes, {"x": [None, 3, 4, 4]}, ["y"], constants), 3, 4, 4).costs.layers
    assert (cost.parameter_share, cost.multiply_add_share) == (1.0, None)
    assert cost.used is not None
    assert cost.idle == pytest.approx(1 - cost.used)


def test_unknown_parameters_are_no_sum_and_no_share() -> None:
    statistics = run(conv_net(), 1, 8, 6)
    rows = [
        replace(row, parameters=None) if row.layer == "conv" else row for row in statistics.rows
    ]
    whole = ModelCosts(
        {row.layer: row.parameters for row in rows},
        {row.layer: row.multiply_adds for row in rows},
    )
    found = find_costs(rows, statistics.layers, whole)
    conv, dense = of(found, "conv"), of(found, "dense")
    assert (conv.parameters, conv.parameter_share, dense.parameter_share) == (None, None, None)
    assert conv.energy_per_parameter is None
    assert conv.multiply_add_share == 1728 / (1728 + 240)
    assert (found.parameters.known, found.parameters.unknown) == (245, ("conv",))


def test_shares_are_of_the_whole_model_not_of_the_chosen_layers() -> None:
    (cost,) = run(conv_net(), 1, 8, 6, layers="conv,relu").costs.layers
    assert cost.parameter_share == 40 / (40 + 245)
    assert cost.multiply_add_share == 1728 / (1728 + 240)


def test_without_a_rank_shares_are_bounds() -> None:
    found = run(conv_net(), 1, 8, 6, positions=0)
    conv = of(found.costs, "conv")
    assert (conv.rank, conv.possible_rank, conv.rank_limit) == (None, None, None)
    assert conv.is_bound
    (line,) = (line for line in cost_lines(found.costs) if line.startswith("conv"))
    assert "<=" in line
    assert ">=" in line
    assert any(line.startswith("<= and >=: no effective rank") for line in cost_lines(found.costs))


def test_values_that_nobody_knows_are_neither_dead_nor_used() -> None:
    found = stats(conv_net(), np.full((3, 1, 8, 6), np.nan, np.float32))
    row = found.of("conv")
    assert (row.dead_channels, row.dead_indices, row.energy) == (None, None, None)
    assert {cost.used for cost in found.costs.layers} == {None}
    assert {cost.idle for cost in found.costs.layers} == {None}
    (line,) = (line for line in cost_lines(found.costs) if line.startswith("conv"))
    assert line.split()[-3:] == ["-", "-", "-"]
    assert not any(line.startswith("wholly dead") for line in cost_lines(found.costs))


def test_the_classifier_s_last_layer_is_not_judged() -> None:
    found = run(conv_net(), 1, 8, 6)
    assert [cost.layer.layer for cost in found.costs.layers] == ["conv", "dense"]
    dense = found.costs.layers[-1]
    assert (dense.is_classifier, dense.idle) == (True, None)
    assert "dense is not judged: it is as wide as the model has classes" in cost_lines(found.costs)


def test_the_classifier_is_found_behind_a_pool() -> None:
    """A fully convolutional classifier, pooled and normalized behind its last product."""
    nodes = [
        conv_node("body", "x", "w1"),
        helper.make_node("Relu", ["body:0"], ["r"], "relu"),
        conv_node("head", "r", "w2"),
        helper.make_node("GlobalAveragePool", ["head:0"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Softmax", ["f"], ["y"], "softmax"),
    ]
    constants = {"w1": random_array(1, 6, 2, 3, 3), "w2": random_array(2, 4, 6, 1, 1)}
    found = run(make_model(nodes, {"x": [None, 2, 6, 6]}, ["y"], constants), 2, 6, 6).costs
    assert [cost.layer.layer for cost in found.layers if cost.is_classifier] == ["head"]


def test_the_classifier_is_found_where_only_the_sizes_of_a_run_tell_of_classes() -> None:
    nodes = [
        conv_node("body", "x", "w1"),
        conv_node("head", "body:0", "w2"),
        helper.make_node("Flatten", ["head:0"], ["f"], "flatten"),
        helper.make_node("Softmax", ["f"], ["y"], "softmax"),
    ]
    constants = {"w1": random_array(1, 6, 2, 3, 3), "w2": random_array(2, 5, 6, 4, 4)}
    found = run(make_model(nodes, {"x": [None, 2, "H", "W"]}, ["y"], constants), 2, 6, 6)
    assert [e.layer.layer for e in found.costs.layers if e.is_classifier] == ["head"]
    whole = Statistics(found.model, found.layers, found.parameters, found.dead_threshold)
    whole.merge(found)
    assert [e.layer.layer for e in whole.costs.layers if e.is_classifier] == ["head"]


def test_a_model_without_classes_is_judged_whole() -> None:
    nodes = [conv_node("conv", "x", "w"), helper.make_node("Relu", ["conv:0"], ["y"], "relu")]
    proto = make_model(nodes, {"x": [None, 2, 6, 6]}, ["y"], {"w": random_array(1, 4, 2, 3, 3)})
    assert not any(cost.is_classifier for cost in run(proto, 2, 6, 6).costs.layers)


def expanding_net() -> onnx.ModelProto:
    """1x1 convolutions from 3 channels to 20, normalized, from 20 to 8, a ReLU, to 12; a pool."""
    one = np.ones(20, np.float32)
    nodes = [
        conv_node("more", "x", "w1", "b1"),
        helper.make_node("BatchNormalization", ["more:0", "s", "t", "m", "v"], ["bn:0"], "bn"),
        conv_node("fewer", "bn:0", "w2"),
        helper.make_node("Relu", ["fewer:0"], ["r"], "relu"),
        conv_node("again", "r", "w3"),
        helper.make_node("GlobalAveragePool", ["again:0"], ["pool:0"], "pool"),
    ]
    constants = {
        "w1": random_array(1, 20, 3, 1, 1), "b1": random_array(2, 20), "s": one, "t": one, "m": one,
        "v": one, "w2": random_array(3, 8, 20, 1, 1), "w3": random_array(4, 12, 8, 1, 1),
    }  # fmt: skip
    return make_model(nodes, {"x": [None, 3, 5, 5]}, ["pool:0"], constants)


def test_what_limits_a_rank() -> None:
    found = run(expanding_net(), 3, 5, 5, count=5)
    limits = {row.layer: (row.possible_rank, row.rank_limit) for row in found.rows}
    assert limits == {
        "x": (3, "channels"),
        # The bias and the normalization add no direction.
        "more": (3, "inputs"),
        "bn": (3, "inputs"),
        # Eight channels of twenty, which hold three directions.
        "fewer": (3, "inputs"),
        # A bent layer may have a direction for each channel.
        "relu": (8, "channels"),
        "again": (8, "inputs"),
        # Five samples differ in four directions.
        "pool": (4, "samples"),
    }
    for row in found.rows:
        assert row.effective_rank is not None
        assert row.possible_rank is not None
        assert 0 < row.effective_rank <= row.possible_rank


def test_few_positions_limit_a_rank() -> None:
    found = run(expanding_net(), 3, 5, 5, count=2, positions=3)
    assert (found.of("relu").possible_rank, found.of("relu").rank_limit) == (5, "positions")
    assert (found.of("x").possible_rank, found.of("x").rank_limit) == (3, "channels")
