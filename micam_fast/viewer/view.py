"""A page that is not written yet: what `Model.view` gives, which notebooks show."""

from __future__ import annotations

import functools
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from micam_fast.api.explanation import Explanation
from micam_fast.core.choices import Projection
from micam_fast.core.layer_choice import match_layers
from micam_fast.core.output_files import atomic_file
from micam_fast.viewer.feature_maps import choose_layers, gather
from micam_fast.viewer.page import Features, page_html

if TYPE_CHECKING:
    from micam_fast.engine.loaded_model import Model

_NOTEBOOK_HEIGHT = 820


@dataclass(frozen=True, eq=False)
class View:
    """Some samples' interactive page.

    Attributes
    ----------
    explanations
        The samples.
    feature_maps
        For each sample, by layer name; ``None`` for none.
    row_names, column_names, compare, title
        As in `write_page`.
    """

    explanations: Sequence[Explanation]
    feature_maps: Features | None = None
    row_names: Sequence[str] | None = None
    column_names: Sequence[str] | None = None
    compare: bool = False
    title: str | None = None

    @functools.cached_property
    def html(self) -> str:
        """The page."""
        return page_html(
            self.explanations,
            feature_maps=self.feature_maps,
            row_names=self.row_names,
            column_names=self.column_names,
            compare=self.compare,
            title=self.title,
        )

    def save(self, path: str | Path) -> Path:
        """Write the page.

        Raises
        ------
        MissingExtraError, OutputError, LayoutEngineError
            As `write_page` does.
        """
        with atomic_file(Path(path)) as file:
            file.write(self.html.encode())
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


def view(
    model: Model,
    samples: Iterable[Any],
    *,
    feature_maps: str | Iterable[str] | None = None,
    projection: Projection = "published",
    sample_names: Sequence[str] = (),
    labels: Sequence[str | None] = (),
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    compare: bool = False,
    title: str | None = None,
) -> View:
    """The interactive page of some samples, which shows itself in a notebook.

    Parameters
    ----------
    model
        The model.
    samples
        What `Model.explain_many` takes.
    feature_maps
        Names or patterns of the layers whose feature maps the page holds; by default all layers if
        these take at most 12 MiB, else none.
    projection
        As in `Model.explain`.
    sample_names, labels
        What the page calls the samples, and their known labels, as far as there are any.
    row_names, column_names, compare, title
        As in `write_page`.

    Returns
    -------
    View

    Raises
    ------
    SampleError
        If a sample does not fit the model.
    LayerSelectionError
        If a pattern of `feature_maps` matches no layer.
    ValueError
        If there is no sample, or the projection is unknown.
    """
    arrays = list(samples)
    explanations = [
        replace(
            found,
            sample=sample_names[index] if index < len(sample_names) else "",
            label=(labels[index] if index < len(labels) else None) or None,
        )
        for index, found in enumerate(model.explain_many(arrays, projection=projection))
    ]
    if not explanations:
        raise ValueError("a page needs at least one sample")
    if feature_maps is None:
        layers = choose_layers(explanations)
    else:
        layers = match_layers(model.layers, feature_maps)
    maps = list(gather(model, arrays, layers)) if layers else None
    return View(explanations, maps, row_names, column_names, compare, title)
