"""Models whose every name is an attack, beside ones that differ from them in their names alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx
from onnx import helper

from micam_fast.models.onnx import open_model
from micam_fast.models.onnx.annotations import METADATA_KEY, LayerNote, Weight, write_notes
from micam_fast.models.onnx.reader import read_layers
from tests.helpers import models

SCRIPT = "<script>window.__attack=1</script>"
IMAGE = '"><img src=x onerror="window.__attack=1">'
LONG = "/".join(["block"] * 400)[:2000]
"""As long as a name in a model may be."""

NAMES = (
    # HTML, SVG, scripts, links
    SCRIPT, IMAGE, f"</script>{SCRIPT}", f"</svg>{SCRIPT}", f"</title></style>{SCRIPT}", "]]>",
    "<!-- <script>", "javascript:window.__attack=1", "&lt;img src=x&#62;&amp;", "'-window.x()-'",
    "\\';window.__attack=1//", "${window.__attack=1}`", "__proto__", "constructor", "toString",
    "\u2028window.__attack=1\u2029", "{{7*7}}{% raw %}", "@layer{safe} $index", "<b>bold</b>",
    # DOT
    'say "no"\\', "\\N\\G\\L\\E\\T", "a:b:c", "// # /* */", "graph", "node", "subgraph", "edge",
    "strict", "cluster_0", "n0", "-> n1; n2",
    # lines, terminals, what cannot be seen
    "two\nlines\r\n", "\x1b[31mred\x1b[0m\x9b2J\x07", "\x01\x08\x0b\x7f", "nul\x00inside",
    "\u202egnp.exe\u202c", "\u200b\u2060", "   ", "\ufffe\uffff", "e" + "\u0301" * 300, LONG,
    "日" * 300, "[red]markup[/red]", "%s%n{0.__class__}",
    # files
    "../../../etc/passwd", "/etc/passwd", "C:\\windows\\x", "..\\..\\x", "CON", ".", "..", "dot. ",
    "-rf", "~", "Case", "case", "a/b", "a?b", "a_b",
    # spreadsheets
    '=HYPERLINK("http://x.invalid","y")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", " =1",
    "\uff1d1", 'a,"b"\nc',
)  # fmt: skip
SURROGATE = "half \ud800 of a pair"
"""In no protocol buffer, but JSON can hold it."""


def net(names: Sequence[str]) -> onnx.ModelProto:
    """A chain of layers of these names, on ``(1, 8, 6)`` inputs; the input has the last name."""
    *inner, source = names
    constants = {"w": models.random_array(1, 2, 1, 3, 3), "dw": models.random_array(2, 96, 3)}
    nodes, value = [], source
    for index, name in enumerate(inner):
        if index == 0:
            made = helper.make_node("Conv", [value, "w"], ["v0"], name, pads=[1, 1, 1, 1])
        else:
            made = helper.make_node("Relu", [value], [f"v{index}"], name)
        made.doc_string = name
        nodes.append(made)
        value = f"v{index}"
    nodes.append(helper.make_node("Flatten", [value], ["flat"], "flatten"))
    nodes.append(helper.make_node("Gemm", ["flat", "dw"], ["dense"], "dense"))
    nodes.append(helper.make_node("Softmax", ["dense"], ["softmax"], "softmax"))
    proto = models.make_model(
        nodes, {source: ["batch", 1, 8, 6]}, ["softmax"], constants, name=names[0]
    )
    proto.doc_string = proto.producer_name = proto.graph.doc_string = names[0]
    helper.set_model_props(proto, {name: name for name in inner})
    return proto


def annotated(names: Sequence[str]) -> onnx.ModelProto:
    """The same with plain names in the graph; its notes, like an export's, have these names.

    Classes, activations and nested models have them, too.
    """
    plain = [f"layer_{index}" for index in range(len(names))]
    proto = net(plain)
    reading = read_layers(open_model(proto)).reading
    called = dict(zip(plain, names, strict=True))
    notes = []
    for place, layer in enumerate(reading.layers):
        name = called.get(layer.name, layer.name)
        told = replace(
            layer,
            name=name,
            class_label=name if layer.inputs else "Input",
            inputs=tuple(called.get(each, each) for each in layer.inputs),
            activation=name,
            cluster=(name,) if place % 3 == 1 else (),
        )
        found = reading.kernels.get(layer.name)
        kernels = () if found is None else (Weight("w", (2, 1, 3, 3)),)
        notes.append(LayerNote(told, reading.taps[layer.name], kernels))
    helper.set_model_props(proto, {METADATA_KEY: write_notes(tuple(notes), {"keras": names[0]})})
    return proto
