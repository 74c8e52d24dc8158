"""A network that knows what a cat is knows it after its export, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import micam_fast
from tests.helpers.torch_modules import torch
from tests.helpers.trained_modules import CATS, chelsea, efficientnet_lite0

pytestmark = pytest.mark.slow


def test_a_cat_is_a_cat_before_and_after(tmp_path: Path) -> None:
    module, sample = efficientnet_lite0(), chelsea()
    with torch.no_grad():
        before = torch.softmax(module(torch.tensor(sample)[None]), 1).numpy()
    path = tmp_path / "lite0.onnx"
    report = micam_fast.export(module, path, sample=sample)
    assert report.worst.relative < 1e-4
    assert report.remarks == ()
    session = onnxruntime.InferenceSession(path)
    (logits, *_) = session.run(None, {session.get_inputs()[0].name: sample[None]})
    after = np.exp(logits - logits.max())
    after /= after.sum()
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert before.argmax() == after.argmax()
    assert after.argmax() in CATS
    assert after[0, CATS.start : CATS.stop].sum() > 0.9
    prediction = micam_fast.explain(path, sample).prediction
    assert prediction is not None
    assert prediction.index == after.argmax()
