"""Exported files whose notes are changed: names, sizes, axes, geometry; from a seed alone."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.helpers.lying_graphs import SIZES, Liar
from tests.helpers.lying_oracle import Known, Walk
from tests.helpers.models import Array, make_model, random_array
from tests.helpers.mutations import Random

KEY = "micam_fast.layers"
Note = dict[str, Any]


# --- True notes -------------------------------------------------------------------------------


def _note(name: str, value: str, parents: Sequence[str], **tap: Any) -> Note:
    axes = {"batch": 0, "channel": tap.pop("channel", 1), "channels_last": False}
    return {
        "layer": {
            "name": name, "op_type": "Layer", "class_label": "Layer", "inputs": list(parents),
            "input_shapes": [], "output_shape": None, "kernel_shape": None, "bias_shape": None,
            "activation": None, "cluster": [], "pointwise_shape": None,
        },
        "tap": {
            "value": value, "axes": axes, "form": "channels", "geometry": None, "source": None,
            "source_channel": 1, "squeezed": None, "shown": None, **tap,
        },
        "kernels": [], "bias": None,
    }  # fmt: skip


def _give_kernel(note: Note, source: str, kernels: dict[str, Array], bias: str, **how: Any) -> None:
    shape = next(iter(kernels.values())).shape
    rank = len(shape) - 2
    note["tap"]["source"] = source
    note["tap"]["geometry"] = {
        "transpose": False, "strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * 2 * rank,
        "groups": 1, "auto_pad": "NOTSET", "output_padding": [0] * rank, "output_shape": [], **how,
    }  # fmt: skip
    note["kernels"] = [{"value": n, "shape": list(array.shape)} for n, array in kernels.items()]
    last = list(kernels.values())[-1].shape
    channels = last[1] if how.get("transpose") else last[0]
    note["bias"] = {"value": bias, "shape": [channels]}
    note["layer"]["bias_shape"] = [channels]


def handmade(rng: Random) -> tuple[onnx.ModelProto, Array]:
    """A small file as an export writes it, with weights of other sizes besides."""
    rank = rng.choice((1, 2, 2, 3))
    size, taps = ([rng.choice(of) for _ in range(rank)] for of in ((4, 5, 6), (1, 2, 3)))
    seed = rng.randrange(10**6)
    first, second = random_array(seed, 4, 3, *taps), random_array(seed + 1, 4, 5, *taps)
    constants: dict[str, Any] = {
        "c1/kernel": first, "c1/bias": random_array(seed + 3, 4), "c2/kernel": second,
        "c2/bias": random_array(seed + 4, 5), "c3/depthwise": random_array(seed + 5, 5, 1, *taps),
        "c3/pointwise": random_array(seed + 6, 6, 5, *[1] * rank),
        "c3/bias": random_array(seed + 2, 6),
        "wide/kernel": random_array(seed + 7, 4096, 3, *taps), "wide/bias": random_array(8, 4096),
        "scale": random_array(seed, 4), "shift": random_array(seed + 8, 4),
        "mean": random_array(9, 4),
        "variance": np.abs(random_array(10, 4)) + np.float32(0.2),
        "dense/kernel": random_array(11, 6, 3), "dense/bias": random_array(12, 3),
    }  # fmt: skip
    closed = rng.random() < 0.6
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "c1/kernel", "c1/bias"], ["c1"], auto_pad="SAME_UPPER"),
        make("BatchNormalization", ["c1", "scale", "shift", "mean", "variance"], ["norm"]),
        make("Relu", ["norm"], ["act"]),
        make("ConvTranspose", ["act", "c2/kernel", "c2/bias"], ["c2"]),
        make("Conv", ["c2", "c3/depthwise"], ["c3d"], group=5),
        make("Conv", ["c3d", "c3/pointwise", "c3/bias"], ["c3"]),
        make("Transpose", ["c3"], ["turned"], perm=[0, *range(2, rank + 2), 1]),
        make("GlobalAveragePool", ["c3"], ["pool"]),
        make("Flatten", ["pool"], ["flat"]),
        make("Gemm", ["flat", "dense/kernel", "dense/bias"], ["dense"]),
    ]
    model = make_model(
        nodes, {"x": ["N", 3, *(size if closed else [None] * rank)]}, ["dense"], constants
    )
    last = [0, *range(2, rank + 2), 1]
    notes = [
        _note("picture", "x", [], shown=last),
        _note("first", "c1", ["picture"], shown=last),
        _note("norm", "norm", ["first"], shown=last),
        _note("act", "act", ["norm"]),
        _note("second", "c2", ["act"], shown=last),
        _note("third", "c3", ["second"]),
        _note("turned", "turned", ["third"], channel=rank + 1),
        _note("flat", "flat", ["turned"], channel=None),
        _note("dense", "dense", ["flat"], channel=None),
    ]
    same = {"auto_pad": "SAME_UPPER"}
    _give_kernel(notes[1], "x", {"c1/kernel": first}, "c1/bias", **same)
    _give_kernel(notes[4], "act", {"c2/kernel": second}, "c2/bias", transpose=True)
    separable = {name: constants[name] for name in ("c3/depthwise", "c3/pointwise")}
    _give_kernel(notes[5], "c2", separable, "c3/bias", groups=5)
    write(model, notes)
    return model, random_array(seed + 9, 3, *size)


def write(model: onnx.ModelProto, notes: Sequence[Note]) -> None:
    """Put notes into a model."""
    content = {"format": 1, "made_by": {}, "layers": list(notes)}
    helper.set_model_props(model, {KEY: json.dumps(content)})


def read(model: onnx.ModelProto) -> list[Note]:
    """The notes of a model."""
    text = next(each.value for each in model.metadata_props if each.key == KEY)
    return list(json.loads(text)["layers"])


# --- Lies -------------------------------------------------------------------------------------


def _number(rng: Random, old: Any) -> Any:
    near = [old - 1, old + 1, old + 2] if isinstance(old, int) else [1]
    return rng.choice((*near, 0, 1, 2, 3, 4, 5, rng.choice(SIZES), rng.choice((None, -1, 63, 64))))


def _lie_of_axes(note: Note, rng: Random, model: onnx.ModelProto, notes: list[Note]) -> None:
    tap = note["tap"]
    fields = ("channel", "channel", "batch", "shown", "source_channel", "squeezed", "form")
    what = rng.choice(fields)
    if what in ("channel", "batch"):
        tap["axes"][what] = _number(rng, tap["axes"][what])
    elif what == "shown":
        shown = list(tap["shown"] or range(4))
        if rng.random() < 0.5:
            shown[rng.randrange(len(shown))] = rng.choice((-1, 0, 1, 2, 3, 4, 5, 63, 64, 2**40))
        else:
            rng.shuffle(shown)
        tap["shown"] = shown[: rng.choice((1, 3, 4, 9))] if rng.random() < 0.3 else shown
    elif what == "form":
        tap["form"] = rng.choice(("channels", "recurrent", "flat", "else"))
    else:
        tap[what] = _number(rng, tap[what])


def _lie_of_values(note: Note, rng: Random, model: onnx.ModelProto, notes: list[Note]) -> None:
    """Names of other values, or of another layer's."""
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    key = rng.choice(("value", "value", "source"))
    note["tap"][key] = rng.choice((rng.choice(names), rng.choice(notes)["tap"][key]))


def _weight(rng: Random, model: onnx.ModelProto) -> Note:
    tensor = rng.choice(model.graph.initializer)
    return {"value": tensor.name, "shape": list(tensor.dims)}


def _lie_of_kernels(note: Note, rng: Random, model: onnx.ModelProto, notes: list[Note]) -> None:
    """Other weights, mostly with the shapes that they have."""
    bearers = [each for each in notes if each["kernels"]]
    note = rng.choice(bearers) if bearers and not note["kernels"] else note
    what = rng.random()
    other = rng.choice(bearers) if bearers else note
    if what < 0.3 or not note["kernels"]:
        note["kernels"] = (
            copy.deepcopy(other["kernels"]) if rng.random() < 0.5 else [_weight(rng, model)]
        )
        if note["tap"]["geometry"] is None and rng.random() < 0.8:
            note["tap"]["geometry"] = copy.deepcopy(other["tap"]["geometry"])
            note["tap"]["source"] = rng.choice((None, other["tap"]["source"]))
    elif what < 0.5:
        wide = [each.name for each in model.graph.initializer if each.name.startswith("wide")]
        if wide:
            kernel = next(each for each in model.graph.initializer if each.name == "wide/kernel")
            note["kernels"] = [{"value": kernel.name, "shape": list(kernel.dims)}]
            note["bias"] = rng.choice((None, {"value": "wide/bias", "shape": [4096]}))
            note["layer"]["bias_shape"] = rng.choice((None, [4096]))
    elif what < 0.65:
        shape = rng.choice(note["kernels"])["shape"]
        if rng.random() < 0.5:
            rng.shuffle(shape)
        elif shape:
            shape[rng.randrange(len(shape))] = rng.choice(SIZES)
    elif what < 0.75:
        note["kernels"].append(_weight(rng, model))
    elif what < 0.85:
        note["bias"] = rng.choice((None, _weight(rng, model)))
    elif what < 0.95:
        note["bias"] = _weight(rng, model)
        note["layer"]["bias_shape"] = list(note["bias"]["shape"])
    else:
        note["kernels"].pop()


def _lie_of_geometry(note: Note, rng: Random, model: onnx.ModelProto, notes: list[Note]) -> None:
    bearers = [each for each in notes if each["tap"]["geometry"]]
    if not bearers:
        return
    geometry = rng.choice(bearers)["tap"]["geometry"]
    what = rng.choice(list(geometry))
    if what == "transpose":
        geometry[what] = not geometry[what]
    elif what == "groups":
        geometry[what] = _number(rng, geometry[what])
    elif what == "auto_pad":
        geometry[what] = rng.choice(("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", "x", ""))
    elif geometry[what] and rng.random() < 0.8:
        geometry[what][rng.randrange(len(geometry[what]))] = rng.choice(
            (0, 1, 2, 3, 5, 9, 65535, 65536, 2**31, 2**40, -1)
        )
    else:
        geometry[what] = [1] * rng.randrange(8)


def _lie_of_layers(note: Note, rng: Random, model: onnx.ModelProto, notes: list[Note]) -> None:
    """Swapped taps, layers left out, shapes that only labels show."""
    what, other = rng.random(), rng.choice(notes)
    if what < 0.4:
        note["tap"], other["tap"] = other["tap"], note["tap"]
    elif what < 0.6:
        for key in ("kernels", "bias"):
            note[key], other[key] = other[key], note[key]
    elif what < 0.7 and len(notes) > 2:
        notes.remove(note)
    else:
        key = rng.choice(("kernel_shape", "output_shape", "pointwise_shape", "bias_shape"))
        note["layer"][key] = [rng.choice(SIZES) for _ in range(rng.randrange(5))]


LIES: Mapping[str, Callable[[Note, Random, onnx.ModelProto, list[Note]], None]] = {
    "axes": _lie_of_axes,
    "values": _lie_of_values,
    "kernels": _lie_of_kernels,
    "geometry": _lie_of_geometry,
    "layers": _lie_of_layers,
}


def lying_notes(seed: int) -> Liar:
    """The hand-made file of a seed, its notes changed; the same in every run."""
    rng = Random(f"notes {seed}")
    return lie(*handmade(rng), rng)


def lie(model: onnx.ModelProto, sample: Array, rng: Random) -> Liar:
    """A file as an export writes it, its notes changed in one place or two."""
    notes = read(model)
    names = [rng.choice((*LIES, "kernels")) for _ in range(rng.choice((1, 1, 1, 2)))]
    for name in names:
        LIES[name](rng.choice(notes), rng, model, notes)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.metadata_props[:]
    write(changed, notes)
    return Liar(changed, sample, known_notes(changed, notes), ", ".join(names))


def known_notes(model: onnx.ModelProto, notes: Sequence[Note]) -> dict[str, Known]:
    """The layers, as the notes say; of those that cannot be, what is left does not matter."""
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    found = {}
    for note in notes:
        tap, walk = note["tap"], None
        try:
            walk = _walk(note, held)
        except (ValueError, KeyError, IndexError, TypeError, ZeroDivisionError):
            continue
        found[note["layer"]["name"]] = Known(
            tap["value"],
            tap["axes"]["channel"],
            tap["form"],
            walk,
            tap["source"],
            tap["source_channel"],
            {"channels_last": tap["axes"]["channels_last"]},
        )
    return found


def _walk(note: Note, held: Mapping[str, Array]) -> Walk | None:
    geometry, kernels = note["tap"]["geometry"], note["kernels"]
    if geometry is None:
        return None
    arrays = [held[each["value"]].reshape(each["shape"]).astype(float) for each in kernels]
    kernel, groups = arrays[0], geometry["groups"]
    if len(arrays) > 1:
        # Depthwise, then pointwise: one kernel for all input channels, already summed.
        point = arrays[1].reshape(len(arrays[1]), -1)
        kernel = np.tensordot(point, kernel[:, 0], axes=1)[:, np.newaxis]
        groups = 1
    bias = None if note["bias"] is None else held[note["bias"]["value"]].reshape(-1)
    rank = kernel.ndim - 2
    same = geometry["auto_pad"] == "SAME_UPPER"
    if math.prod(kernel.shape) == 0:
        raise ValueError("no kernel")
    return Walk(
        kernel,
        bias,
        geometry["strides"],
        geometry["dilations"],
        None if same else geometry["pads"][:rank],
        groups,
        geometry["transpose"],
        geometry["output_padding"],
    )
