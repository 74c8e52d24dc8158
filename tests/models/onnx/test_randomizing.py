"""Weights by layer, and models with random numbers in their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from micam_fast import demo
from micam_fast.models.onnx import OnnxFile, open_model, read_layers
from micam_fast.models.onnx.constants import Constants
from micam_fast.models.onnx.randomizing import find_weights, randomize_weights
from tests.helpers.models import (
    Array,
    conv_net,
    conv_node,
    if_branches,
    make_model,
    random_array,
    two_input_net,
)
from tests.helpers.places import DATA
from tests.helpers.weights import found_in, tensors_of


def values(file: OnnxFile, name: str) -> Array:
    return Constants(file).array(name)


def run(file: OnnxFile, array: Array) -> Array:
    session = onnxruntime.InferenceSession(
        file.proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = session.run(None, {session.get_inputs()[0].name: array})[0]
    return np.asarray(found)


class TestWeightsOfLayers:
    """Which tensors belong to which layer."""

    def test_a_plain_network(self) -> None:
        found = found_in(conv_net())
        assert {name: set(each.tensors) for name, each in found.items()} == {
            "x": set(),
            "conv": {"w", "b"},
            "relu": set(),
            "pool": set(),
            "flatten": set(),
            "dense": {"dw", "db"},
            "softmax": set(),
        }
        assert [set(each.reads) for each in found.values()] == [
            set(), {"x"}, {"conv"}, {"relu"}, {"pool"}, {"flatten"}, {"dense"},
        ]  # fmt: skip

    def test_branches(self) -> None:
        found = found_in(two_input_net())
        assert found["add"].reads == {"conv_image", "conv_depth"}
        assert tensors_of(two_input_net()) == {"conv_image": {"w1"}, "conv_depth": {"w2"}}

    def test_a_batch_normalization_has_all_four(self) -> None:
        nodes = [
            conv_node("conv", "x", "w"),
            helper.make_node(
                "BatchNormalization", ["conv:0", "g", "b", "m", "v"], ["bn:0"], name="bn"
            ),
        ]
        constants = {"w": random_array(1, 3, 1, 3, 3)}
        constants |= {name: np.abs(random_array(2, 3)) + 1 for name in "gbmv"}
        model = make_model(nodes, {"x": [1, 1, 8, 6]}, ["bn:0"], constants)
        assert tensors_of(model) == {"conv": {"w"}, "bn": {"g", "b", "m", "v"}}

    def test_a_bias_behind_the_convolution(self) -> None:
        nodes = [
            conv_node("conv", "x", "w"),
            helper.make_node("Add", ["conv:0", "b"], ["sum"], name="add"),
            helper.make_node("Relu", ["sum"], ["relu:0"], name="relu"),
        ]
        constants = {"w": random_array(1, 3, 1, 3, 3), "b": random_array(2, 1, 3, 1, 1)}
        model = make_model(nodes, {"x": [1, 1, 8, 6]}, ["relu:0"], constants)
        assert tensors_of(model) == {"conv": {"w", "b"}}

    def test_shared_weights_belong_to_both(self) -> None:
        nodes = [
            conv_node("first", "x", "w", pads=[1, 1, 1, 1]),
            conv_node("second", "first:0", "w", pads=[1, 1, 1, 1]),
        ]
        model = make_model(
            nodes, {"x": [1, 1, 8, 6]}, ["second:0"], {"w": random_array(1, 1, 1, 3, 3)}
        )
        assert tensors_of(model) == {"first": {"w"}, "second": {"w"}}

    def test_constant_nodes_and_what_is_computed_of_them(self) -> None:
        kernel = numpy_helper.from_array(random_array(1, 3, 3, 1, 2))
        nodes = [
            helper.make_node("Constant", [], ["k"], value=kernel),
            helper.make_node("Transpose", ["k"], ["w"], perm=[3, 2, 0, 1]),
            helper.make_node("Identity", ["held"], ["b"]),
            conv_node("conv", "x", "w", "b"),
        ]
        model = make_model(nodes, {"x": [1, 1, 8, 6]}, ["conv:0"], {"held": random_array(2, 2)})
        assert tensors_of(model) == {"conv": {"k", "held"}}

    def test_settings_sizes_and_single_numbers_are_no_weights(self) -> None:
        nodes = [
            helper.make_node("Mul", ["x", "factor"], ["scaled:0"], name="scale"),
            helper.make_node("Resize", ["scaled:0", "", "scales"], ["big:0"], name="resize"),
            helper.make_node("Clip", ["big:0", "low", "high"], ["clip:0"], name="clip"),
            helper.make_node("Reshape", ["clip:0", "shape"], ["flat"]),
            helper.make_node("Relu", ["flat"], ["relu:0"], name="relu"),
        ]
        constants = {
            "factor": np.float32(0.5),
            "scales": np.array([1, 1, 2, 2], np.float32),
            "low": np.float32(0),
            "high": np.float32(6),
            "shape": np.array([1, -1]),
        }
        model = make_model(nodes, {"x": [1, 1, 8, 6]}, ["relu:0"], constants)
        assert tensors_of(model) == {}

    def test_quantized_weights_without_their_units(self) -> None:
        nodes = [
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0),
            conv_node("conv", "x", "w"),
        ]
        constants = {
            "q": np.arange(-9, 9, dtype=np.int8).reshape(2, 1, 3, 3),
            "s": np.array([0.5, 0.25], np.float32),
            "z": np.zeros(2, np.int8),
        }
        model = make_model(nodes, {"x": [1, 1, 8, 6]}, ["conv:0"], constants)
        assert tensors_of(model) == {"conv": {"q"}}

    def test_what_a_subgraph_reads_and_holds(self) -> None:
        branches = if_branches("y")
        add = helper.make_node("Add", ["y", "inner"], ["Neg_out"])
        branches["then_branch"] = helper.make_graph(
            [add],
            "then",
            [],
            [helper.make_tensor_value_info("Neg_out", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(random_array(1, 6), "inner")],
        )
        branches["else_branch"].node[0].op_type = "Sub"
        branches["else_branch"].node[0].input.append("outer")
        nodes = [
            helper.make_node("Relu", ["x"], ["y"], name="relu"),
            helper.make_node("If", ["yes"], ["if:0"], name="if", **branches),
        ]
        constants = {"yes": np.array(True), "outer": random_array(2, 6)}
        model = make_model(nodes, {"x": [1, 1, 8, 6]}, ["if:0"], constants)
        assert tensors_of(model) == {"if": {"if:0/then/inner", "outer"}}
        file = open_model(model)
        changed = randomize_weights(file, {"if:0/then/inner"}, [0])
        (inner,) = (t for a in changed.proto.graph.node[1].attribute for t in a.g.initializer)
        assert not np.array_equal(numpy_helper.to_array(inner), random_array(1, 6))

    def test_an_exported_keras_model(self) -> None:
        found = tensors_of(DATA / "ref_residual.onnx")
        assert len(found) == 8
        # None is left to no layer.
        proto = onnx.load(DATA / "ref_residual.onnx")
        held = {t.name for t in proto.graph.initializer if t.data_type == 1 and np.prod(t.dims) > 1}
        assert set().union(*found.values()) == held


class TestRandomNumbers:
    """What is drawn in the place of weights."""

    def test_both_signs_are_drawn_anew_in_their_scale(self) -> None:
        file = open_model(demo.MODEL)
        changed = randomize_weights(file, {"dense_1.weight"}, [3])
        old, new = (values(each, "dense_1.weight") for each in (file, changed))
        assert new.dtype == np.float32
        assert new.shape == old.shape
        size = np.sqrt(np.mean(np.square(old, dtype=np.float64)))
        count = np.sqrt(old.size)
        assert abs(new.mean(dtype=np.float64)) < 4 * size / count
        assert new.std(dtype=np.float64) == pytest.approx(size, rel=4 / count)
        # Nothing of the old arrangement is left.
        assert abs(np.corrcoef(old.ravel(), new.ravel())[0, 1]) < 4 / count
        for name in ("dense_1.bias", "conv_1.weight", "conv_2.weight"):
            np.testing.assert_array_equal(values(changed, name), values(file, name))

    @pytest.mark.parametrize("sign", [1, -1])
    def test_one_sign_is_permuted(self, sign: int) -> None:
        variance = sign * np.abs(random_array(5, 64))
        node = helper.make_node("Mul", ["x", "v"], ["mul:0"], name="mul")
        file = open_model(
            make_model([node], {"x": [1, 64, 2, 2]}, ["mul:0"], {"v": variance.reshape(64, 1, 1)})
        )
        new = values(randomize_weights(file, {"v"}, [0]), "v")
        assert new.shape == (64, 1, 1)
        assert not np.array_equal(new.ravel(), variance)
        np.testing.assert_array_equal(np.sort(new.ravel()), np.sort(variance))

    def test_quantized_weights_are_permuted(self) -> None:
        codes = np.arange(-64, 64, dtype=np.int8).reshape(8, 16)
        nodes = [
            helper.make_node("DequantizeLinear", ["q", "s"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y:0"], name="dense"),
        ]
        file = open_model(
            make_model(nodes, {"x": [1, 8]}, ["y:0"], {"q": codes, "s": np.float32(0.1)})
        )
        new = values(randomize_weights(file, {"q"}, [0]), "q")
        assert new.dtype == np.int8
        assert not np.array_equal(new, codes)
        np.testing.assert_array_equal(np.sort(new.ravel()), codes.ravel())

    def test_a_mask_stays(self) -> None:
        mask = np.where(np.tri(6) > 0, np.float32(0), np.float32(-np.inf))
        node = helper.make_node("Add", ["x", "mask"], ["y:0"], name="add")
        file = open_model(make_model([node], {"x": [1, 1, 6, 6]}, ["y:0"], {"mask": mask}))
        np.testing.assert_array_equal(values(randomize_weights(file, {"mask"}, [0]), "mask"), mask)

    @pytest.mark.parametrize(
        "kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16]
    )
    def test_element_types_stay(self, kind: int) -> None:
        array: Array = random_array(1, 40).astype(helper.tensor_dtype_to_np_dtype(kind))
        node = helper.make_node("Add", ["x", "b"], ["y:0"], name="add")
        file = open_model(make_model([node], {"x": [1, 40]}, ["y:0"], {"b": array}, dtype=kind))
        assert find_weights(file, read_layers(file))["add"].tensors == {"b"}
        new = values(randomize_weights(file, {"b"}, [0]), "b")
        assert new.dtype == array.dtype
        assert np.isfinite(new.astype(np.float64)).all()
        assert not np.array_equal(new, array)

    def test_sparse_weights_keep_their_places(self) -> None:
        stored = random_array(1, 5)
        model = make_model(
            [helper.make_node("MatMul", ["x", "w"], ["y:0"], name="dense")],
            {"x": [1, 4]},
            ["y:0"],
            {"w": np.zeros((4, 3), np.float32)},
        )
        places = np.array([0, 2, 5, 7, 11])
        del model.graph.initializer[:]
        model.graph.sparse_initializer.append(
            helper.make_sparse_tensor(
                numpy_helper.from_array(stored, "w"), numpy_helper.from_array(places), [4, 3]
            )
        )
        file = open_model(model)
        assert find_weights(file, read_layers(file))["dense"].tensors == {"w"}
        new = values(randomize_weights(file, {"w"}, [0]), "w")
        np.testing.assert_array_equal(np.flatnonzero(new), places)
        assert not np.isin(new.ravel()[places], stored).any()

    def test_the_seeds_and_the_name_decide(self) -> None:
        file = open_model(demo.MODEL)
        names = ("conv_1.weight", "conv_2.weight")
        alone = randomize_weights(file, {names[0]}, [1, 2])
        together = randomize_weights(file, set(names), [1, 2])
        other = randomize_weights(file, set(names), [1, 3])
        np.testing.assert_array_equal(values(alone, names[0]), values(together, names[0]))
        assert not np.array_equal(values(other, names[0]), values(together, names[0]))
        # Tensors of the same size get numbers of their own.
        first, second = (values(together, name).ravel()[:100] for name in names)
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.5

    def test_the_model_itself_stays(self) -> None:
        file = open_model(demo.MODEL)
        before = file.proto.SerializeToString(deterministic=True)
        randomize_weights(file, {"conv_1.weight", "dense_2.bias"}, [0])
        assert file.proto.SerializeToString(deterministic=True) == before

    def test_constant_nodes_change(self) -> None:
        kernel = random_array(1, 2, 1, 3, 3)
        nodes = [
            helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(kernel)),
            conv_node("conv", "x", "w"),
        ]
        file = open_model(make_model(nodes, {"x": [1, 1, 8, 6]}, ["conv:0"]))
        changed = randomize_weights(file, {"w"}, [0])
        array = random_array(2, 1, 1, 8, 6)
        assert not np.allclose(run(changed, array), run(file, array))

    def test_external_weights(self, tmp_path: Path) -> None:
        onnx.save_model(
            conv_net(),
            tmp_path / "net.onnx",
            save_as_external_data=True,
            location="net.bin",
            size_threshold=0,
        )
        file = open_model(tmp_path / "net.onnx")
        inside = open_model(conv_net())
        keys = {"w", "dw"}
        changed, expected = (randomize_weights(each, keys, [7]) for each in (file, inside))
        for name in ("w", "b", "dw", "db"):
            np.testing.assert_array_equal(values(changed, name), values(expected, name))
        assert (tmp_path / "net.bin").stat().st_size == sum(
            4 * int(np.prod(t.dims)) for t in inside.proto.graph.initializer
        )
