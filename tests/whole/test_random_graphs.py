"""Random graphs against plain ONNX Runtime and SPEC's formulas; and the oracle sees what is wrong.

``tools/random_graphs.py`` runs more of them, and shrinks one that finds something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import micam_fast
from micam_fast.analyses.features.receptive_fields import Field, LayerField
from tests.helpers.random_checks import check
from tests.helpers.random_graphs import Drawn, Layer, Simpler, draw
from tests.helpers.random_graphs.drawing import newest_opset
from tests.helpers.random_runs import Seed, Tally, run_seeds
from tests.helpers.random_shrinking import describe

ANY_WEIGHTS, POSITIVE_WEIGHTS = 450, 100
SEEDS = [
    *(Seed(number) for number in range(ANY_WEIGHTS)),
    *(Seed(number, positive=True) for number in range(POSITIVE_WEIGHTS)),
]
MOST_REFUSED = 10

OPERATORS = {
    "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Constant", "Conv",
    "ConvTranspose", "Div", "Dropout", "Expand", "Flatten", "Gather", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "GroupNormalization", "Identity", "InstanceNormalization",
    "LayerNormalization", "MatMul", "MaxPool", "Mul", "PRelu", "Pad", "ReduceMean", "Relu",
    "Reshape", "Resize", "Shape", "Sigmoid", "Slice", "Softmax", "Squeeze", "Sub", "Transpose",
    "Unsqueeze", "Upsample",
}  # fmt: skip


class _Report:
    """Shows the figures at the end of the test run."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(str(self._tally))


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Tally:
    """What became of all graphs."""
    found = Tally()
    for answer in run_seeds(SEEDS):
        found.add(answer)
    request.config.pluginmanager.register(_Report(found), "report of random graphs")
    return found


@pytest.mark.slow
def test_random_graphs_come_out_as_spec_says(tally: Tally) -> None:
    assert tally.count == len(SEEDS) >= 500
    if tally.wrong:
        pytest.fail("\n".join(map(str, tally.wrong)), pytrace=False)


@pytest.mark.slow
def test_nearly_all_random_graphs_prove_something(tally: Tally) -> None:
    assert len(tally.refused) <= MOST_REFUSED, "\n".join(map(str, tally.refused))


# --- What is drawn ---------------------------------------------------------------------------


def test_graphs_hold_what_files_hold() -> None:
    drawn = [draw(number) for number in range(ANY_WEIGHTS)]
    models = [each.model for each in drawn]
    operators = {node.op_type for model in models for node in model.graph.node}
    assert operators >= OPERATORS
    opsets = {model.opset_import[0].version for model in models}
    assert {8, newest_opset()} <= opsets
    ranks = {len(each.input_shape) for each in drawn}
    assert ranks == {2, 3, 4}
    assert {each.batch for each in drawn} > {1}
    assert {each.memory is None for each in drawn} == {True, False}
    assert {model.ir_version < 4 for model in models} == {True, False}
    assert {len(model.graph.output) for model in models} == {1, 2}
    squares = [each for each in drawn if len(set(each.input_shape)) == 1]
    assert len(squares) > ANY_WEIGHTS / 20


def test_a_seed_gives_the_same_graph_each_time() -> None:
    for number in range(20):
        first, second = (draw(number).model.SerializeToString(deterministic=True) for _ in "ab")
        assert first == second


def test_a_graph_with_less_in_it_is_described() -> None:
    drawn = draw(3, simpler=Simpler(skipped=frozenset(range(40)), whole=True))
    text = describe(drawn)
    assert text.splitlines()[0].startswith("opset ")
    assert "Conv(" in text
    assert len(drawn.model.graph.node) < len(draw(3).model.graph.node)


# --- The oracle sees what is wrong -----------------------------------------------------------


def _lies(drawn: Drawn, change: Callable[[Layer], Layer | None]) -> Iterator[Drawn]:
    """The graph with another truth of one of its layers, for each that has it."""
    for name, layer in drawn.layers.items():
        changed = change(layer) if layer.sure and layer.node >= 0 else None
        if changed is not None:
            yield replace(drawn, layers={**drawn.layers, name: changed})


def _other_axis(layer: Layer) -> Layer | None:
    if layer.flat or layer.value.channel is None or layer.convolution is not None:
        return None
    other = 1 if layer.value.channel != 1 else layer.value.rank - 1
    return replace(layer, value=replace(layer.value, channel=other))


def _no_kernel(layer: Layer) -> Layer | None:
    return None if layer.convolution is None else replace(layer, convolution=None)


def _no_bias(layer: Layer) -> Layer | None:
    found = layer.convolution
    if found is None or found.bias is None:
        return None
    return replace(layer, convolution=replace(found, bias=None))


def _later_pads(layer: Layer) -> Layer | None:
    found = layer.convolution
    if found is None or min(layer.value.space) < 3:
        return None
    begins = tuple(begin + 1 for begin in found.begins)
    return replace(layer, convolution=replace(found, begins=begins))


def _flat(layer: Layer) -> Layer | None:
    spatial = not layer.flat and layer.value.channel is not None and min(layer.value.space) > 2
    return replace(layer, flat=True) if spatial else None


@pytest.mark.parametrize("change", [_other_axis, _no_kernel, _no_bias, _later_pads, _flat])
def test_a_layer_that_is_not_as_the_truth_says_is_found(
    change: Callable[[Layer], Layer | None],
) -> None:
    found = tried = 0
    for number in range(12):
        for lying in _lies(draw(number), change):
            tried += 1
            found += any(each.part in ("map", "stats") for each in check(lying))
            break
    assert tried >= 5
    # Where the two are the same by chance (all sizes 1, a bias of zeros) nothing is to be seen.
    assert found >= 0.7 * tried


def test_a_missing_layer_is_found() -> None:
    drawn = draw(1)
    fewer = dict(list(drawn.layers.items())[:-1])
    assert "layers" in {each.part for each in check(replace(drawn, layers=fewer))}


def test_numbers_of_another_model_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    load = micam_fast.load_model
    monkeypatch.setattr(
        micam_fast, "load_model", lambda model, **given: load(_louder(model), **given)
    )
    parts = {each.part for number in range(3) for each in check(draw(number))}
    assert parts >= {"map", "output", "stats"}


def _louder(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with all of its numbers a hundredth larger."""
    louder = onnx.ModelProto()
    louder.CopyFrom(model)
    for tensor in louder.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(array * np.float32(1.01), tensor.name))
    return louder


@pytest.mark.parametrize("too_wide", [False, True])
def test_receptive_fields_of_another_size_are_found(
    monkeypatch: pytest.MonkeyPatch, too_wide: bool
) -> None:
    cell = LayerField.cell

    def other(layer: LayerField, row: int, column: int) -> Field:
        found = cell(layer, row, column)
        rows = np.ones_like(found.rows) if too_wide else np.zeros_like(found.rows)
        return replace(found, rows=rows)

    monkeypatch.setattr(LayerField, "cell", other)
    parts = {each.part for number in range(6) for each in check(draw(number, positive=too_wide))}
    assert "field" in parts


def test_a_model_that_cannot_be_opened_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: onnx.ModelProto, **given: object) -> micam_fast.Model:
        raise micam_fast.ModelError("not this one")

    monkeypatch.setattr(micam_fast, "load_model", refuse)
    assert [str(each) for each in check(draw(1))] == ["run : ModelError: not this one"]


def test_what_onnx_runtime_does_not_run_proves_nothing() -> None:
    drawn = draw(1)
    broken = onnx.ModelProto()
    broken.CopyFrom(drawn.model)
    broken.graph.node[-1].op_type = "NoSuchOperator"
    with pytest.raises(Exception, match="NoSuchOperator"):
        check(replace(drawn, model=broken))
