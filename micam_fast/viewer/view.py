"""A page that is not written yet: `Model.view` gives one, notebooks show it."""

from __future__ import annotations

import functools
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from micam_fast.core.output_files import atomic_file
from micam_fast.diagrams.shown import Shown
from micam_fast.viewer.page import Features, page_html

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

    explanations: Sequence[Shown]
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
