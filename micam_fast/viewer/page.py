"""The interactive page: one HTML file that needs no network."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.choices import LOOKS, Look
from micam_fast.core.output_files import atomic_file
from micam_fast.diagrams.shown import Shown
from micam_fast.viewer.document import build_document
from micam_fast.viewer.feature_maps import FeatureMaps, quantized_all
from micam_fast.viewer.identifiers import render_page
from micam_fast.viewer.payload import PageData, data_elements, told

# In this order: each uses what stands above.
_SCRIPTS = ("data", "colours", "pictures", "graph", "isometric", "table", "panel", "page")

Features = Sequence[Mapping[str, NDArray[np.float32] | FeatureMaps]]
"""For each sample feature maps by layer name, ``(C, h, w)`` float32 or quantized already."""


def page_html(
    explanations: Sequence[Shown],
    *,
    feature_maps: Features | None = None,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    compare: bool = False,
    title: str | None = None,
    look: Look = "flat",
    rankdir: str = "TB",
) -> str:
    """The page as text; see `write_page`."""
    if not explanations:
        raise ValueError("a page needs at least one explanation")
    if feature_maps is not None and len(feature_maps) != len(explanations):
        raise ValueError(
            f"feature_maps must be one mapping for each explanation: {len(explanations)}, not "
            f"{len(feature_maps)}"
        )
    if look not in LOOKS:
        raise ValueError(f"unknown look: {look!r} (must be one of {', '.join(LOOKS)})")
    first = explanations[0]
    data = PageData(
        explanations=explanations,
        layout=first.scene.layout(frozenset(first.maps), rankdir),
        feature_maps=[quantized_all(each) for each in feature_maps or [{}] * len(explanations)],
        row_names=row_names,
        column_names=column_names,
        title=told(first.scene.model if title is None else title),
        rankdir=rankdir,
    )
    document = build_document(data, compare=compare, look=look)
    return render_page(
        document,
        _text("template.html"),
        {
            "title": data.title,
            "style": _text("style.css"),
            "scripts": _scripts(),
            "data": "".join(data_elements(data)),
        },
    )


def write_page(
    path: str | Path,
    explanations: Sequence[Shown],
    *,
    feature_maps: Features | None = None,
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    compare: bool = False,
    title: str | None = None,
    look: Look = "flat",
    rankdir: str = "TB",
) -> Path:
    """Write the interactive page.

    Parameters
    ----------
    path
        Of the file.
    explanations
        One or more samples. They may be of two models: layers are matched by name, and the graph
        is that of the first.
    feature_maps
        For each explanation, feature maps ``(C, h, w)`` float32 by layer name; ``None`` for none.
        They are kept in 256 steps.
    row_names, column_names
        Of the model's input; shown for the cells of maps on the input's grid.
    compare
        Whether the page opens with the first two samples side by side and their difference.
    title
        Of the page; the model's name by default.
    look
        ``"flat"`` or ``"isometric"``: how the page shows the tiles at first.
    rankdir
        ``"TB"`` or ``"LR"``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    MissingExtraError
        If Bokeh is not installed.
    OutputError
        If the file cannot be written.
    LayoutEngineError
        If Graphviz is missing or fails.
    ValueError
        If there is no explanation, or `feature_maps` or `look` do not fit.
    """
    html = page_html(
        explanations,
        feature_maps=feature_maps,
        row_names=row_names,
        column_names=column_names,
        compare=compare,
        title=title,
        look=look,
        rankdir=rankdir,
    )
    with atomic_file(Path(path)) as file:
        file.write(html.encode())
    return Path(path)


@functools.cache
def _scripts() -> str:
    return "\n".join(_text(f"scripts/{name}.js") for name in _SCRIPTS)


@functools.cache
def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
