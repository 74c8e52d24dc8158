"""What a run of the file itself tells: shapes, and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from micam_fast import load_model
from micam_fast.core.errors import ModelError, SampleError
from micam_fast.engine import sessions
from micam_fast.engine.observation import observe_shapes, run_untouched
from micam_fast.engine.onnx_runtime import DEFAULT_PROVIDERS, open_session
from micam_fast.models.onnx import open_model
from tests.helpers.chains import op
from tests.helpers.models import Array, make_model, random_array
from tests.helpers.nets_under_rewriting import scaled_net
from tests.helpers.plain_runtime import run
from tests.helpers.quantized_models import pairs_net, samples

X = random_array(1, 1, 3, 6, 7)


def shapes(proto: onnx.ModelProto, *names: str, x: Array = X) -> dict[str, tuple[int, ...]]:
    return observe_shapes(open_model(proto), names, {"x": x}, DEFAULT_PROVIDERS)


def test_shapes_of_a_run() -> None:
    found = shapes(scaled_net("h", "w"), "conv", "sum", "pool")
    assert found == {"conv": (1, 5, 6, 7), "sum": (1, 5, 6, 7), "pool": (1, 5, 1, 1)}


def test_a_shape_that_depends_on_the_numbers() -> None:
    nodes = [op("NonZero", "x", "places"), op("Cast", "places", "out", to=1)]
    proto = make_model(nodes, {"x": ["N", 3, 6, 7]}, ["out"])
    x = np.zeros_like(X)
    x[0, 1, 2, :4] = 1
    assert shapes(proto, "out", x=x) == {"out": (4, 4)}


def test_a_shape_is_not_believed_but_observed() -> None:
    """A file may declare anything."""
    proto = scaled_net()
    lie = helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, ["N", 5, 60, 70])
    proto.graph.value_info.append(lie)
    assert shapes(proto, "sum") == {"sum": (1, 5, 6, 7)}


def test_what_has_no_shape() -> None:
    nodes = [op("SequenceConstruct", "x x", "list"), op("SequenceAt", "list at", "out")]
    proto = make_model(nodes, {"x": ["N", 3, 6, 7]}, ["out"], {"at": np.array(0)})
    assert shapes(proto, "list", "out") == {}
    assert shapes(proto, "out") == {"out": X.shape}


def test_a_sample_that_cannot_be_run() -> None:
    with pytest.raises(SampleError, match="onnxruntime cannot run x"):
        shapes(scaled_net("h", "w"), "sum", x=np.zeros((1, 2, 6, 7), np.float32))


@pytest.mark.parametrize("literal", [False, True])
def test_outputs_of_the_file(literal: bool) -> None:
    proto = pairs_net("none before pools")
    name = proto.graph.output[0].name
    x = samples()[:1]
    found = run_untouched(open_model(proto), [name], {"x": x}, DEFAULT_PROVIDERS, literal=literal)
    (wanted,) = run(proto, {"x": x}, name, optimized=not literal)
    np.testing.assert_array_equal(found[name], wanted)


def test_outputs_of_the_file_need_no_memory_of_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the outputs is given out, and ONNX Runtime holds on to nothing."""
    opened: list[tuple[list[str], Any]] = []

    def spy(proto: onnx.ModelProto, **given: Any) -> Any:
        opened.append(([each.name for each in proto.graph.output], given["keep_memory"]))
        return open_session(proto, **given)

    monkeypatch.setattr(sessions, "open_session", spy)
    run_untouched(open_model(scaled_net()), ["out"], {"x": X}, DEFAULT_PROVIDERS)
    assert opened == [(["out"], False)]


def test_a_bound_on_memory_is_no_bound_for_the_file() -> None:
    """However little activations may take, the first sample is compared."""
    model = load_model(scaled_net(), memory=1)
    model.explain(X[0])
    assert [each.verdict for each in model.outcomes.values()] == ["agrees"]


def test_a_file_that_onnx_runtime_refuses() -> None:
    proto = make_model([op("Relu", "x", "out")], {"x": ["N", 3]}, ["out"])
    proto.graph.node[0].domain = "nobody"
    proto.opset_import.add(domain="nobody", version=1)
    with pytest.raises(ModelError, match="onnxruntime refuses model 'net'"):
        run_untouched(open_model(proto), ["out"], {"x": X[:, :, 0, 0]}, DEFAULT_PROVIDERS)
