"""Write the layers of known networks down for the tests of blocks.

The tests read ``tests/data/networks.json.xz`` alone: names, classes, sizes and edges, no weights.
Each framework has a run of its own::

    python tools/network_layers.py keras
    python tools/network_layers.py torch

The file was made with Keras 3.15, TensorFlow 2.20 and torch 2.13.0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from micam_fast.core.layers import Layer  # noqa: E402
from tests.helpers.network_layers import renew  # noqa: E402

APPLICATIONS = (
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "InceptionV3", "MobileNet", "MobileNetV2",
    "MobileNetV3Small", "NASNetMobile", "ResNet50", "Xception",
)  # fmt: skip


def keras_layers() -> Iterator[tuple[str, tuple[Layer, ...]]]:
    """Applications of Keras, without weights."""
    import keras

    from micam_fast.models.keras import export_model

    for name in APPLICATIONS:
        model = getattr(keras.applications, name)(weights=None)
        yield name, tuple(note.layer for note in export_model(model).notes)


def torch_layers() -> Iterator[tuple[str, tuple[Layer, ...]]]:
    """The small networks of the tests, by their own module trees."""
    import torch

    import micam_fast
    from micam_fast.models.pytorch.module_export import export_module
    from tests.helpers import torch_attention, torch_networks

    networks: dict[str, tuple[type[Any], tuple[int, int]]] = {
        "resnet": (torch_networks.ResNet, (48, 40)),
        "densenet": (torch_networks.DenseNet, (48, 40)),
        "mobilenet_v3": (torch_networks.MobileNetV3, (48, 40)),
        "swin": (torch_attention.Swin, (48, 48)),
        "unet": (torch_attention.UNet, (42, 38)),
        "yolo": (torch_networks.YOLO, (48, 40)),
    }
    for name, (make, size) in networks.items():
        exported = export_module(make().eval(), (torch.rand(1, 3, *size),))
        yield name, micam_fast.load_model(exported.proto).layers


FRAMEWORKS: dict[str, Callable[[], Iterator[tuple[str, tuple[Layer, ...]]]]] = {
    "keras": keras_layers,
    "torch": torch_layers,
}


def main() -> None:
    """Write the layers of a framework's networks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("framework", choices=FRAMEWORKS)
    for name, layers in FRAMEWORKS[parser.parse_args().framework]():
        size = renew(name, layers)
        print(f"{name}: {len(layers)} layers, the file has {size} bytes")


if __name__ == "__main__":
    main()
