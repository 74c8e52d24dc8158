"""The networks that can be trained."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from micam_fast.core.errors import MissingExtraError, TrainingError
from micam_fast.training.networks import build_network, list_networks
from tests.helpers.training_cases import keras

LENET_LAYERS = [
    ("input_layer", "InputLayer"),
    ("first_conv_layer", "Conv2D"),
    ("first_pool_layer", "MaxPooling2D"),
    ("second_conv_layer", "Conv2D"),
    ("second_pool_layer", "MaxPooling2D"),
    ("flatten", "Flatten"),
    ("dense", "Dense"),
    ("dropout", "Dropout"),
    ("dense_1", "Dense"),
    ("dropout_1", "Dropout"),
    ("dense_2", "Dense"),
]
RESNET_LAYERS = """
input_layer first_layer_112_1 preparation_bn preparation_relu
B1_residue_1_conv_3 B1_residue_2_bn B1_residue_2_relu B1_residue_2_conv_4
B1_1_add B1_1_bn B1_1_relu
B1_residue_3_conv_5 B1_residue_4_bn B1_residue_4_relu B1_residue_4_conv_6
B1_2_add B1_2_bn B1_2_relu
B2_residue_1_conv_7 B2_residue_2_bn B2_residue_2_relu B2_residue_2_conv_8 B2_original_reshaped
B2_1_add B2_1_bn B2_1_relu
B2_residue_3_conv_9 B2_residue_4_bn B2_residue_4_relu B2_residue_4_conv_10
B2_2_add B2_2_bn B2_2_relu
B3_residue_1_conv_11 B3_residue_2_bn B3_residue_2_relu B3_residue_2_conv_12 B3_original_reshaped
B3_1_add B3_1_bn B3_1_relu
B3_residue_3_conv_13 B3_residue_4_bn B3_residue_4_relu B3_residue_4_conv_14
B3_2_add B3_2_bn B3_2_relu
B4_residue_1_conv_15 B4_residue_2_bn B4_residue_2_relu B4_residue_2_conv_16 B4_original_reshaped
B4_1_add B4_1_bn B4_1_relu
B4_residue_3_conv_17 B4_residue_4_bn B4_residue_4_relu B4_residue_4_conv_18
B4_2_add
max_pooling2d average_pooling2d concatenate linear flatten dense
"""


def build(name: str, height: int = 32, width: int = 32, channels: int = 1, **more: Any) -> Any:
    return build_network(
        name, **{"classes": 3, "height": height, "width": width, "channels": channels, **more}
    )


def readers(network: Any, name: str) -> set[str]:
    """Names of the layers whose outputs a layer reads."""
    tensors = network.get_layer(name).input
    listed = tensors if isinstance(tensors, list) else [tensors]
    return {tensor._keras_history.operation.name for tensor in listed}


def names(network: Any) -> list[str]:
    return [layer.name for layer in network.layers]


def test_own_networks_stand_first_in_the_list() -> None:
    listed = list_networks()
    assert listed[:4] == ("lenet3", "lenet5", "resnet18", "ConvNeXtBase")
    assert {"DenseNet121", "MobileNetV2", "NASNetMobile", "ResNet50", "VGG16", "Xception"} < {
        *listed
    }
    assert len({name.lower() for name in listed}) == len(listed)


class TestLenets:
    """SPEC section 6, "lenet3"."""

    @pytest.mark.parametrize(
        ("name", "kernel", "widths"), [("lenet3", 5, (4096, 1600)), ("lenet5", 3, (1024, 512))]
    )
    def test_layers(self, name: str, kernel: int, widths: tuple[int, int]) -> None:
        network = build(name, 9, 7, 2, dropout=0.3)
        assert [(each.name, type(each).__name__) for each in network.layers] == LENET_LAYERS
        assert network.name == name
        assert network.input_shape == (None, 9, 7, 2)
        assert network.output_shape == (None, 3)
        for layer, filters, size in (("first", 32, kernel), ("second", 64, 3)):
            config = network.get_layer(f"{layer}_conv_layer").get_config()
            assert (config["filters"], config["kernel_size"]) == (filters, (size, size))
            assert (config["padding"], config["activation"]) == ("same", "linear")
            assert network.get_layer(f"{layer}_pool_layer").pool_size == (2, 2)
        dense = [network.get_layer(layer) for layer in ("dense", "dense_1", "dense_2")]
        assert [layer.units for layer in dense] == [*widths, 3]
        assert [layer.get_config()["activation"] for layer in dense] == ["relu", "relu", "softmax"]
        rates = [network.get_layer(layer).rate for layer in ("dropout", "dropout_1")]
        assert rates == [0.3, 0.3]

    @pytest.mark.parametrize("name", ["lenet3", "lenet5"])
    def test_batch_normalization_follows_each_convolution(self, name: str) -> None:
        network = build(name, 8, 8, batch_normalization=True)
        assert names(network)[1:7] == [
            "first_conv_layer", "first_bn_layer", "first_pool_layer",
            "second_conv_layer", "second_bn_layer", "second_pool_layer",
        ]  # fmt: skip
        assert readers(network, "first_pool_layer") == {"first_bn_layer"}


class TestResnet18:
    """SPEC section 6, "resnet18"."""

    def test_layers(self) -> None:
        network = build("resnet18", 75, 75)
        assert len(network.layers) == 67
        assert names(network) == RESNET_LAYERS.split()

    def test_convolutions(self) -> None:
        network = build("resnet18", 32, 32)
        convolutions = [each for each in network.layers if isinstance(each, keras.layers.Conv2D)]
        for layer in convolutions:
            config = layer.get_config()
            residue = "residue" in layer.name
            halved = layer.name.endswith("original_reshaped") or layer.name in (
                "B2_residue_1_conv_7", "B3_residue_1_conv_11", "B4_residue_1_conv_15",
            )  # fmt: skip
            assert config["strides"] == ((2, 2) if halved else (1, 1)), layer.name
            assert config["activation"] == "linear"
            assert config["padding"] == ("valid" if config["kernel_size"] == (1, 1) else "same")
            if residue:
                assert config["kernel_size"] == (3, 3)
                assert float(layer.kernel_regularizer.l2) == pytest.approx(0.0005)
            else:
                assert layer.kernel_regularizer is None
            if layer.name[0] == "B":
                assert config["filters"] == 32 * 2 ** int(layer.name[1])
        assert len(convolutions) == 16 + 3 + 2

    def test_blocks_add_what_they_began_with(self) -> None:
        network = build("resnet18", 32, 32)
        assert readers(network, "B1_1_add") == {"B1_residue_2_conv_4", "preparation_relu"}
        assert readers(network, "B1_2_add") == {"B1_residue_4_conv_6", "B1_1_relu"}
        assert readers(network, "B2_1_add") == {"B2_residue_2_conv_8", "B2_original_reshaped"}
        assert readers(network, "B2_original_reshaped") == {"B1_2_relu"}
        assert readers(network, "B4_2_add") == {"B4_residue_4_conv_18", "B4_1_relu"}

    def test_end(self) -> None:
        network = build("resnet18", 75, 75)
        for pool in ("max_pooling2d", "average_pooling2d"):
            assert network.get_layer(pool).pool_size == (4, 4)
            assert readers(network, pool) == {"B4_2_add"}
        assert network.get_layer("concatenate").output.shape == (None, 2, 2, 1024)
        assert network.get_layer("linear").output.shape == (None, 2, 2, 10)
        config = network.get_layer("dense").get_config()
        assert config["activation"] == "softmax"
        assert config["kernel_initializer"]["class_name"] == "HeNormal"
        assert network.output_shape == (None, 3)


class TestApplications:
    """Models of keras.applications by name."""

    @pytest.mark.parametrize("name", ["MobileNetV3Small", "mobilenetv3small"])
    def test_own_top_on_their_layers(self, name: str) -> None:
        network = build(name, 40, 36, 5, dropout=0.25)
        assert network.name == "MobileNetV3Small"
        assert network.input_shape == (None, 40, 36, 5)
        assert names(network)[-3:] == ["flatten", "dropout", "predictions"]
        assert network.get_layer("dropout").rate == 0.25
        assert network.get_layer("predictions").get_config()["activation"] == "softmax"
        assert network.output_shape == (None, 3)
        # Flat: every layer of the model is one of the network.
        assert not any(isinstance(layer, keras.Model) for layer in network.layers)

    def test_number_of_channels_is_no_cause_for_a_warning(self) -> None:
        assert build("VGG16", 32, 32, 5).input_shape == (None, 32, 32, 5)


class TestBadInput:
    """One line for what cannot be built."""

    @pytest.mark.parametrize(
        ("name", "near"), [("reznet50", "ResNet50 or"), ("LENET", "lenet5 or lenet3")]
    )
    def test_unknown_name(self, name: str, near: str) -> None:
        with pytest.raises(
            TrainingError,
            match=rf"unknown network: '{name}' \(did you mean {near} .*\? --list-models prints all",
        ):
            build(name)

    def test_unknown_name_like_none(self) -> None:
        with pytest.raises(
            TrainingError, match=r"unknown network: 'xyz' \(--list-models prints all names\)"
        ):
            build("xyz")

    @pytest.mark.parametrize(("name", "smallest"), [("lenet3", 4), ("lenet5", 4), ("resnet18", 25)])
    def test_too_small_for_an_own_network(self, name: str, smallest: int) -> None:
        assert build(name, smallest, smallest).output_shape == (None, 3)
        with pytest.raises(
            TrainingError,
            match=rf"a sample of 40 x {smallest - 1} x 1 is too small for {name}: its smallest "
            rf"input is {smallest} x {smallest} \(write larger records",
        ):
            build(name, 40, smallest - 1)

    @pytest.mark.parametrize(("name", "smallest"), [("ResNet50", 32), ("InceptionV3", 75)])
    def test_too_small_for_keras(self, name: str, smallest: int) -> None:
        with pytest.raises(
            TrainingError,
            match=rf"a sample of 31 x 80 x 1 is too small for {name}: Input size must be at least "
            rf"{smallest}x{smallest} \(write",
        ):
            build(name.upper(), 31, 80)

    def test_without_tensorflow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tensorflow", None)
        with pytest.raises(MissingExtraError, match=r"training needs tensorflow.*fast\[training\]"):
            build("lenet5")
