"""The interactive page: one HTML file that needs no network, and that notebooks show."""

from __future__ import annotations

import functools
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from micam_fast.core.choices import Detail, LookChoice
from micam_fast.core.output_files import atomic_file
from micam_fast.diagrams.shown import Shown
from micam_fast.diagrams.style import Style
from micam_fast.viewer.document import build_document
from micam_fast.viewer.feature_maps import FeatureMaps, quantized_all
from micam_fast.viewer.identifiers import render_page
from micam_fast.viewer.payload import PageData, data_elements, told

# In this order: each uses what stands above.
_SCRIPTS = ("data", "colours", "pictures", "graph", "isometric", "table", "panel", "page")
_NOTEBOOK_HEIGHT = 820

Features = Sequence[Mapping[str, NDArray[np.float32] | FeatureMaps]]
"""For each sample feature maps by layer name, ``(C, h, w)`` float32 or quantized already."""


@dataclass(frozen=True, eq=False)
class View:
    """Some samples' interactive page.

    Attributes
    ----------
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
        How the page shows the tiles at first, as in `Explanation.save`.
    rankdir
        ``"TB"`` or ``"LR"``.
    depth, only_mapped
        As in `Explanation.save`.
    """

    explanations: Sequence[Shown]
    feature_maps: Features | None = None
    row_names: Sequence[str] | None = None
    column_names: Sequence[str] | None = None
    compare: bool = False
    title: str | None = None
    look: LookChoice = "flat"
    rankdir: str = "TB"
    depth: int | None = None
    only_mapped: bool = False

    @functools.cached_property
    def html(self) -> str:
        """The page.

        Raises
        ------
        MissingExtraError
            If Bokeh is not installed.
        LayoutEngineError
            If Graphviz is missing or fails.
        ValueError
            If there is no explanation, or `feature_maps`, `look` or `depth` do not fit.
        """
        shown, maps = self.explanations, self.feature_maps
        if not shown:
            raise ValueError("a page needs at least one explanation")
        if maps is not None and len(maps) != len(shown):
            raise ValueError(
                f"feature_maps must be one mapping for each explanation: {len(shown)}, not "
                f"{len(maps)}"
            )
        look = Style(self.look).look_for(shown[0].input_size)
        scene, mapped = shown[0].scene, frozenset(shown[0].maps)
        detail = Detail(self.depth, self.only_mapped)
        data = PageData(
            explanations=shown,
            nodes=scene.nodes(mapped, detail),
            layout=scene.layout(mapped, self.rankdir, detail=detail),
            feature_maps=[quantized_all(each) for each in maps or [{}] * len(shown)],
            row_names=self.row_names,
            column_names=self.column_names,
            title=told(scene.model if self.title is None else self.title),
            rankdir=self.rankdir,
        )
        return render_page(
            build_document(data, compare=self.compare, look=look),
            _text("template.html"),
            {
                "title": data.title,
                "style": _text("style.css"),
                "scripts": _scripts(),
                "data": "".join(data_elements(data)),
            },
        )

    def save(self, path: str | Path) -> Path:
        """Write the page.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputError
            If the file cannot be written; also what `html` raises.
        """
        text = self.html.encode()
        with atomic_file(Path(path)) as file:
            file.write(text)
        return Path(path)

    def _repr_html_(self) -> str:
        """The page in a frame of its own: a notebook's styles and scripts stay outside."""
        page = html.escape(self.html, quote=True)
        return (
            f'<iframe srcdoc="{page}" style="width: 100%; height: {_NOTEBOOK_HEIGHT}px; '
            'border: 1px solid #ddd"></iframe>'
        )

    def __repr__(self) -> str:
        """Model and number of samples."""
        count = len(self.explanations)
        model = self.explanations[0].scene.model
        return f"<View of {count} sample{'s' * (count != 1)} by {model}>"


@functools.cache
def _scripts() -> str:
    return "\n".join(_text(f"scripts/{name}.js") for name in _SCRIPTS)


@functools.cache
def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
