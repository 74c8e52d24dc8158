"""The net: the first sample also runs through the file itself, and the outputs agree."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from micam_fast import Explanation, Model, load_model
from micam_fast.core.errors import ModelError, SampleError
from micam_fast.core.plan_cache import PlanFiles
from micam_fast.engine import loaded_model, untouched
from micam_fast.engine.observation import run_untouched
from micam_fast.engine.untouched import (
    Outcome,
    compare,
    decides,
    keep_outcome,
    load_outcome,
    outcome_key,
)
from micam_fast.models.onnx import open_model, opening
from micam_fast.models.onnx.graph import Graph
from micam_fast.models.onnx.quantization import write_pairs
from tests.helpers.chains import op
from tests.helpers.models import Array, conv_net, make_model, random_array
from tests.helpers.nets_under_rewriting import (
    SAMPLES,
    SHAPE,
    follow_wrongly,
    followed_net,
    merge_wrongly,
    opened_sessions,
    scaled_net,
)
from tests.helpers.plain_runtime import run
from tests.helpers.quantized_models import pairs_net, quantize, samples as quantized_samples

WRONG: dict[str, tuple[onnx.ModelProto, Callable[[pytest.MonkeyPatch], None]]] = {
    "merging": (scaled_net(), merge_wrongly),
    "followers": (followed_net(), follow_wrongly),
}


@pytest.fixture(autouse=True)
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "micam-fast" / "plans"


class Told:
    """A model, and what it says."""

    def __init__(self, source: onnx.ModelProto | Path, **given: Any) -> None:
        self.notes: list[str] = []
        self.model: Model = load_model(source, say=self.notes.append, **given)

    def explain(self, sample: Any = SAMPLES[0]) -> Explanation:
        return self.model.explain(sample)

    @property
    def verdicts(self) -> list[str]:
        return [each.verdict for each in self.model.outcomes.values()]


def assert_same_maps(found: Explanation, expected: Explanation) -> None:
    assert found.cams.keys() == expected.cams.keys()
    for name, cam in expected.cams.items():
        np.testing.assert_allclose(found.cams[name], cam, rtol=1e-4, atol=1e-4)
    assert found.output is not None
    assert expected.output is not None
    np.testing.assert_allclose(found.output, expected.output, rtol=1e-4, atol=1e-4)


def forget(patch: pytest.MonkeyPatch) -> None:
    """Let no outcome of the model before it was broken be found."""
    patch.setattr(loaded_model, "load_outcome", lambda files, key: None)


# --- Rewritings that are wrong ------------------------------------------------------------------


@pytest.mark.parametrize("name", WRONG)
def test_a_right_rewriting_stays(name: str) -> None:
    told = Told(WRONG[name][0])
    told.explain()
    assert (told.verdicts, told.notes) == (["agrees"], [])


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rewriting_is_dropped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proto, break_it = WRONG[name]
    expected = [load_model(proto).explain(sample) for sample in SAMPLES]
    forget(monkeypatch)
    break_it(monkeypatch)
    told = Told(proto)
    for sample, right in zip(SAMPLES, expected, strict=True):
        assert_same_maps(told.explain(sample), right)
    assert_same_maps(next(told.model.explain_many(SAMPLES)), expected[0])
    assert told.verdicts == ["rewriting dropped"]
    (note,) = told.notes
    output = proto.graph.output[0].name
    assert note.startswith("the model runs as it is, without what makes it faster: output ")
    assert f"{output!r} differs by " in note


def test_a_rewriting_that_onnx_runtime_refuses_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_model(scaled_net(), memory=10**9).explain(SAMPLES[0])

    def broken(proto: onnx.ModelProto, *_: Any) -> None:
        for node in proto.graph.node:
            if node.op_type == "Add":
                node.input[1] = "w"

    told = Told(scaled_net())
    forget(monkeypatch)
    # As if its session had not been opened yet.
    told.model.pipeline("published")._sessions.clear()
    # Without rewritings nothing is merged.
    monkeypatch.setattr(
        "micam_fast.engine.sessions.merge_scalings",
        lambda proto, scalings, constants: broken(proto) if scalings else None,
    )
    assert_same_maps(told.explain(), expected)
    assert told.verdicts == ["rewriting dropped"]
    assert "has other shapes or numbers that are not finite" in told.notes[0]


def test_what_differs_even_without_rewritings_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pairs are written when the file is read: only the file itself is without them."""

    def write_wrongly(model: Any) -> None:
        write_pairs(model)
        for tensor in model.proto.graph.initializer:
            if tensor.name.startswith("micam/") and tensor.name.endswith("/scale"):
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(3, np.float32), tensor.name))

    proto = pairs_net("none before pools")
    sample = quantized_samples()[0]
    told = Told(proto)
    told.explain(sample)
    assert (told.verdicts, told.notes) == (["agrees"], [])
    monkeypatch.setattr(opening, "write_pairs", write_wrongly)
    forget(monkeypatch)
    told = Told(proto)
    told.explain(sample)
    assert told.verdicts == ["differs"]
    assert told.notes[0].startswith("the model gives other numbers where its activations are given")


# --- Outcomes that are kept ---------------------------------------------------------------------


def test_a_kept_outcome_opens_no_second_session() -> None:
    counts = []
    for _ in range(3):
        with opened_sessions() as opened:
            Told(scaled_net()).explain()
        counts.append(len(opened))
    assert counts == [2, 1, 1]


def test_a_kept_outcome_drops_the_rewriting_again(monkeypatch: pytest.MonkeyPatch) -> None:
    merge_wrongly(monkeypatch)
    Told(scaled_net()).explain()
    with opened_sessions() as opened:
        told = Told(scaled_net())
        told.explain()
    assert len(opened) == 2
    assert told.verdicts == ["rewriting dropped"]
    assert len(told.notes) == 1


def test_an_outcome_that_is_put_there_opens_no_second_session(plans: Path) -> None:
    first = Told(scaled_net())
    first.explain()
    for path in plans.iterdir():
        path.unlink()
    with opened_sessions() as opened:
        told = Told(scaled_net())
        told.model.outcomes.update(first.model.outcomes)
        told.explain()
    assert len(opened) == 1


def test_other_weights_are_another_model() -> None:
    Told(scaled_net(seed=3)).explain()
    with opened_sessions() as opened:
        Told(scaled_net(seed=4)).explain()
    assert len(opened) == 2


def test_a_new_shape_is_compared_anew() -> None:
    told = Told(scaled_net("height", "width"))
    for size in ((6, 7), (9, 5), (6, 7)):
        told.explain(random_array(1, 3, *size))
    assert told.verdicts == ["agrees", "agrees"]


def test_slices_are_compared_apart() -> None:
    sample = random_array(1, 1, 8, 6)
    whole, cut = Told(conv_net()), Told(conv_net(), memory=400)
    assert_same_maps(cut.explain(sample), whole.explain(sample))
    assert cut.verdicts == ["agrees"]
    assert cut.model.outcomes.keys() != whole.model.outcomes.keys()
    # A bound under which nothing is cut changes nothing.
    wide = Told(conv_net(), memory=10**8)
    wide.explain(sample)
    assert wide.model.outcomes.keys() == whole.model.outcomes.keys()


@pytest.mark.parametrize(
    "content",
    [
        {"verdict": "surely", "difference": 0.0, "output": "", "reason": ""},
        {"verdict": "agrees"},
        ["agrees"],
        3,
        None,
    ],
)
def test_a_corrupt_outcome_is_no_outcome(content: Any, tmp_path: Path) -> None:
    files = PlanFiles(tmp_path)
    outcome = Outcome("agrees", 0.25, "out")
    keep_outcome(files, "key", outcome)
    assert load_outcome(files, "key") == outcome
    assert load_outcome(files, "other") is None
    (path,) = tmp_path.iterdir()
    files.keep(path.stem, content)
    assert load_outcome(files, "key") is None
    path.write_bytes(b"\0" * 9)
    assert load_outcome(files, "key") is None


def test_what_was_not_compared_is_not_kept(tmp_path: Path) -> None:
    keep_outcome(PlanFiles(tmp_path), "key", Outcome("not compared", None, "", "why"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("library", ["micam-fast", "onnx", "onnxruntime"])
def test_an_outcome_is_of_one_version(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = outcome_key("model", 3)
    assert before == outcome_key("model", 3) != outcome_key("model", 4)
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.0" if name == library else version(name)
    )
    untouched._versions.cache_clear()
    assert outcome_key("model", 3) != before
    monkeypatch.undo()
    untouched._versions.cache_clear()
    assert outcome_key("model", 3) == before


def test_an_outcome_is_plain_json() -> None:
    """No infinity, which JSON does not have."""
    said = json.dumps(Outcome("rewriting dropped", None, "out"), default=vars, allow_nan=False)
    assert json.loads(said)["difference"] is None


# --- What is not compared -----------------------------------------------------------------------


def random_net() -> onnx.ModelProto:
    noise = op("RandomNormalLike", "conv", "noise")
    nodes = [op("Conv", "x w", "conv"), noise, op("Add", "conv noise", "out")]
    return make_model(nodes, {"x": ["N", *SHAPE]}, ["out"], {"w": random_array(0, 2, 3, 1, 1)})


def test_random_numbers_are_not_compared_and_a_note_says_so() -> None:
    with opened_sessions() as opened:
        told = Told(random_net())
        for sample in SAMPLES:
            told.explain(sample)
    assert told.verdicts == ["not compared"]
    assert len(opened) == 1
    assert [note for note in told.notes if "not compared" in note] == [
        "the model's output is not compared with that of the file alone: it makes random numbers "
        "(RandomNormalLike)"
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sample_without_finite_numbers_proves_nothing(value: float, plans: Path) -> None:
    told = Told(scaled_net())
    told.explain(np.full(SHAPE, value, np.float32))
    assert told.verdicts == ["not compared"]
    assert "the first sample gives it no finite number" in told.notes[0]
    again = Told(scaled_net())
    again.explain()
    assert again.verdicts == ["agrees"]


def test_a_file_that_cannot_be_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ModelError("onnxruntime refuses model 'net'")

    monkeypatch.setattr(untouched, "run_untouched", refuse)
    told = Told(scaled_net())
    told.explain()
    assert told.verdicts == ["not compared"]
    assert "that cannot be run (onnxruntime refuses model 'net')" in told.notes[0]


def test_a_sample_that_cannot_be_run_has_no_outcome() -> None:
    told = Told(open_gemm())
    with pytest.raises(SampleError, match="onnxruntime cannot run"):
        told.explain(random_array(0, 1, 5, 5))
    assert (told.verdicts, told.notes) == ([], [])


def open_gemm() -> onnx.ModelProto:
    """`conv_net` of open height and width, though only 8 x 6 gets past its Gemm."""
    proto = conv_net()
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size{axis}"
    del proto.graph.value_info[:]
    return proto


# --- How much may differ ------------------------------------------------------------------------


def graph_of(proto: onnx.ModelProto) -> Graph:
    return Graph(open_model(proto))


def share(
    found: Array, wanted: Array, proto: onnx.ModelProto | None = None, literal: Array | None = None
) -> float:
    proto = scaled_net() if proto is None else proto
    name = proto.graph.output[0].name
    other = None if literal is None else {name: literal}
    return compare(graph_of(proto), {name: wanted}, [{name: found}], other)[0]


NUMBERS = np.array([[4, -10, 0.001, 7]], np.float32)


@pytest.mark.parametrize(("off", "expected"), [(0, 0), (5e-4, 0.5), (2e-3, 2)])
def test_float32(off: float, expected: float) -> None:
    found = NUMBERS + np.array([0, off, 0, 0], np.float32)
    assert share(found, NUMBERS) == pytest.approx(expected, abs=0.01)


def test_half_precision() -> None:
    nodes = [op("Conv", "x w", "conv"), op("Cast", "conv", "out", to=TensorProto.FLOAT)]
    constants = {"w": random_array(0, 2, 3, 1, 1).astype(np.float16)}
    half = make_model(nodes, {"x": ["N", *SHAPE]}, ["out"], constants, dtype=TensorProto.FLOAT16)
    found = NUMBERS + np.array([0, 0.1, 0, 0], np.float32)
    assert share(found, NUMBERS, half) == pytest.approx(0.5, abs=0.01)
    assert share(found, NUMBERS) == pytest.approx(100, abs=1)


def quantized_output(*behind: onnx.NodeProto) -> onnx.ModelProto:
    nodes = [
        op("Conv", "x w", "conv"),
        op("QuantizeLinear", "conv scale zero", "codes"),
        op("DequantizeLinear", "codes scale zero", "real"),
        *behind,
    ]
    constants = {
        "w": random_array(0, 2, 3, 1, 1), "scale": np.float32(0.5), "zero": np.uint8(128),
    }  # fmt: skip
    return make_model(nodes, {"x": ["N", *SHAPE]}, [nodes[-1].output[0]], constants)


@pytest.mark.parametrize("behind", [(), (op("Relu", "real", "relu"),)], ids=["real", "relu"])
def test_one_step_of_a_quantized_output(behind: tuple[onnx.NodeProto, ...]) -> None:
    proto = quantized_output(*behind)
    off = np.array([0.5, 0, 0, -0.5], np.float32)
    assert 0.99 < share(NUMBERS + off, NUMBERS, proto) <= 1
    assert share(NUMBERS + 2 * off, NUMBERS, proto) == pytest.approx(2, abs=0.01)


def test_one_step_of_codes_that_are_given_out() -> None:
    proto = quantized_output()
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("codes", TensorProto.UINT8, None))
    codes = np.array([[1, 255, 0]], np.uint8)
    assert share(np.array([[2, 254, 1]], np.uint8), codes, proto) == 1
    assert share(np.array([[3, 255, 0]], np.uint8), codes, proto) == 2
    # Of a model that makes none they are whole numbers like others.
    assert share(np.array([[2, 254, 1]], np.uint8), codes) == np.inf


def test_whole_numbers_and_truths_are_equal() -> None:
    for wanted in (np.array([3, 9]), np.array([True, False])):
        assert share(wanted.copy(), wanted) == 0
        assert share(wanted[::-1], wanted) == np.inf


def test_other_shapes_types_or_none() -> None:
    assert share(NUMBERS[:, :3], NUMBERS) == np.inf
    assert share(NUMBERS.astype(np.float64), NUMBERS) == np.inf
    assert compare(graph_of(scaled_net()), {"out": NUMBERS}, [{}]) == (np.inf, "out")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite(value: float) -> None:
    """The file's own tells nothing; one that the graph alone makes does."""
    odd = np.where(NUMBERS == -10, np.float32(value), NUMBERS)
    assert share(odd, odd) == 0
    assert share(NUMBERS, odd) == 0
    assert share(odd, NUMBERS) == np.inf
    assert not decides(np.full_like(NUMBERS, value), None)
    assert decides(odd, None)


def test_the_output_that_differs_most_is_named() -> None:
    wanted = {"a": NUMBERS, "b": NUMBERS, "c": NUMBERS}
    found = {"a": NUMBERS, "b": NUMBERS + np.float32(0.5), "c": NUMBERS + np.float32(0.1)}
    worst, where = compare(graph_of(scaled_net()), wanted, [wanted, found])
    assert where == "b"
    assert worst == pytest.approx(500, rel=1e-3)


# --- What ONNX Runtime's own optimizations change -----------------------------------------------


def test_tails_of_a_sigmoid_are_no_finding() -> None:
    """A detector that sees nothing: its largest number is a few units of a sigmoid's last bit."""
    unit = np.float32(2**-24)
    wanted, literal, found = (
        unit * np.array(each, np.float32) for each in ([3, 2, 1, 0], [2, 2, 1, 0], [3, 2, 1, 3])
    )
    assert share(found, wanted) > 1000
    assert not decides(wanted, literal)
    assert share(found, wanted, literal=wanted) > 1000


def test_twice_what_optimizations_change_is_allowed() -> None:
    literal = NUMBERS + np.array([0, 0, 0.1, 0], np.float32)
    found = NUMBERS - np.array([0.15, 0, 0, 0], np.float32)
    assert share(found, NUMBERS) == pytest.approx(150, rel=0.01)
    assert decides(NUMBERS, literal)
    assert share(found, NUMBERS, literal=literal) == pytest.approx(0.75, rel=0.01)


def test_an_output_that_optimizations_change_decides_nothing() -> None:
    graph, whole = graph_of(scaled_net()), np.array([3, 9])
    wanted, literal = {"a": whole, "b": NUMBERS}, {"a": whole[::-1], "b": NUMBERS}
    assert compare(graph, wanted, [{"a": whole + 1, "b": NUMBERS}], literal) == (0, "b")
    assert compare(graph, wanted, [{"a": whole, "b": NUMBERS + 1}], literal)[0] > 1
    assert not decides(NUMBERS, NUMBERS[:, :2])


def test_the_runtime_without_optimizations_is_asked_only_if_outputs_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    def counted(*given: Any, literal: bool = False) -> dict[str, Array]:
        asked.append(literal)
        return run_untouched(*given, literal=literal)

    monkeypatch.setattr(untouched, "run_untouched", counted)
    Told(scaled_net(seed=8)).explain()
    assert asked == [False]
    merge_wrongly(monkeypatch)
    Told(scaled_net(seed=9)).explain()
    assert asked == [False, False, True]


def test_nothing_is_concluded_where_optimizations_change_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    def reshaped(*given: Any, literal: bool = False) -> dict[str, Array]:
        found = run_untouched(*given, literal=literal)
        return {name: array[:, :1] for name, array in found.items()} if literal else found

    monkeypatch.setattr(untouched, "run_untouched", reshaped)
    merge_wrongly(monkeypatch)
    told = Told(scaled_net())
    told.explain()
    assert told.verdicts == ["not compared"]
    assert "ONNX Runtime's own optimizations make another output, too" in told.notes[0]


# --- Files that are rewritten when they are read ------------------------------------------------


@pytest.mark.parametrize("way", ["QDQ", "QOperator", "dynamic"])
def test_quantized_files_agree(way: str, tmp_path: Path) -> None:
    real = make_model(
        [
            op("Conv", "x w", "conv", pads=[1] * 4),
            op("Relu", "conv", "relu"),
            op("MaxPool", "relu", "pool", kernel_shape=[2, 2], strides=[2, 2]),
            op("Conv", "pool v", "second"),
            op("GlobalAveragePool", "second", "mean"),
            op("Flatten", "mean", "flat"),
        ],
        {"x": ["N", 3, 16, 16]},
        ["flat"],
        {"w": random_array(0, 16, 3, 3, 3), "v": random_array(1, 8, 16, 3, 3, spread=0.1)},
    )
    proto = quantize(real, tmp_path, way)
    told = Told(proto)
    found = told.explain(quantized_samples()[0])
    assert (told.verdicts, told.notes) == (["agrees"], [])
    (plain,) = run(proto, {"x": quantized_samples()[:1]}, "flat", optimized=True)
    assert found.output is not None
    np.testing.assert_allclose(found.output, plain[0], atol=np.ptp(plain) / 100)
