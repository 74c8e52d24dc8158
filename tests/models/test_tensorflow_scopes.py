"""Layers and nested models, as names that tf2onnx gives tell them."""

from __future__ import annotations

import pytest

from micam_fast.models.tensorflow_scopes import TensorFlowScope, TensorFlowScopes

# Of Keras 2: the scope of a layer is its name.
PLAIN = TensorFlowScopes(
    ["model/conv2d/BiasAdd__6", "model/block_1/conv2d_1/Conv2D", "Transpose__40", "truediv"]
)
# Of Keras 3: each scope has a number.
NUMBERED = TensorFlowScopes(
    [
        "StatefulPartitionedCall/net_1/stem_1/convolution__6",
        "StatefulPartitionedCall/net_1/block_2_1/relu_1/Relu",
        "StatefulPartitionedCall/net_1/block_2_3/relu_1/Relu",
    ]
)


def path(scopes: TensorFlowScopes, name: str) -> str | None:
    found = scopes.of_node(name)
    return None if found is None else "/".join(found.path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model/conv2d/Conv2D", "conv2d"),
        ("model/conv2d/BiasAdd__6", "conv2d"),
        ("model/conv2d/BiasAdd__6:0", "conv2d"),
        ("StatefulPartitionedCall/model/block_1/conv2d_1/Conv2D", "block_1/conv2d_1"),
        ("StatefulPartitionedCall_1/PartitionedCall/model/dense/MatMul", "dense"),
        ("model/tf.math.add/Add", "tf.math.add"),
        ("model/Relu", ""),
        ("Transpose__40", None),
        ("truediv", None),
        ("", None),
        ("/", None),
        ("/conv1/Conv", None),
        ("model//Conv2D", None),
        ("a/" * 500 + "Conv2D", None),
        # What TensorFlow makes a function of, is no model within a layer.
        ("model/ln/moments/mean", "ln"),
        ("model/bn/batchnorm/mul_1", "bn"),
        ("model/dense/Tensordot/MatMul", "dense"),
        ("model/conv1d/Conv1D/ExpandDims", "conv1d"),
        ("model/sep/separable_conv2d/depthwise", "sep"),
        # A layer may be called like a function.
        ("model/separable_conv2d/separable_conv2d/depthwise", "separable_conv2d"),
        ("model/separable_conv2d/separable_conv2d", "separable_conv2d"),
        ("model/separable_conv2d/BiasAdd", "separable_conv2d"),
        ("model/batchnorm/FusedBatchNormV3", "batchnorm"),
        ("model/conv2d_transpose/conv2d_transpose", "conv2d_transpose"),
        # TFLite's names of fused operators.
        ("model/re_lu/Relu;model/bn/FusedBatchNormV3;model/conv2d/Conv2D", "conv2d"),
        ("model/re_lu/Relu;model/add/add", "re_lu"),
    ],
)
def test_layers_of_operators(name: str, expected: str | None) -> None:
    assert path(PLAIN, name) == expected


def test_numbers_of_keras_3_are_left_out_and_tell_calls() -> None:
    assert path(NUMBERED, "net_1/stem_1/Relu") == "stem"
    assert path(NUMBERED, "net_1/ln_1/moments/mean") == "ln"
    calls = [NUMBERED.of_node(f"net_1/block_2_{n}/relu_1/Relu") for n in (1, 3)]
    assert calls == [
        TensorFlowScope(("block_2", "relu"), "net_1/block_2_1/relu_1"),
        TensorFlowScope(("block_2", "relu"), "net_1/block_2_3/relu_1"),
    ]


def test_numbers_that_may_be_names_stay() -> None:
    # The second model that a process makes with Keras 2.
    second = TensorFlowScopes(["model_1/conv2d_1/Conv2D", "model_1/conv2d_2/Conv2D"])
    assert path(second, "model_1/conv2d_2/Conv2D") == "conv2d_2"


def test_what_all_share_is_the_model_unless_it_is_all() -> None:
    assert path(TensorFlowScopes(["conv2d/Conv2D", "conv2d/Relu"]), "conv2d/Relu") == "conv2d"
    two = TensorFlowScopes(["encoder/conv/Conv2D", "decoder/conv/Conv2D"])
    assert path(two, "decoder/conv/Conv2D") == "decoder/conv"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model/conv2d/Conv2D/ReadVariableOp:0", ("conv2d",)),
        ("model/block_1/up/conv2d_transpose/ReadVariableOp_1:0", ("block_1", "up")),
        ("model/conv2d/BiasAdd/ReadVariableOp:0", None),
        ("model/bn/ReadVariableOp:0", None),
        ("Conv2D/ReadVariableOp", None),
        ("const_fold_opt__121", None),
        ("w", None),
    ],
)
def test_kernels_tell_their_convolution(name: str, expected: tuple[str, ...] | None) -> None:
    found = PLAIN.of_kernel(name)
    assert (found and found.path) == expected


def test_a_kernel_that_holds_a_normalization() -> None:
    found = NUMBERED.of_kernel("net_1/block_2_3/conv2d_1/convolution/merged_input:0")
    assert found is not None
    assert found.path == ("block_2", "conv2d")
