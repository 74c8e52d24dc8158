"""Written diagrams and posters in a batch, and the published method on the same sample."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import micam_fast
from benchmarks import published
from benchmarks.activations import Activations, Array, Tapped, check_cam, check_cams
from benchmarks.cases import BATCH, DEMO_CASE, THREADS, choose_case, describe, show_model
from benchmarks.models import make_samples, model_path
from micam_fast.core.choices import PAGES, Look
from micam_fast.core.timing import StageTimes
from micam_fast.diagrams.tile_rooms import tile_room
from micam_fast.runs.plotting import plot_samples
from micam_fast.runs.sample_files import PlotOptions
from micam_fast.samples import Sample
from tests.helpers import reference

TABLE = "diagrams"
PUBLISHED = [
    DEMO_CASE,
    *((name, 75) for name in ("lenet5", "resnet18", "MobileNet", "DenseNet121")),
]
LARGE = [("ResNet50", 224), ("DenseNet121", 224)]
WAYS: list[tuple[str, Look]] = [("png", "isometric"), ("png", "flat"), ("svg", "flat")]
POSTER_FORMATS = ("svg", "png", "pdf")
POSTER_SIZES = {".svg": PAGES["screen"], ".png": (2160, 1350)}
SMALL_BATCH = 3


def show_way(way: tuple[str, str]) -> str:
    return f"{way[0].upper()}, {way[1]}"


def named(model: micam_fast.Model, samples: Array) -> Iterator[Sample]:
    """Samples as the command line reads them from a file."""
    for index, sample in enumerate(samples):
        yield Sample(f"samples.npy[{index}]", {model.inputs[0].name: sample})


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("way", WAYS, ids=show_way)
@pytest.mark.parametrize("case", [*PUBLISHED, *LARGE], ids=lambda case: show_model(*case))
def test_diagrams(
    benchmark: Any, case: tuple[str, int], way: tuple[str, Look], tmp_path: Path
) -> None:
    choose_case(benchmark, case)
    if case in LARGE and way[0] == "png":
        pytest.skip("no goal, and minutes of it: PNG is measured at 75 x 75")
    path, (kind, look) = model_path(*case), way
    count = SMALL_BATCH if case == DEMO_CASE else BATCH
    samples = make_samples(path, count)
    model = micam_fast.load_model(path, threads=THREADS)
    check_cams(model.explain(samples[0]).cams, Tapped(path).run(samples[:1]))
    folder = tmp_path / "diagrams"
    options = PlotOptions(folder, formats=(kind,), look=look, drawing="diagram")
    time_plots(benchmark, model, samples, options, show_way(way), case)


@pytest.mark.parametrize("kind", POSTER_FORMATS)
@pytest.mark.parametrize("case", [DEMO_CASE, *LARGE], ids=lambda case: show_model(*case))
def test_posters(benchmark: Any, case: tuple[str, int], kind: str, tmp_path: Path) -> None:
    choose_case(benchmark, case)
    path = model_path(*case)
    samples = make_samples(path, SMALL_BATCH if case == DEMO_CASE else BATCH)
    model = micam_fast.load_model(path, threads=THREADS)
    options = PlotOptions(tmp_path / "posters", formats=(kind,), drawing="poster")
    time_plots(benchmark, model, samples, options, f"{kind.upper()}, poster", case)


def time_plots(
    benchmark: Any,
    model: micam_fast.Model,
    samples: Array,
    options: PlotOptions,
    what: str,
    case: tuple[str, int],
) -> None:
    """Time a run of `plot`, once all of its files have been checked."""
    folder, count = Path(options.folder), len(samples)

    def plot() -> Any:
        return plot_samples(model, named(model, samples), options)

    summary = plot()
    assert summary.written == count
    assert not summary.failed
    (last,) = folder.glob(f"*_sample-{count - 1}_*")
    sides: dict[str, int] = {}
    if last.suffix != ".pdf":
        sides["width"], sides["height"] = found = file_size(last)
        if options.is_poster(model):
            assert found == POSTER_SIZES[last.suffix]
        elif last.suffix == ".png":
            # Never squashed: tiles have their own pixels, however many there are.
            side = case[1], case[1]
            width, height = tile_room(options.style.look_for(side), side).size
            assert found[0] >= width
            assert found[0] * found[1] >= width * height * len(model.layers)
    describe(
        benchmark, TABLE, what, show_model(*case), units=count, threads=THREADS,
        layers=len(model.layers), **sides,
        megabytes=round(np.mean([f.stat().st_size for f in folder.iterdir()]) / 1e6, 3),
    )  # fmt: skip
    benchmark.pedantic(plot, setup=lambda: shutil.rmtree(folder), rounds=3)
    shutil.rmtree(folder)


def file_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, which must be one that a viewer can open."""
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
            return picture.size
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg")
    _, _, width, height = (round(float(n)) for n in root.attrib["viewBox"].split())
    return width, height


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: show_model(*case))
def test_published(benchmark: Any, case: tuple[str, int], tmp_path: Path) -> None:
    choose_case(benchmark, case)
    path = model_path(*case)
    samples = make_samples(path, 1)
    model = Tapped(path)
    stages = StageTimes()
    cams: dict[str, Array] = {}
    composer = ""

    def draw() -> None:
        nonlocal composer
        with stages.stage("activations"):
            activations = model.run(samples)
        with stages.stage("maps"):
            cams.update(published.make_cams(activations))
        with stages.stage("scatter pictures"):
            pictures = published.draw_pictures(cams, activations, tmp_path)
        with stages.stage("composition"):
            composer = published.compose(pictures, activations, tmp_path / "diagram.png")

    # Once, as it takes minutes: what is checked are the maps that were timed.
    benchmark.pedantic(draw, rounds=1)
    check_published(cams, path, model.run(samples), samples)
    describe(
        benchmark, TABLE, "published method", show_model(*case), layers=len(cams),
        composer=composer, stages={name: round(s, 4) for name, s in stages.seconds.items()},
    )  # fmt: skip


def check_published(
    cams: dict[str, Array], path: Path, activations: Activations, samples: Array
) -> None:
    """Its maps are ours, but for depthwise convolutions: there they are those of channel 0."""
    ours = micam_fast.load_model(path, threads=THREADS).explain(samples[0]).cams
    assert set(cams) == set(ours)
    for name, cam in cams.items():
        expected: Any = ours[name]
        if published.is_depthwise(activations, name):
            weights = activations.kernel(name)
            assert weights is not None
            first = activations.channels_last(name)[..., :1]
            expected = reference.published_conv(first, weights[0][..., :1], None)
        check_cam(cam, expected, name)
