"""The explanation of one sample: what the engine gave, and how it is shown."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from micam_fast.core.choices import DrawingChoice, LookChoice
from micam_fast.core.errors import SampleError
from micam_fast.core.notebooks import diagram_bundle
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.engine.sample_result import SampleResult
from micam_fast.samples import OwnPicture, PixelRules


@dataclass(frozen=True, eq=False)
class Explanation(SampleResult):
    """One sample's maps in every layer, on the diagram of their model.

    Attributes
    ----------
    maps, global_range, prediction, output, input_size, fed
        As in `SampleResult`.
    scene
        The model's diagram.
    sample, label
        What the header calls the sample, and its known label.
    notes
        What the owner of the model should know of all its maps.
    pixel_rules
        By input name: how the pixels of a picture file became what the model was fed; ``None``
        where it was fed something else.
    """

    scene: ModelDiagram
    sample: str = ""
    label: str | None = None
    notes: tuple[str, ...] = ()
    pixel_rules: Mapping[str, PixelRules] | None = None

    @classmethod
    def of(
        cls,
        result: SampleResult,
        scene: ModelDiagram,
        sample: str = "",
        label: str | None = None,
        notes: tuple[str, ...] = (),
        pixel_rules: Mapping[str, PixelRules] | None = None,
    ) -> Self:
        """What the engine gave, on a diagram."""
        # A frozen dataclass sets its fields one by one: 2 us, of the 170 of a small model's sample.
        shown = object.__new__(cls)
        vars(shown).update(
            vars(result),
            scene=scene,
            sample=sample,
            label=label,
            notes=notes,
            pixel_rules=pixel_rules,
        )
        return shown

    @property
    def own_picture(self) -> OwnPicture | None:
        """The sample as it was fed; ``None`` for a mean of several, or without finite values."""
        return None if self.fed is None else self.fed.picture(self.pixel_rules)

    def save(
        self,
        path: str | Path,
        look: LookChoice = "auto",
        *,
        drawing: DrawingChoice = "auto",
        page: str = "screen",
        scale_png: float = 1.5,
        rankdir: str | None = None,
        scale_tiles: float | None = None,
        compress_level: int = 1,
        row_names: Sequence[str] = (),
        depth: int | None = None,
        only_mapped: bool = False,
    ) -> Path:
        """Write the diagram or poster, or the numbers.

        Parameters
        ----------
        path
            The suffix says what is written: ``.png``, ``.svg``, ``.pdf``, ``.dot`` (with its tiles
            in a folder beside it), ``.html`` (the interactive page, see `Model.view`) or ``.npz``
            (``cam/NAME``, ``rgba/NAME``, ``range/NAME``, ``min_max/NAME``, ``global_range``,
            ``prediction``; ``activation_min_max/NAME`` if it was asked for).
        look
            ``"isometric"``, the published look, or ``"flat"``: tiles seen from above. ``"auto"`` is
            isometric for diagrams of inputs of rows and columns up to the published example's
            75 x 75.
        drawing
            ``"diagram"``, ``"poster"`` (the whole network on one page), or ``"auto"``: the diagram
            where it has at most 24 nodes or `rankdir` or `scale_tiles` is given, else the poster.
            DOT and the interactive page are always diagrams.
        page
            Of a poster: ``"screen"`` (1440 x 900), ``"a4"``, ``"a4-landscape"``, ``"letter"``,
            ``"slide"`` or ``"WIDTHxHEIGHT"``, in pixels of 1/96 inch.
        scale_png
            Of a poster: pixels of a PNG to one of the page.
        rankdir
            Of a diagram: ``"TB"`` for top to bottom, the default, or ``"LR"`` for left to right.
        scale_tiles
            Of a diagram: size of everything relative to the published tile of 635 x 205 pixels.
        compress_level
            Of a PNG: 1 is fastest, 9 smallest, 0 not compressed. Of a poster 1 and 2 are the same.
        row_names
            Of the input's rows. Where there are at most 32 and the input is long beside them, they
            stand beside the tiles of the layers whose maps lie on these rows; the page tells them
            of each cell.
        depth
            Draw a module that lies in ``depth - 1`` others as one node, with the map of its last
            layer that is read outside of it; by default each layer is a node. NPZ holds all.
        only_mapped
            Whether layers without a map are left out; dotted edges tell how many lie between.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputError
            If the format is unknown, the picture too large, or the file cannot be written.
        LayoutEngineError
            If Graphviz is missing or fails.
        ValueError
            If look, drawing, page, a scale, rankdir, compress_level or depth is none that there is,
            or there is not a name for each row.
        """
        from micam_fast.api.saving import save
        from micam_fast.core.choices import Detail, parse_page
        from micam_fast.diagrams.style import Style

        names = tuple(row_names)
        if names and len(names) != self.input_size[0]:
            raise ValueError(f"{len(names)} names of rows, the input has {self.input_size[0]}")
        style = Style(
            look,
            rankdir,
            scale_tiles,
            compress_level,
            row_names=names,
            detail=Detail(depth, only_mapped),
            drawing=drawing,
            page=parse_page(page),
            scale_png=scale_png,
        )
        return save(self, Path(path), style)

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """The diagram for notebooks, from above, and a line of text."""
        from micam_fast.api.formats.svg import svg_text
        from micam_fast.diagrams.style import Style

        return diagram_bundle(self, lambda: svg_text(self, Style("flat")), include, exclude)

    def __repr__(self) -> str:
        """Model, sample, number of maps, prediction."""
        said = ""
        if self.prediction is not None:
            said = f", {self.prediction.brief('prediction')}"
        sample = f" of {self.sample}" if self.sample else ""
        return f"<Explanation{sample} by {self.scene.model}: {len(self.maps)} maps{said}>"


def raise_errors(found: Iterator[Explanation | SampleError]) -> Iterator[Explanation]:
    """Explanations as they come; an error in the place of one is raised, and ends the stream."""
    try:
        for each in found:
            if isinstance(each, SampleError):
                raise each
            yield each
    finally:
        # A traceback may hold the stream for long.
        if isinstance(found, Generator):
            found.close()
