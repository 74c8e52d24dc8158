"""The result for one sample: maps, colours, ranges, prediction, and how it is shown."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from micam_fast.choices import Look
from micam_fast.errors import SampleError
from micam_fast.notebooks import diagram_bundle
from micam_fast.results import LayerMap
from micam_fast.sample_maps import EachLayer, SampleMaps
from micam_fast.scene import Scene


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says, where its first output is a class vector.

    Attributes
    ----------
    index
        Of the most probable class.
    probability
        Its probability; by softmax where the model gives logits.
    probabilities
        ``(N,)`` float32, of all classes.
    """

    index: int
    probability: float
    probabilities: NDArray[np.float32]

    def __str__(self) -> str:
        """As headings have it."""
        return f"class {self.index}, probability {self.probability:.4f}"


def to_probabilities(scores: NDArray[Any], last_op: str) -> NDArray[Any]:
    """Scores as probabilities, so that they are comparable between samples.

    Parameters
    ----------
    scores
        ``(n, classes)``.
    last_op
        ONNX's name of the operator that made them. Values of a Softmax or Sigmoid are
        probabilities as they are; others are if all rows lie in [0, 1] and sum to 1; else they are
        logits, and softmax is taken.
    """
    inside = bool(((scores >= 0) & (scores <= 1)).all())
    if last_op in ("Softmax", "Sigmoid") or (
        inside and bool((abs(scores.sum(axis=1) - 1) < 1e-3).all())
    ):
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def predict(output: NDArray[Any], last_op: str) -> Prediction | None:
    """Read a class vector.

    Parameters
    ----------
    output
        The model's first output for one sample.
    last_op
        The operator that made it, see `to_probabilities`.

    Returns
    -------
    Prediction or None
        ``None`` if the output is no vector of at least two finite numbers.
    """
    scores = output.reshape(-1)
    if output.size != max(output.shape, default=0) or output.size < 2 or output.dtype.kind != "f":
        return None
    scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        return None
    (scores,) = to_probabilities(scores[np.newaxis], last_op)
    index = int(scores.argmax())
    probabilities = scores.astype(np.float32)
    probabilities.flags.writeable = False
    return Prediction(index, float(scores[index]), probabilities)


@dataclass(frozen=True, eq=False)
class Explanation:
    """One sample's maps in every layer.

    Attributes
    ----------
    maps
        By layer name, in the diagram's order; layers that were left out are missing.
    global_range
        ``(gmin, gmax)`` of SPEC section 3.
    prediction
        ``None`` where the model's first output is no class vector.
    output
        The model's first output for this sample; ``None`` if that is no tensor.
    input_size
        ``(Hin, Win)``.
    scene
        The model's diagram.
    sample, label
        What the header calls the sample, and its known label.
    """

    maps: Mapping[str, LayerMap]
    global_range: tuple[float, float]
    prediction: Prediction | None
    output: NDArray[Any] | None
    input_size: tuple[int, int]
    scene: Scene
    sample: str = ""
    label: str | None = None

    @property
    def cams(self) -> Mapping[str, NDArray[np.float32]]:
        """Maps ``(h', w')`` float32 by layer name."""
        maps = self.maps
        if isinstance(maps, SampleMaps):
            return EachLayer(maps.frame.index, maps.cam)
        return EachLayer(maps, lambda name: maps[name].cam)

    @property
    def rgba(self) -> Mapping[str, NDArray[np.uint8]]:
        """Tiles ``(h', w', 4)`` uint8, straight alpha, at native resolution, by layer name."""
        return EachLayer(self.maps, lambda name: self.maps[name].rgba)

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """``(m, M)`` of SPEC section 3 by layer name; NaN where a layer takes no part."""
        return EachLayer(self.maps, lambda name: self.maps[name].range)

    def colour(self) -> None:
        """Compute the colours of all maps now, and not when they are first asked for."""
        if isinstance(self.maps, SampleMaps):
            _ = self.maps.colours

    def save(
        self,
        path: str | Path,
        look: Look = "isometric",
        *,
        rankdir: str = "TB",
        scale_tiles: float = 1.0,
        compress_level: int = 1,
    ) -> Path:
        """Write the diagram, or the numbers.

        Parameters
        ----------
        path
            The suffix says what is written: ``.png``, ``.svg``, ``.pdf``, ``.dot`` (with its tiles
            in a folder beside it), ``.html`` (the interactive page, see `Model.view`) or ``.npz``
            (``cam/NAME``, ``rgba/NAME``, ``range/NAME``, ``global_range``, ``prediction``).
        look
            ``"isometric"``, the published look, or ``"flat"``: tiles seen from above.
        rankdir
            ``"TB"`` for top to bottom, ``"LR"`` for left to right.
        scale_tiles
            Size of everything relative to the published tile of 635 x 205 pixels.
        compress_level
            Of a PNG: 1 is fastest, 9 smallest, 0 not compressed.

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
            If look, rankdir, scale_tiles or compress_level is none that there is.
        """
        from micam_fast.saving import Style, save

        return save(self, Path(path), Style(look, rankdir, scale_tiles, compress_level))

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """The diagram for notebooks, from above, and a line of text."""
        from micam_fast.saving import Style, svg_text

        return diagram_bundle(self, lambda: svg_text(self, Style("flat")), include, exclude)

    def __repr__(self) -> str:
        """Model, sample, number of maps, prediction."""
        said = ""
        if self.prediction is not None:
            said = f", prediction {self.prediction.index} ({self.prediction.probability:.4f})"
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
