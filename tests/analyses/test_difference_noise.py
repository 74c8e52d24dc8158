"""Signal-to-noise ratios and saturated values of a second model, against NumPy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from micam_fast import load_model
from micam_fast.analyses.differences import Noise, diff, match_layers, measure_noise
from micam_fast.analyses.differences.gates import as_record, judge
from micam_fast.core.errors import SampleError
from tests.helpers import models
from tests.helpers.clips import CLIPS, KERNEL, clip_net
from tests.helpers.differences import explanation_of
from tests.helpers.models import make_model, random_array
from tests.helpers.pictures import layer_map
from tests.helpers.plain_runtime import run
from tests.helpers.quantized_models import mobile_net, quantize, residual_net, samples


def rounded(scale: float = 0.02) -> onnx.ModelProto:
    """A model that rounds what it reads to codes, which hold at most 127 steps."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["r"]),
        helper.make_node("Sigmoid", ["r"], ["sigmoid"], name="sigmoid"),
        helper.make_node("QuantizeLinear", ["sigmoid", "t", "z"], ["q2"]),
        helper.make_node("DequantizeLinear", ["q2", "t", "z"], ["y"]),
    ]
    constants = {"s": np.float32(scale), "t": np.float32(0.005), "z": np.int8(0)}
    return make_model(nodes, {"x": ["N", 1, 8, 8]}, ["y"], constants)


def plain() -> onnx.ModelProto:
    node = helper.make_node("Sigmoid", ["x"], ["y"], name="sigmoid")
    return make_model([node], {"x": ["N", 1, 8, 8]}, ["y"], {})


def in_frames(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model on the frames of a clip, which are folded into its batch axis."""
    fold = helper.make_node("Reshape", ["clip", "folded"], ["x"], name="fold")
    pool = helper.make_node("GlobalAveragePool", ["y"], ["p"], name="pool")
    mean = helper.make_node("ReduceMean", ["p"], ["out"], name="mean", axes=[0])
    constants = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
    folded = np.array([-1, 1, 8, 8])
    return make_model(
        [fold, *proto.graph.node, pool, mean],
        {"clip": [1, "T", 1, 8, 8]},
        ["out"],
        constants | {"folded": folded},
    )


class TestNumbers:
    """What is measured of one layer."""

    @pytest.mark.parametrize(
        ("signal", "error", "relative", "decibels"),
        [
            (100.0, 1.0, 0.1, 20.0), (4.0, 4.0, 1.0, 0.0), (1.0, 0.0, 0.0, math.inf),
            (0.0, 1.0, math.inf, -math.inf), (0.0, 0.0, 0.0, math.inf),
            (math.nan, math.nan, math.nan, math.nan),
        ],
    )  # fmt: skip
    def test_ratios(self, signal: float, error: float, relative: float, decibels: float) -> None:
        found = Noise(signal, error)
        assert found.relative_error == pytest.approx(relative, nan_ok=True)
        assert found.snr_db == pytest.approx(decibels, nan_ok=True)

    def test_sums_are_over_all_values_of_all_samples(self) -> None:
        some = random_array(1, 3, 1, 8, 8, spread=2.0)
        a, b = load_model(plain()), load_model(rounded())
        found = measure_noise(a, b, [(each, each) for each in some], {"sigmoid": "sigmoid"})
        real = 1 / (1 + np.exp(-some.astype(np.float64)))
        session = onnxruntime.InferenceSession(rounded().SerializeToString())
        made = session.run(None, {"x": some})[0].astype(np.float64)
        (noise,) = found.values()
        expected = 10 * math.log10((real**2).sum() / ((made - real) ** 2).sum())
        assert noise.snr_db == pytest.approx(expected, abs=1e-3)
        at_limit = np.isclose(made, 127 * 0.005)
        assert noise.saturated == (at_limit & (np.abs(made - real) > 0.0025)).mean()
        assert noise.saturated is not None
        assert noise.saturated > 0.1

    def test_a_limit_that_cuts_off_nothing_is_not_saturated(self, tmp_path: Path) -> None:
        """The zeros of a Relu are the least code."""
        a, b = load_model(residual_net()), load_model(quantize(residual_net(), tmp_path, "QDQ"))
        pairs = match_layers(a.layers, b.layers).pairs
        sample = samples(1)[0]
        noise = measure_noise(a, b, [(sample, sample)], pairs)["r0_node"]

        def zeros(index: int, slot: int, found: Any) -> float:
            return float((next(found).values == 0).mean())

        (share,) = a.activations([sample], zeros, layers="r0_node")
        assert isinstance(share, float)
        assert share > 0.3
        assert noise.saturated is not None
        assert noise.saturated < 0.02

    def test_values_that_are_not_finite_have_no_ratio(self) -> None:
        sample = random_array(1, 1, 8, 8)
        sample[0, 2, 2] = np.nan
        model = load_model(plain())
        found = measure_noise(model, model, [(sample, sample)], {"x": "x", "sigmoid": "sigmoid"})
        assert all(math.isnan(each.snr_db) for each in found.values())

    def test_samples_that_fail_do_not_count(self) -> None:
        model, sample = load_model(plain()), random_array(1, 1, 8, 8)
        given: list[Any] = [
            (SampleError("gone"), sample),
            (sample, sample),
            (sample, sample[:, 1:]),
        ]
        (noise,) = measure_noise(model, model, given, {"x": "x"}).values()
        assert noise.signal == pytest.approx((sample.astype(np.float64) ** 2).sum())

    def test_a_frame_s_values_alone_count(self) -> None:
        def values(proto: onnx.ModelProto, name: str) -> models.Array:
            found = np.concatenate([run(proto, {"x": clip[None]}, name)[0][2:3] for clip in CLIPS])
            return found.astype(np.float64)

        one, other = clip_net(), clip_net()
        for tensor in other.graph.initializer:
            if tensor.name == "k":
                tensor.CopyFrom(numpy_helper.from_array(np.round(KERNEL * 4) / 4, "k"))
        given = [(clip, clip) for clip in CLIPS]
        names = {name: name for name in ("x", "fold", "conv", "norm", "relu", "pool", "y")}
        a, b = load_model(one), load_model(other)
        found = measure_noise(a, b, given, names, frame=2)
        for name in ("conv", "norm", "relu", "pool"):
            real, made = values(one, name), values(other, name)
            assert found[name].signal == pytest.approx((real**2).sum(), rel=1e-4)
            assert found[name].error == pytest.approx(((made - real) ** 2).sum(), rel=1e-4)
        assert found["conv"].added == pytest.approx(found["conv"].relative_error, rel=1e-4)
        assert found["norm"].added < 1e-4
        # A layer without frames counts whole.
        assert found["y"] == measure_noise(a, b, given, names)["y"]
        assert measure_noise(a, b, given, names, frame=5) == {}

    def test_a_frame_s_saturated_values_alone_count(self) -> None:
        clip = np.zeros((3, 1, 8, 8), np.float32)
        clip[1] = 1.0
        a, b = (load_model(in_frames(proto)) for proto in (plain(), rounded()))
        pairs = {"sigmoid": "sigmoid"}
        shares = [
            measure_noise(a, b, [(clip, clip)], pairs, frame=n)["sigmoid"].saturated
            for n in range(3)
        ]
        assert shares == [0, 1, 0]

    def test_a_layer_that_shows_its_function_s_numbers_has_none(self) -> None:
        """ONNX Runtime never computes what a quantized model's Relu would read."""
        nodes = [
            models.conv_node("conv", "x", "w"),
            helper.make_node("Relu", ["conv:0"], ["relu:0"], name="relu"),
        ]
        constants = {"w": random_array(1, 2, 1, 3, 3), "s": np.float32(0.02), "z": np.uint8(0)}
        pair = [
            helper.make_node("QuantizeLinear", ["relu:0", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        ]
        inputs: dict[str, list[Any]] = {"x": ["N", 1, 8, 6]}
        a = load_model(make_model(nodes, inputs, ["relu:0"], {"w": constants["w"]}))
        b = load_model(make_model([*nodes, *pair], inputs, ["y"], constants))
        assert b.graph.taps["conv"].value == b.graph.taps["relu"].value
        sample = random_array(1, 1, 8, 6)
        pairs = match_layers(a.layers, b.layers).pairs
        assert list(pairs) == ["x", "conv", "relu"]
        assert list(measure_noise(a, b, [(sample, sample)], pairs)) == ["x", "relu"]
        assert list(measure_noise(b, b, [(sample, sample)], pairs)) == ["x", "conv", "relu"]

    def test_noise_that_is_handed_on_is_not_the_layer_s_own(self) -> None:
        """Both convolutions have other kernels in B; the pools and the sum make nothing of that."""
        first, second = random_array(1, 4, 1, 3, 3), random_array(2, 4, 4, 3, 3)
        other = first + random_array(3, 4, 1, 3, 3, spread=0.1), second * np.float32(1.25)

        def net(one: Any, two: Any) -> Any:
            nodes = [
                models.conv_node("c", "x", "w", pads=[1] * 4),
                helper.make_node("Relu", ["c:0"], ["r:0"], name="r"),
                models.conv_node("d", "r:0", "v", pads=[1] * 4),
                helper.make_node("Add", ["d:0", "r:0"], ["a:0"], name="a"),
                helper.make_node("GlobalAveragePool", ["a:0"], ["y"], name="g"),
            ]
            return load_model(make_model(nodes, {"x": ["N", 1, 8, 6]}, ["y"], {"w": one, "v": two}))

        a, b = net(first, second), net(*other)
        sample = random_array(4, 1, 8, 6)
        pairs = {name: name for name in ("x", "c", "r", "d", "a", "g")}
        noise = measure_noise(a, b, [(sample, sample)], pairs)
        found = {name: each.added for name, each in noise.items()}
        none = pytest.approx(0, abs=1e-6)
        assert [found[name] for name in ("x", "r", "a", "g")] == [0, none, none, none]
        assert found["c"] == pytest.approx(noise["c"].relative_error, rel=1e-5)
        # What the second one reads is B's: a quarter of A's kernel makes a quarter more of it.
        whole = net(other[0], second)
        theirs = measure_noise(whole, b, [(sample, sample)], {"d": "d"})["d"]
        assert theirs.relative_error == pytest.approx(0.25, rel=1e-5)
        assert noise["d"].own == pytest.approx(theirs.error, rel=1e-4)
        assert noise["a"].relative_error > 0.1
        # What is not measured is computed with the next.
        del pairs["d"]
        sums = measure_noise(a, b, [(sample, sample)], pairs)
        assert sums["a"].own == pytest.approx(theirs.error, rel=1e-4)

    def test_what_cannot_be_computed_apart_is_not_known(self) -> None:
        """The second convolution reads a value of the first one that A alone has in this shape."""
        a, sample = load_model(models.conv_net()), random_array(1, 1, 8, 6)
        names = [layer.name for layer in a.layers][2:]
        noise = measure_noise(a, a, [(sample, sample)], {name: name for name in names})
        assert math.isnan(noise[names[0]].added)
        assert noise[names[0]].relative_error == 0
        assert noise[names[-1]].added == pytest.approx(0, abs=1e-6)

    def test_activations_of_other_shapes_have_none(self) -> None:
        model, sample = load_model(models.conv_net()), random_array(1, 1, 8, 6)
        pairs = {"x": "x", "conv": "pool"}
        assert list(measure_noise(model, model, [(sample, sample)], pairs)) == ["x"]


@pytest.mark.parametrize("net", [residual_net, mobile_net])
@pytest.mark.parametrize("way", ["QDQ", "QOperator", "dynamic"])
class TestQuantizedModels:
    """Every layer of a model that ONNX Runtime's tool quantized has its own of the float model."""

    def test_no_layer_is_lost_and_all_are_near(self, net: Any, way: str, tmp_path: Path) -> None:
        proto = net()
        a, b = load_model(proto), load_model(quantize(proto, tmp_path, way))
        matched = match_layers(a.layers, b.layers)
        assert set(matched.pairs.values()) == {each.name for each in b.layers}
        assert {*matched.pairs, *matched.within[0]} == {each.name for each in a.layers}
        sample = samples(1)[0]
        noise = measure_noise(a, b, [(sample, sample)], matched.pairs)
        found = diff(a.explain(sample), b.explain(sample), noise=noise)
        assert (found.only_a, found.only_b, found.mismatched, found.changed) == ([], [], {}, [])
        assert len(found.ranked) == len(b.layers)
        added = [each.added for each in found.ranked]
        assert added == sorted(added, reverse=True)
        assert min(each.snr_db for each in noise.values()) > 20
        # Maps of one recipe are as near.
        assert all(each.relative_l2 < 0.1 for each in found.compared)

    def test_structure_finds_what_names_find(self, net: Any, way: str, tmp_path: Path) -> None:
        proto = net()
        a, b = load_model(proto), load_model(quantize(proto, tmp_path, way))
        named = match_layers(a.layers, b.layers)
        assert match_layers(a.layers, b.layers, "structure") == named


class TestLimits:
    """``--fail-above`` and ``--json``."""

    @staticmethod
    def found() -> Any:
        names = ("good", "bad", "worse", "only")
        a = explanation_of({name: layer_map([[3, 4]]) for name in names})
        b = explanation_of(
            {name: layer_map([[3, v]]) for name, v in zip(names[:3], (4, 3, 2), strict=True)}
        )
        noise = {"good": Noise(100.0, 0.0), "bad": Noise(100.0, 1.0, 0.5), "worse": Noise(4.0, 1.0)}
        return diff(a, b, noise=noise)

    @pytest.mark.parametrize(
        ("metric", "limit", "layers"),
        [
            ("relative-l2", 0.3, ("worse",)), ("relative-l2", 0.1, ("worse", "bad")),
            ("relative-l2", 0.4, ()), ("relative-error", 0.1, ("worse",)),
            ("relative-error", 0.5, ()), ("noise-db", -30.0, ("worse", "bad")),
            ("noise-db", -20.0, ("worse",)), ("noise-db", 0.0, ()), ("saturated", 0.4, ("bad",)),
            ("saturated", 0.5, ()),
        ],
    )  # fmt: skip
    def test_layers_above(self, metric: str, limit: float, layers: tuple[str, ...]) -> None:
        (verdict,) = judge(self.found(), [(metric, limit)])
        assert verdict.layers == layers
        assert verdict.fails is bool(layers)

    @pytest.mark.parametrize(("limit", "fails"), [(0, True), (1, False)])
    def test_layers_that_are_not_compared(self, limit: float, fails: bool) -> None:
        (verdict,) = judge(self.found(), [("not-compared", limit)])
        assert (verdict.worst, verdict.fails, verdict.layers) == (1, fails, ("only",))

    def test_what_is_not_finite_is_above_every_limit(self) -> None:
        a = explanation_of({"one": layer_map([[3, 4]])})
        b = explanation_of({"one": layer_map([[3, np.nan]], bad_values=1)})
        found = diff(a, b, noise={"one": Noise(math.nan, math.nan)})
        for verdict in judge(found, [(name, 1e9) for name in ("relative-l2", "noise-db")]):
            assert verdict.fails
            assert str(verdict).endswith("1 above 1e+09, the worst one: not finite")

    def test_the_record_holds_all(self) -> None:
        found = self.found()
        record = as_record(found, judge(found, [("saturated", 0.4)]))
        assert [each["a"] for each in record["layers"]] == ["worse", "bad", "good", "only"]
        assert record["layers"][1]["snr_db"] == pytest.approx(20)
        assert record["layers"][2]["snr_db"] == "inf"
        assert record["layers"][3] | {"b": None, "relative_l2": None} == record["layers"][3]
        assert record["fails"] is True
        assert record["compared"] == 3
