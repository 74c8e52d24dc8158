"""What writers and the page need of a sample that they show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from micam_fast.core.prediction import Prediction
from micam_fast.diagrams.model_diagram import ModelDiagram
from micam_fast.maps.layer_map import LayerMap
from micam_fast.samples import OwnPicture


class Shown(Protocol):
    """One sample's maps on the diagram of their model; `Explanation` says what each is."""

    @property
    def maps(self) -> Mapping[str, LayerMap]: ...  # noqa: D102

    @property
    def global_range(self) -> tuple[float, float]: ...  # noqa: D102

    @property
    def prediction(self) -> Prediction | None: ...  # noqa: D102

    @property
    def output(self) -> NDArray[Any] | None: ...  # noqa: D102

    @property
    def input_size(self) -> tuple[int, int]: ...  # noqa: D102

    @property
    def scene(self) -> ModelDiagram: ...  # noqa: D102

    @property
    def sample(self) -> str: ...  # noqa: D102

    @property
    def label(self) -> str | None: ...  # noqa: D102

    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def own_picture(self) -> OwnPicture | None: ...  # noqa: D102
