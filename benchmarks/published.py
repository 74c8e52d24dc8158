"""The published method as it stands, for one sample: written from SPEC alone, nothing copied.

For each layer one FFT product per pair of channels, then RGBA, then one three-dimensional scatter
picture by matplotlib in a file of its own; Graphviz composes the files to one diagram. It is
favoured in two ways: its activations come from ONNX Runtime in one run, and of a depthwise
convolution, of which the published engine reads channel 0 only, it makes that one product.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import graphviz
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from numpy.typing import NDArray
from PIL import Image

from benchmarks.activations import Activations
from micam_fast.core.layers import Layer
from tests.helpers.reference import channel_weights, flat_map, global_range, published_range, rgba

Array = NDArray[Any]
DPI = 150
WIDTH, HEIGHT, LABEL = 635, 205, 435
ELEVATION, AZIMUTH = 30, 15
# The plane lies where SPEC section 4 tells of the published tile.
ZOOM, LIFT = 2.6, 13


def is_depthwise(activations: Activations, name: str) -> bool:
    """Tell whether a layer is a convolution of which the published engine reads one channel."""
    return activations.graph.layer(name).class_label == "DepthwiseConv2D"


def make_cams(activations: Activations) -> dict[str, Array]:
    """Maps of the first sample, every layer."""
    return {name: _make_cam(activations, name) for name in activations.graph.taps}


def _make_cam(activations: Activations, name: str) -> Array:
    values, weights = activations.channels_last(name), activations.kernel(name)
    if values.ndim == 1:
        return flat_map(values, *activations.input_size)
    if weights is None:
        return np.asarray(values.mean(axis=-1))
    kernel, bias = weights
    if is_depthwise(activations, name):
        values, kernel = values[..., :1], kernel[..., :1]
        bias = None if bias is None else bias[:1]
    return convolve_pairs(values, kernel, bias)


def convolve_pairs(values: Array, kernel: Array, bias: Array | None) -> Array:
    """One circular convolution by FFT for each pair of an input and an output channel.

    Parameters
    ----------
    values
        ``(h, w, C)``.
    kernel
        ``(kh, kw, J, C)``; it is applied spatially transposed.
    bias
        ``(C,)`` or ``None``.
    """
    height, width, channels = values.shape
    scale = channel_weights(bias, channels)
    total = np.zeros((height, width))
    for c in range(channels):
        for j in range(kernel.shape[2]):
            tap = kernel[:, :, j, c].T[:height, :width]
            product = np.fft.fft2(values[:, :, c]) * np.fft.fft2(tap, s=(height, width))
            total += scale[c] * np.fft.ifft2(product).real
    return total


def draw_pictures(cams: Mapping[str, Array], activations: Activations, folder: Path) -> list[Path]:
    """One scatter picture for each layer, in their order."""
    low, high = global_range(cams.values())
    paths = []
    for index, layer in enumerate(activations.graph.layers):
        path, cam = folder / f"{index}.png", cams[layer.name]
        _draw_picture(cam, rgba(cam, low, high), index, layer, activations.input_size, path)
        paths.append(path)
    return paths


def _draw_picture(
    cam: Array, colours: Array, index: int, layer: Layer, input_size: tuple[int, int], path: Path
) -> None:
    rows, columns = (
        np.arange(size) * have // size for size, have in zip(input_size, cam.shape, strict=True)
    )
    cells = colours[rows][:, columns].reshape(-1, 4)
    y, x = np.indices(input_size)
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, LIFT / HEIGHT, LABEL / WIDTH, 1), projection="3d")
    assert isinstance(axes, Axes3D)
    axes.view_init(elev=ELEVATION, azim=AZIMUTH)
    axes.set_box_aspect(None, zoom=ZOOM)
    axes.set_axis_off()
    areas = 5 * cells[:, 2] * math.log(10 * (index + 1))
    # "Any": matplotlib's own annotation of `scatter` takes no array of areas.
    scatter: Any = axes.scatter
    scatter(y.ravel(), x.ravel(), np.zeros(y.size), c=cells, marker="s", s=areas, clip_on=False)
    low, high = published_range(cam)
    lines = [
        layer.name, layer.class_label, f"I: {layer.input_shapes}", f"O: {layer.output_shape}",
        f"{layer.activation}", f"{layer.kernel_shape} + {layer.bias_shape}",
        f"min: {low:.3g}", f"max: {high:.3g}",
    ]  # fmt: skip
    figure.text(LABEL / WIDTH, 0.15, "\n".join(lines), fontsize=5)
    figure.savefig(path)


def compose(pictures: Sequence[Path], activations: Activations, target: Path) -> str:
    """One diagram of all pictures; tells by what.

    By Graphviz; where there is none on PATH, by Pillow, one picture below the other.
    """
    if shutil.which("dot") is None:
        sheet = Image.new("RGB", (WIDTH, HEIGHT * len(pictures)), "white")
        for index, path in enumerate(pictures):
            with Image.open(path) as picture:
                sheet.paste(picture, (0, HEIGHT * index))
        sheet.save(target)
        return "Pillow"
    graph = graphviz.Digraph(graph_attr={"dpi": str(DPI)}, node_attr={"shape": "box", "label": ""})
    for layer, path in zip(activations.graph.layers, pictures, strict=True):
        graph.node(layer.name, image=str(path))
        graph.edges((parent, layer.name) for parent in layer.inputs)
    target.write_bytes(graph.pipe("png", quiet=True))
    return "Graphviz"
