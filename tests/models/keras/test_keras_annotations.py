"""The notes of an exported file: what is written is read, and what is damaged is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings, strategies as st
from onnx import helper, numpy_helper

import micam_fast
from micam_fast.core.errors import ModelError, SampleError
from micam_fast.core.layers import Axes, Geometry, Layer, Shape, Tap
from micam_fast.diagrams.labels import label_lines
from micam_fast.maps.sample_maps import sized_layer
from micam_fast.models.onnx.annotations import (
    FORMAT,
    METADATA_KEY,
    LayerNote,
    Weight,
    read_notes,
    write_notes,
)
from tests.helpers import reference
from tests.helpers.comparing import assert_close
from tests.helpers.models import make_model, random_array
from tests.helpers.plain_runtime import run

MADE_BY = {"keras": "3", "tensorflow": "2"}

# --- Any notes -------------------------------------------------------------------------------

names = st.text(min_size=1, max_size=8)
whole = st.integers(0, 9)
shapes = st.lists(st.none() | whole, max_size=5).map(tuple)
sizes = st.lists(whole, max_size=5).map(tuple)
layers = st.builds(
    Layer,
    name=names,
    op_type=names,
    class_label=names,
    inputs=st.lists(names, max_size=3).map(tuple),
    input_shapes=st.lists(st.none() | shapes, max_size=3).map(tuple),
    output_shape=st.none() | shapes,
    kernel_shape=st.none() | sizes,
    bias_shape=st.none() | sizes,
    activation=st.none() | names,
    cluster=st.lists(names, max_size=3).map(tuple),
    pointwise_shape=st.none() | sizes,
)
geometries = st.builds(
    Geometry,
    transpose=st.booleans(),
    strides=sizes,
    dilations=sizes,
    pads=sizes,
    groups=whole,
    auto_pad=st.sampled_from(["NOTSET", "SAME_UPPER"]),
    output_padding=sizes,
    output_shape=sizes,
)
taps = st.builds(
    Tap,
    value=names,
    axes=st.builds(Axes, st.none() | whole, st.none() | whole, st.booleans()),
    form=st.sampled_from(["channels", "recurrent", "distributed", "flat"]),
    geometry=st.none() | geometries,
    source=st.none() | names,
    source_channel=whole,
    squeezed=st.none() | whole,
    shown=st.none() | sizes,
)
weights = st.builds(Weight, value=names, shape=sizes)
notes_of_any_kind = st.lists(
    st.builds(
        LayerNote,
        layer=layers,
        tap=taps,
        kernels=st.lists(weights, max_size=2).map(tuple),
        bias=st.none() | weights,
    ),
    max_size=3,
).map(tuple)


@settings(max_examples=60, deadline=None)
@given(notes=notes_of_any_kind)
def test_what_is_written_is_read(notes: tuple[LayerNote, ...]) -> None:
    text = write_notes(notes, MADE_BY)
    assert read_notes(text, "net") == notes
    content = json.loads(text)
    # Files of earlier exports say nothing of it.
    assert "assumed" not in text
    assert content["format"] == FORMAT
    assert content["made_by"] == MADE_BY


# --- A small file with notes -----------------------------------------------------------------


def annotated(notes: tuple[LayerNote, ...] | None = None, **constants: Any) -> onnx.ModelProto:
    """A convolution in NCHW, whose notes say NHWC as Keras would."""
    kernel, bias = random_array(1, 3, 2, 3, 2), random_array(2, 3)
    make = onnx.helper.make_node
    proto = make_model(
        [
            make("Transpose", ["x"], ["turned"], perm=[0, 3, 1, 2]),
            make("Conv", ["turned", "conv/kernel", "conv/bias"], ["conv"]),
            make("GlobalAveragePool", ["conv"], ["mean"]),
            make("Flatten", ["mean"], ["flat"]),
        ],
        {"x": ["batch", 6, 5, 2]},
        ["flat", "conv"],
        {"conv/kernel": kernel, "conv/bias": bias, **constants},
    )
    text = write_notes(NOTES if notes is None else notes, MADE_BY)
    onnx.helper.set_model_props(proto, {METADATA_KEY: text})
    return proto


CONV = LayerNote(
    Layer(
        "my conv", "Conv2D", "Conv2D", ("picture",), ((None, 6, 5, 2),), (None, 4, 4, 3),
        (3, 2, 2, 3), (3,), "linear", ("block",),
    ),
    Tap(
        "conv", Axes(0, 1), geometry=Geometry(False, (1, 1), (1, 1), (0,) * 4, 1), source="turned",
        shown=(0, 2, 3, 1),
    ),
    (Weight("conv/kernel", (3, 2, 3, 2)),),
    Weight("conv/bias", (3,)),
)  # fmt: skip
NOTES = (
    LayerNote(
        Layer("picture", "InputLayer", "InputLayer", (), ((None, 6, 5, 2),), (None, 6, 5, 2)),
        Tap("x", Axes(0, 3)),
    ),
    CONV,
    LayerNote(
        Layer("flat", "Flatten", "Flatten", ("my conv",), ((None, 4, 4, 3),), (None, 3)),
        Tap("flat", Axes(0, None)),
    ),
)


def test_layers_and_maps_are_those_of_the_notes() -> None:
    proto = annotated()
    model = micam_fast.load_model(proto, logits=True)
    assert model.layers == tuple(note.layer for note in NOTES)
    sample = random_array(3, 6, 5, 2)
    explanation = model.explain(sample)
    assert explanation.input_size == (6, 5)
    kernel, bias = (numpy_helper.to_array(t) for t in proto.graph.initializer)
    (activation,) = run(proto, {"x": sample[np.newaxis]}, "conv")
    last = np.moveaxis(activation[0], 0, -1)
    expected = reference.published_conv(last, kernel.transpose(2, 3, 1, 0), bias)
    assert_close(explanation.cams["my conv"], expected)
    assert_close(explanation.cams["picture"], sample.mean(axis=-1))
    assert explanation.maps["my conv"].shape == (None, 4, 4, 3)
    assert explanation.prediction is not None
    assert [(each.value, each.inner) for each in model.graph.outputs] == [
        ("flat", False),
        ("conv", True),
    ]


def open_sizes(chosen: list[str] | None) -> micam_fast.Explanation:
    """The model with sizes left open, by the notes and by the file, of a picture of 6 x 5."""
    shapes: dict[Shape | None, Shape] = {
        (None, 6, 5, 2): (None, None, None, 2),
        (None, 4, 4, 3): (None, None, None, 3),
    }
    notes = tuple(
        replace(
            note,
            layer=replace(
                note.layer,
                input_shapes=tuple(shapes.get(each, each) for each in note.layer.input_shapes),
                output_shape=shapes.get(note.layer.output_shape, note.layer.output_shape),
            ),
        )
        for note in NOTES
    )
    proto = annotated(notes)
    for axis in (1, 2):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size_{axis}"
    model = micam_fast.load_model(proto, layers=chosen)
    assert model.layers[1].output_shape == (None, None, None, 3)
    return model.explain(random_array(3, 6, 5, 2))


@pytest.mark.parametrize("chosen", [None, ["my conv"], ["flat"], ["picture"]])
def test_labels_have_the_sizes_of_the_run_whatever_is_chosen(chosen: list[str] | None) -> None:
    found = open_sizes(chosen)
    labels = {
        layer.name: label_lines(sized_layer(layer, found.maps), found.maps.get(layer.name))
        for layer in found.scene.layers
    }
    assert set(found.maps) == set(chosen or labels)
    assert labels["picture"][2] == "I = O: (None, 6, 5, 2)"
    assert labels["my conv"][2:4] == ["I: (None, 6, 5, 2)", "O: (None, 4, 4, 3)"]
    assert labels["flat"][2] == "I: (None, 4, 4, 3)"


def test_a_separable_kernel_is_put_together() -> None:
    depthwise, pointwise = random_array(4, 2, 1, 3, 2), random_array(5, 3, 2, 1, 1)
    separable = replace(CONV, kernels=(Weight("d", (2, 1, 3, 2)), Weight("p", (3, 2, 1, 1))))
    proto = annotated((NOTES[0], separable, NOTES[2]), d=depthwise, p=pointwise)
    sample = random_array(3, 6, 5, 2)
    found = micam_fast.load_model(proto).explain(sample).cams["my conv"]
    (activation,) = run(proto, {"x": sample[np.newaxis]}, "conv")
    kernel = reference.separable_kernel(
        depthwise.transpose(2, 3, 0, 1), pointwise.transpose(2, 3, 1, 0)
    )
    bias = numpy_helper.to_array(proto.graph.initializer[1])
    last = np.moveaxis(activation[0], 0, -1)
    assert_close(found, reference.published_conv(last, kernel, bias))


def test_other_metadata_does_not_matter(tmp_path: Path) -> None:
    proto = annotated()
    proto.metadata_props.add(key="author", value="somebody")
    onnx.save(proto, tmp_path / "net.onnx")
    assert micam_fast.load_model(tmp_path / "net.onnx").layers[1].name == "my conv"


def test_without_notes_layers_are_inferred() -> None:
    proto = annotated()
    del proto.metadata_props[:]
    model = micam_fast.load_model(proto)
    assert [layer.op_type for layer in model.layers][:2] == ["Input", "Conv"]


# --- Damage ----------------------------------------------------------------------------------


def opened(proto: onnx.ModelProto) -> str:
    """The one line that refuses a model."""
    with pytest.raises(ModelError, match="export the model again") as raised:
        micam_fast.load_model(proto)
    line = str(raised.value)
    assert "\n" not in line
    assert len(line) < 400
    return line


def changed(change: Callable[[Any], Any]) -> onnx.ModelProto:
    """The model with its notes changed as JSON."""
    proto = annotated()
    content = json.loads(proto.metadata_props[0].value)
    content = change(content) or content
    proto.metadata_props[0].value = json.dumps(content)
    return proto


@pytest.mark.parametrize(
    "text",
    ["", "{", "hello", "[]", "3", "null", '{"format": 1}', '{"layers": []}', "[" * 100_000],
    ids=["empty", "cut", "text", "list", "number", "null", "no layers", "no format", "deep"],
)
def test_notes_that_are_no_notes(text: str) -> None:
    proto = annotated()
    proto.metadata_props[0].value = text
    assert "is damaged" in opened(proto)


def test_notes_cut_anywhere() -> None:
    proto = annotated()
    text = proto.metadata_props[0].value
    for end in range(1, len(text), 97):
        proto.metadata_props[0].value = text[:end]
        assert "is damaged" in opened(proto)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_notes_of_another_format(version: Any) -> None:
    line = opened(changed(lambda content: content.update(format=version)))
    assert f"has format {version!r}, this version of micam-fast reads {FORMAT}" in line


FIELDS = ["layer", "tap", "kernels", "bias"]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", ["missing", 3, "text", [1], {"a": 1}, {"value": 3, "shape": "a"}])
def test_a_field_of_another_kind(field: str, value: Any) -> None:
    def change(content: Any) -> None:
        if value == "missing":
            del content["layers"][1][field]
        else:
            content["layers"][1][field] = value

    opened(changed(change))


@pytest.mark.parametrize("part", ["layer", "tap"])
@pytest.mark.parametrize("value", [3.5, "text", [None], {"a": 1}])
def test_an_inner_field_of_another_kind(part: str, value: Any) -> None:
    """Each is refused by a line of ours, or does no harm."""
    fields = json.loads(write_notes(NOTES, MADE_BY))["layers"][1][part]
    for field in fields:

        def change(content: Any, field: str = field) -> None:
            content["layers"][1][part][field] = value

        try:
            micam_fast.load_model(changed(change)).explain(np.ones((6, 5, 2)))
        except ModelError as error:
            assert "export the model again" in str(error), field  # noqa: PT017


def test_a_layer_that_appears_twice() -> None:
    line = opened(annotated((*NOTES, CONV)))
    assert "does not fit together" in line


def test_no_layers_at_all() -> None:
    assert "does not fit together" in opened(annotated(()))


def test_an_edge_from_nowhere() -> None:
    stranger = replace(CONV, layer=replace(CONV.layer, inputs=("nobody",)))
    assert "does not fit together" in opened(annotated((NOTES[0], stranger, NOTES[2])))


def with_conv(**parts: Any) -> onnx.ModelProto:
    return annotated((NOTES[0], replace(CONV, **parts), NOTES[2]))


def test_values_that_the_graph_does_not_hold() -> None:
    for tap in (replace(CONV.tap, value="gone"), replace(CONV.tap, source="gone")):
        line = opened(with_conv(tap=tap))
        assert "layer 'my conv' is not in the graph as the export left it" in line
        assert "no activation 'gone'" in line


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (Weight("gone", (3, 2, 3, 2)), "no weight 'gone'"),
        (Weight("x", (3, 2, 3, 2)), "no weight 'x'"),
        (Weight("conv/kernel", (3, 2, 3, 3)), "weight 'conv/kernel' of another size"),
        (Weight("conv/bias", (3, 2, 3, 2)), "weight 'conv/bias' of another size"),
    ],
)
def test_weights_that_the_graph_does_not_hold(weight: Weight, said: str) -> None:
    assert said in opened(with_conv(kernels=(weight,)))


def test_a_file_that_was_quantized_since() -> None:
    proto = with_conv(kernels=(Weight("gone", (3, 2, 3, 2)),))
    assert opened(proto).endswith("(no weight 'gone'); export the model again")
    proto.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]))
    said = r"\(no weight 'gone'\); a tool has quantized the file since: delete the metadata_props"
    with pytest.raises(ModelError, match=said):
        micam_fast.load_model(proto)


def other_weights() -> dict[str, Any]:
    """Weights that another layer might have."""
    return {
        "wide": random_array(4, 4096, 2, 3, 2), "wide/bias": random_array(5, 4096),
        "line": random_array(6, 3, 2, 4), "thin": random_array(7, 2, 1, 3, 2),
        "point": random_array(8, 3, 2, 1, 1), "square": random_array(9, 3, 2, 3, 2),
        "whole": np.ones((3, 2, 3, 2), np.int64), "words": np.array(["a", "b", "c"]),
        "long/bias": random_array(10, 6),
    }  # fmt: skip


def bear(*weights: str, bias: str | None = None) -> dict[str, Any]:
    """These weights, in the shapes that they have, in the place of the convolution's own."""
    held = other_weights()
    found = tuple(Weight(name, held[name].shape) for name in weights)
    size = None if bias is None else held[bias].shape
    layer = replace(CONV.layer, bias_shape=size)
    return {
        "kernels": found, "layer": layer, "bias": None if size is None else Weight(bias or "", size)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (bear("wide", bias="wide/bias"), "a kernel of 4,096 channels, its activation 3"),
        (bear("wide"), "a kernel of 4,096 channels, its activation 3"),
        (bear("square", bias="wide/bias"), "a bias of 4,096 values, its kernel 3 channels"),
        (bear("square", bias="long/bias"), "a bias of 6 values, its kernel 3 channels"),
        (bear("thin"), "a kernel of 2 channels, its activation 3"),
        (bear("line"), "a geometry for other than 1 axes"),
        (bear("thin", "square"), "a second kernel that does not fit the first one"),
        (bear("square", "point"), "a second kernel that does not fit the first one"),
        (bear("thin", "point", "point"), "a second kernel that does not fit the first one"),
        (bear("whole"), "weight 'whole' holds no real numbers"),
    ],
)
def test_weights_of_other_layers(parts: dict[str, Any], said: str) -> None:
    notes = (NOTES[0], replace(CONV, **parts), NOTES[2])
    assert said in opened(annotated(notes, **other_weights()))


def test_a_kernel_of_other_channels_than_an_activation_of_unknown_size() -> None:
    """Only the sample's activation shows that it does not fit."""
    tap = replace(CONV.tap, value="hidden")
    wide = replace(CONV, tap=tap, **bear("wide", bias="wide/bias"))
    proto = annotated((NOTES[0], wide, NOTES[2]), **other_weights())
    make = onnx.helper.make_node
    proto.graph.node.extend(
        [
            # Sizes that are computed from numbers of the sample are known when it ran.
            make("ReduceMax", ["conv"], ["most"], axes=[0, 2, 3], keepdims=0),
            make("Equal", ["most", "most"], ["all"]),
            make("Compress", ["conv", "all"], ["hidden"], axis=1),
        ]
    )
    model = micam_fast.load_model(proto)
    said = "layer 'my conv': its kernel has 4,096 channels, its activation 3; export the model"
    with pytest.raises(SampleError, match=said):
        model.explain(np.ones((6, 5, 2)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"shown": (0, 2, 3, 4)}, "'conv' has 4 axes"),
        ({"shown": (0, -1)}, "'conv' has 4 axes"),
        ({"axes": Axes(None, 1)}, "the batch in axis None, where no export has it"),
        ({"axes": Axes(1, 2)}, "the batch in axis 1, where no export has it"),
        ({"axes": Axes(0, None)}, "a kernel of 4 axes, its activation 4"),
        ({"axes": Axes(0, 2)}, "a kernel of 3 channels, its activation 4"),
        ({"source_channel": 0}, "'turned' has 4 axes"),
        ({"source_channel": 4}, "'turned' has 4 axes"),
        ({"squeezed": 0}, "a squeezed axis, which no export writes"),
        ({"value": "flat", "axes": Axes(0, 1), "shown": None}, "a kernel of 4 axes, its activ"),
    ],
)
def test_axes_that_a_kernel_has_not(fields: dict[str, Any], said: str) -> None:
    assert said in opened(with_conv(tap=replace(CONV.tap, **fields)))


def test_a_kernel_and_its_geometry_belong_together() -> None:
    assert "a kernel without its geometry" in opened(with_conv(kernels=()))
    assert "a kernel without its geometry" in opened(
        with_conv(tap=replace(CONV.tap, geometry=None))
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"strides": (0, 1)}, "strides, dilations or pads that no convolution has"),
        ({"pads": (0, 0, 0, 10**12)}, "strides, dilations or pads that no convolution has"),
        ({"pads": (-1, 0, 0, 0)}, "strides, dilations or pads that no convolution has"),
        ({"dilations": ()}, "a geometry for other than 2 axes"),
        ({"output_padding": (0,)}, "a geometry for other than 2 axes"),
        ({"transpose": True}, "an output padding or shape that no export writes"),
        ({"output_shape": (4, 4)}, "an output padding or shape that no export writes"),
        ({"auto_pad": "SAME_LOWER"}, "the padding 'SAME_LOWER', which no export writes"),
    ],
)
def test_a_geometry_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    assert CONV.tap.geometry is not None
    geometry = replace(CONV.tap.geometry, **fields)
    assert said in opened(with_conv(tap=replace(CONV.tap, geometry=geometry)))


def test_a_bias_of_another_size_than_the_layer_s() -> None:
    layer = replace(CONV.layer, bias_shape=(0,))
    assert "a bias of another size" in opened(with_conv(layer=layer))


@pytest.mark.parametrize("axes", [Axes(0, 7), Axes(5, 1)])
def test_axes_that_a_value_does_not_have(axes: Axes) -> None:
    assert "'conv' has 4 axes" in opened(with_conv(tap=replace(CONV.tap, axes=axes)))


def test_a_weight_may_have_more_axes_of_size_one() -> None:
    proto = with_conv(bias=Weight("conv/bias", (1, 3)))
    assert micam_fast.load_model(proto).layers[1].bias_shape == (3,)
