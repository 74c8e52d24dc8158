"""Modules in the ways that torch exports them: layers, maps and outputs against the oracle.

Where the channels lie was measured when the files were made, not read from their graphs.
"""

from __future__ import annotations

import numpy as np
import pytest

import micam_fast
from tests.helpers.comparing import assert_close
from tests.helpers.exported_modules import load_module, module_names
from tests.helpers.file_oracle import FileOracle

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", module_names())
def test_layers_maps_and_output(name: str) -> None:
    model, shape, axes = load_module(name)
    sample = np.random.default_rng(5).standard_normal(shape, np.float32)
    oracle = FileOracle(model, sample)
    loaded = micam_fast.load_model(model)
    explanation = loaded.explain(sample)

    shown = {layer.name: oracle.layers[layer.onnx_name or ""] for layer in loaded.layers[1:]}
    values = {layer.value for layer in shown.values()}
    assert oracle.must_be_layers() <= values
    assert values.isdisjoint(oracle.must_be_inside())
    wrong = {}
    for layer_name, layer in shown.items():
        if layer.value not in axes:
            continue
        expected, slack = oracle.expected(layer, axes[layer.value])
        found = explanation.cams[layer_name]
        if found.shape != expected.shape:
            wrong[layer_name] = f"{found.shape} for {expected.shape}"
        elif np.abs(found - expected).max() > slack:
            wrong[layer_name] = f"off by {np.abs(found - expected).max():.2g}, {slack:.2g} allowed"
    assert not wrong
    assert sum(layer.value in axes for layer in shown.values()) > 0.6 * len(shown)

    output = oracle.values[model.graph.output[0].name]
    assert explanation.output is not None
    assert_close(explanation.output.reshape(output.shape), output, 1e-5)
