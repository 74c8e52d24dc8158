"""The table of operators, against the definitions of ONNX and ONNX Runtime."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, get_args

import onnx
import pytest
from onnx import helper
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from micam_fast.models.onnx import open_model, read_layers
from micam_fast.models.onnx.dependence.layout import LAYOUT_RULES
from micam_fast.models.onnx.dependence.rules import RULES
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.invariance import CONDITIONS, find_invariance
from micam_fast.models.onnx.operator_row import (
    EVERY,
    MICROSOFT,
    ONNX_DOMAINS,
    SAFE,
    UNKNOWN,
    UNSAFE,
    Condition,
    CostRule,
    FieldRule,
    Operator,
)
from micam_fast.models.onnx.operators import OPERATORS, find_operator, onnx_opset
from tests.helpers.models import make_model, random_array, single_conv

SCHEMAS: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
for schema in (*onnx.defs.get_all_schemas_with_history(), *get_all_operator_schema()):
    SCHEMAS[schema.domain, schema.name].append(schema)


def label(row: Operator) -> str:
    return f"{row.domain}::{row.name}" if row.domain else row.name


each_row = pytest.mark.parametrize("row", OPERATORS, ids=label)


def test_each_operator_has_one_row() -> None:
    assert max(Counter((row.domain, row.name) for row in OPERATORS).values()) == 1
    assert {row.domain for row in OPERATORS} == {"", MICROSOFT}


@each_row
def test_an_operator_of_each_row_is_defined_in_its_opsets(row: Operator) -> None:
    schemas = SCHEMAS[row.domain, row.name]
    assert schemas, "neither ONNX nor ONNX Runtime has such an operator"
    # What ONNX Runtime makes of an operator works as that does.
    own = SCHEMAS["", row.name.removeprefix("QLinear")] if row.domain else schemas
    assert row.since is None or row.since in {each.since_version for each in own}
    newest = max(schemas, key=lambda each: each.since_version)
    assert row.until == (newest.since_version - 1 if newest.deprecated else None)


@each_row
def test_positions_are_inputs_of_the_operator(row: Operator) -> None:
    most = max((each.max_input for each in SCHEMAS[row.domain, row.name]), default=0)
    kernel = row.kernel
    places = {*row.codes, 0 if row.sizes is None else row.sizes}
    if row.cost in ("product", "quantized gemm"):
        places.update(row.factors)
    if row.settings != EVERY:
        places.update(row.settings)
    if kernel is not None:
        given = (kernel.place, kernel.bias, kernel.scale, kernel.zero, kernel.input_scale)
        places.update(place for place in given if place is not None)
    assert max(places) < max(most, 1)
    assert not {*row.codes} & {*row.settings}


@each_row
def test_what_a_row_says_fits_together(row: Operator) -> None:
    assert (row.cost in ("convolution", "recurrent")) <= (row.kernel is not None)
    assert (row.channels == "recurrent") == (row.cost == "recurrent")
    assert row.hands_on <= (row.role != "layer")
    assert (row.random == "always") <= (row.bits.batch is UNKNOWN)
    bits = row.bits
    assert bits.batch_if is None or bits.batch is SAFE
    assert bits.threads_if is None or bits.threads is SAFE
    # Threads are shared where the batch makes no difference, and nowhere else.
    assert bits.batch is SAFE or bits.threads is bits.batch


def test_each_rule_that_a_row_names_is_there_and_used() -> None:
    fields = {row.field for row in OPERATORS} - {None}
    assert fields == RULES.keys() | LAYOUT_RULES.keys() == {*get_args(FieldRule)}
    assert {row.cost for row in OPERATORS} - {None} == {*get_args(CostRule)}
    named = {each for row in OPERATORS for each in (row.bits.batch_if, row.bits.threads_if)}
    assert named - {None} == CONDITIONS.keys() == {*get_args(Condition)}


def test_an_operator_is_its_domain_and_its_name() -> None:
    for domain in ONNX_DOMAINS:
        assert find_operator(helper.make_node("Conv", [], [], domain=domain)).cost == "convolution"
    assert find_operator(helper.make_node("FusedConv", [], [], domain=MICROSOFT)).kernel
    for name, domain in (("Conv", "somebody"), ("FusedConv", ""), ("Relu", MICROSOFT)):
        assert find_operator(helper.make_node(name, [], [], domain=domain)) == Operator(
            "", channels="unknown"
        )


def test_a_convolution_of_somebody_else_is_a_layer_without_a_kernel() -> None:
    model = single_conv(random_array(1, 2, 1, 3, 3), ["N", 1, 4, 4])
    (known,) = read_layers(open_model(model)).layers[1:]
    model.graph.node[0].domain = "somebody"
    (unknown,) = read_layers(open_model(model)).layers[1:]
    assert (known.kernel_shape, unknown.kernel_shape) == ((2, 1, 3, 3), None)


@pytest.mark.parametrize(("domains", "opset"), [(["", "x"], 7), (["x", "ai.onnx"], 8), (["x"], 0)])
def test_the_opset_is_that_of_onnx(domains: list[str], opset: int) -> None:
    imports = [helper.make_opsetid(domain, 7 + at) for at, domain in enumerate(domains)]
    assert onnx_opset(onnx.ModelProto(opset_import=imports)) == opset


def test_what_nobody_measured_does_not_look_like_what_is_unsafe() -> None:
    bits = {row.name: row.bits for row in OPERATORS}
    assert (bits["Elu"].batch, bits["Tan"].batch) == (UNSAFE, UNKNOWN)
    for name, unknown in (("Elu", ()), ("Tan", ("Tan",)), ("Relu", ())):
        assert invariance_of(name).unknown == unknown
    assert invariance_of("Relu", "somebody").unknown == ("somebody::Relu",)


def invariance_of(name: str, domain: str = "") -> Any:
    """What is said of a model of one operator."""
    model = make_model([helper.make_node("Relu", ["x"], ["o"])], {"x": ["N", 3]}, ["o"])
    model.graph.node[0].op_type, model.graph.node[0].domain = name, domain
    return find_invariance(Graph(open_model(model)))
