"""Posters of many samples, by a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pypdf
import pytest
from PIL import Image

import micam_fast
from micam_fast.core.errors import LayoutEngineError, TooLargeError
from micam_fast.runs.plotting import plot_samples
from micam_fast.runs.sample_files import PlotOptions, check_output
from micam_fast.samples import Sample
from tests.helpers.posters import residual_model


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import onnx

    path = tmp_path_factory.mktemp("model") / "residual.onnx"
    onnx.save(residual_model(6), path)
    return path


def samples(count: int) -> list[Sample]:
    rng = np.random.default_rng(3)
    return [
        Sample(f"s.npy[{n}]", {"image": rng.random((1, 16, 16), np.float32)}) for n in range(count)
    ]


def test_posters_need_no_graphviz(file: Path, tmp_path: Path) -> None:
    model = micam_fast.load_model(file, engine=tmp_path / "no-such-program")
    options = PlotOptions(tmp_path / "out", formats=("svg", "png", "pdf"))
    check_output(model, options)
    summary = plot_samples(model, samples(2), options)
    assert summary.written == 2
    with pytest.raises(LayoutEngineError):
        check_output(model, PlotOptions(tmp_path / "out", drawing="diagram"))


def test_pages_are_as_large_as_was_asked_for(file: Path, tmp_path: Path) -> None:
    model = micam_fast.load_model(file)
    options = PlotOptions(tmp_path, ("png", "svg", "pdf"), page=(794, 1123), scale_png=2.0)
    plot_samples(model, samples(1), options)
    (picture,) = tmp_path.glob("*.png")
    with Image.open(picture) as image:
        assert image.size == (1588, 2246)
        assert image.info["dpi"][0] == pytest.approx(192, abs=0.1)
    (text,) = tmp_path.glob("*.svg")
    assert 'width="794" height="1123"' in text.read_text()
    (document,) = tmp_path.glob("*.pdf")
    page = pypdf.PdfReader(document).pages[0]
    assert tuple(map(float, page.mediabox[2:])) == pytest.approx((595.5, 842.25))
    words = page.extract_text()
    assert "residual" in words
    assert "each layer" in words or "smallest" in words


def test_bytes_do_not_depend_on_threads_and_batch(file: Path, tmp_path: Path) -> None:
    found = []
    for number, (threads, batch) in enumerate([(1, 1), (2, 4)]):
        folder = tmp_path / str(number)
        model = micam_fast.load_model(file, threads=threads)
        plot_samples(
            model, samples(4), PlotOptions(folder, ("png", "svg", "pdf"), batch_size=batch)
        )
        found.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert found[0] == found[1]


def test_a_small_network_is_a_diagram(tmp_path: Path) -> None:
    from micam_fast import demo

    model = micam_fast.load_model(demo.MODEL)
    assert not PlotOptions(tmp_path).is_poster(model)
    assert PlotOptions(tmp_path, drawing="poster").is_poster(model)


def test_a_diagram_that_is_too_large_is_a_poster_and_says_so(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("micam_fast.diagrams.png_limit.LARGEST_PNG", 3e6)
    model = micam_fast.load_model(file)
    options = PlotOptions(tmp_path / "out", ("png",), drawing="diagram")
    check_output(model, options)
    summary = plot_samples(model, samples(1), options)
    assert (summary.written, summary.incomplete) == (1, 1)
    (path,) = (tmp_path / "out").glob("*.png")
    assert path.stem.endswith("_poster")
    with Image.open(path) as image:
        assert image.size == (2160, 1350)


def test_a_poster_that_is_too_large_offers_fewer_pixels(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("micam_fast.diagrams.png_limit.LARGEST_PNG", 1e6)
    found = micam_fast.load_model(file).explain(samples(1)[0].arrays["image"])
    with pytest.raises(TooLargeError, match=r"2160 x 1350 = 3 megapixels.*--scale-png 0\.85"):
        found.save(tmp_path / "x.png")
    found.save(tmp_path / "x.png", scale_png=0.85)
