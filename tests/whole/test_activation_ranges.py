"""The smallest and largest value of each activation, told beside those of its map."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import Result

import micam_fast
from micam_fast.core.choices import PROJECTIONS, Projection
from micam_fast.diagrams.labels import label_lines
from micam_fast.diagrams.numbers import show_range
from tests.helpers.chains import op
from tests.helpers.clips import CLIPS, clip_net
from tests.helpers.models import Array, make_model, random_array
from tests.helpers.plain_runtime import run


def net() -> onnx.ModelProto:
    """Layers in the arena, copied ones, followers, flat ones, whole numbers."""
    nodes = [
        op("Conv", "x k b", "conv", pads=[1] * 4),
        op("BatchNormalization", "conv scale shift mean variance", "norm"),
        op("Relu", "norm", "relu"),
        op("GlobalAveragePool", "relu", "pool"),
        op("Flatten", "pool", "flat"),
        op("ArgMax", "relu", "places", axis=1),
    ]
    constants = {
        "k": random_array(1, 4, 3, 3, 3), "b": random_array(2, 4), "scale": random_array(4, 4),
        "shift": random_array(5, 4), "mean": random_array(6, 4),
        "variance": np.abs(random_array(7, 4)),
    }  # fmt: skip
    return make_model(nodes, {"x": ["N", 3, 8, 6]}, ["flat", "places"], constants)


def expected(proto: onnx.ModelProto, sample: Array, name: str) -> Any:
    array = sample if name == "x" else run(proto, {"x": sample[np.newaxis]}, name)[0]
    return pytest.approx(float(array.min()), rel=1e-5), pytest.approx(float(array.max()), rel=1e-5)


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("memory", [None, 1])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_ranges_are_those_of_the_activations(
    projection: Projection, memory: int | None, batch_size: int
) -> None:
    proto, samples = net(), random_array(3, 4, 3, 8, 6)
    model = micam_fast.load_model(proto, memory=memory)
    given: dict[str, Any] = {"projection": projection, "batch_size": batch_size}
    plain = model.explain_many(samples, **given)
    for sample, found, other in zip(
        samples, model.explain_many(samples, activation_range=True, **given), plain, strict=True
    ):
        assert set(found.activation_ranges) == set(found.maps)
        for name, each in found.maps.items():
            assert each.activation_range == found.activation_ranges[name]
            assert each.activation_range == expected(proto, sample, name)
            assert each.cam.tobytes() == other.cams[name].tobytes()
            assert other.maps[name].activation_range is None
        assert not other.activation_ranges


def test_of_one_frame_only() -> None:
    model = micam_fast.load_model(clip_net())
    for frame in (None, 2):
        found = model.explain(CLIPS[0], frame=frame, activation_range=True)
        array = CLIPS[0] if frame is None else CLIPS[0][frame]
        assert found.maps["fold"].activation_range == (array.min(), array.max())


def test_labels_tell_them_behind_the_map_s(tmp_path: Path) -> None:
    model = micam_fast.load_model(net())
    sample = random_array(8, 3, 8, 6)
    layer = model.layers[1]
    plain = model.explain(sample)
    found = model.explain(sample, activation_range=True)
    low, high = show_range(*found.activation_ranges["conv"])
    lines = label_lines(layer, found.maps["conv"])
    assert lines[:-2] == label_lines(layer, plain.maps["conv"])
    assert lines[-2:] == [f"activation min: {low}", f"activation max: {high}"]
    # One template each, whatever was drawn before.
    for index, (explanation, count) in enumerate(((plain, 0), (found, 7), (plain, 0))):
        path = explanation.save(tmp_path / f"{index}.svg")
        assert path.read_text().count("activation min: ") == count


def test_a_layer_that_is_not_finite_has_none() -> None:
    sample = random_array(8, 3, 8, 6)
    sample[0, 2, 3] = np.nan
    model = micam_fast.load_model(net())
    found = model.explain(sample, activation_range=True)
    assert np.isnan(found.activation_ranges["conv"]).all()
    lines = label_lines(model.layers[1], found.maps["conv"])
    assert not [line for line in lines if line.startswith("activation m")]


def test_ranges_are_sent_with_the_maps() -> None:
    model = micam_fast.load_model(net())
    found = model.explain(random_array(8, 3, 8, 6), activation_range=True)
    again = pickle.loads(pickle.dumps(found.maps))
    for name, each in found.maps.items():
        assert again[name].activation_range == each.activation_range


def test_the_command_writes_them(run_cli: Callable[..., Result], cli_out: Path) -> None:
    words = ("plot", "net.onnx", "one.npy", "--format", "npz,svg")
    assert run_cli(*words).exit_code == 0
    (path,) = cli_out.glob("*.npz")
    assert not [name for name in np.load(path) if name.startswith("activation")]
    assert "activation_ranges" not in (cli_out / "manifest.jsonl").read_text()
    refused = run_cli(*words, "--activation-range", "--resume")
    assert "--activation-range was false, is true" in refused.output
    assert run_cli(*words, "--activation-range").exit_code == 0
    found = np.load(path)
    line = json.loads((cli_out / "manifest.jsonl").read_text().splitlines()[1])
    for name in ("x", "conv", "softmax"):
        low, high = found[f"activation_min_max/{name}"].tolist()
        assert line["activation_ranges"][name] == [low, high]
        assert low < high
    (drawn,) = cli_out.glob("*.svg")
    assert "activation min: " in drawn.read_text()


def test_the_page_tells_them(run_cli: Callable[..., Result], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ("view", "net.onnx", "one.npy", "--output", str(page))
    assert run_cli(*words, "--activation-range", out=False).exit_code == 0
    assert "activation min: " in page.read_text()
