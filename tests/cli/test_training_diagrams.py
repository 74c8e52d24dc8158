"""Which test samples are drawn, and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from micam_fast import demo
from micam_fast.cli.training_diagrams import choose_samples, plot_test_samples
from micam_fast.training.records import Split
from tests.helpers.training_cases import tf


class TestChoice:
    """`k = max(first index whose class is not 0, 20)`, samples `k - 19` to `k + 20`."""

    @pytest.mark.parametrize("first", [0, 1, 20, 21, 150])
    def test_published(self, first: int) -> None:
        labels = np.zeros(400, np.int64)
        labels[first:] = 1
        k = max(first, 20)
        assert choose_samples(labels) == range(k - 19, k + 21)

    @pytest.mark.parametrize(
        ("count", "chosen"),
        [(0, range(0)), (1, range(100, 101)), (2, range(100, 102)), (5, range(98, 103)),
         (60, range(71, 131))],
    )  # fmt: skip
    def test_half_of_any_number_on_each_side(self, count: int, chosen: range) -> None:
        labels = np.zeros(400, np.int64)
        labels[100] = 3
        assert list(choose_samples(labels, count)) == list(chosen)

    def test_only_class_0(self) -> None:
        assert choose_samples(np.zeros(400, np.int64)) == range(1, 41)

    def test_clipped_to_what_there_is(self) -> None:
        assert choose_samples(np.ones(30, np.int64)) == range(1, 30)
        assert choose_samples(np.ones(400, np.int64), 60) == range(51)
        assert choose_samples(np.ones(400, np.int64), 1000) == range(400)

    def test_the_last_ones_where_nothing_else_is_left(self) -> None:
        assert choose_samples(np.ones(10, np.int64), 4) == range(6, 10)
        assert choose_samples(np.ones(3, np.int64), 4) == range(3)


@pytest.fixture
def digits() -> Split:
    """The demo's ten digits as test data for the demo's network."""
    samples = np.load(demo.DIGITS)
    labels = np.arange(10)
    pairs = (samples, np.eye(10, dtype=np.float32))
    return Split(tf.data.Dataset.from_tensor_slices(pairs).batch(5), 2, labels)


def names(folder: Path) -> list[str]:
    return sorted(path.name.partition("_pred")[0] for path in folder.iterdir())


class TestPlots:
    """Diagrams of the chosen samples."""

    def test_files_bear_the_label(self, digits: Split, tmp_path: Path) -> None:
        options, summary = plot_test_samples(demo.MODEL, digits, tmp_path, 2)
        assert options.formats == ("png",)
        assert summary.written == 2
        assert names(tmp_path) == [
            "lenet_mnist_sample-0_label-8", "lenet_mnist_sample-1_label-9"
        ]  # fmt: skip
        # The right samples: the network knows its digits.
        assert [path.name.partition("_pred-")[2][0] for path in sorted(tmp_path.iterdir())] == [
            "8", "9"
        ]  # fmt: skip

    def test_replace_those_of_the_same_model(self, digits: Split, tmp_path: Path) -> None:
        for name in ("lenet_mnist_sample-0_label-8_pred-3-0.5.png", "lenet_mnist_sample-7.svg"):
            (tmp_path / name).touch()
        (tmp_path / "other_sample-0.png").touch()
        plot_test_samples(demo.MODEL, digits, tmp_path, 1)
        assert names(tmp_path) == ["lenet_mnist_sample-0_label-9", "other_sample-0.png"]

    def test_svg_where_a_png_would_be_too_large(
        self, digits: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("micam_fast.diagrams.png_limit.LARGEST_PNG", 1e5)
        said: list[str] = []
        options, _ = plot_test_samples(demo.MODEL, digits, tmp_path, 1, say=said.append)
        assert options.formats == ("svg",)
        assert [path.suffix for path in tmp_path.iterdir()] == [".svg"]
        assert len(said) == 1
        assert said[0].startswith("diagrams are written as SVG: the PNG would have")
