"""``micam-fast view``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from micam_fast import cli
from tests.helpers.commands import failure_line, succeeded, usage_error
from tests.helpers.pages import held


@pytest.fixture
def run(cli_files: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(cli_files)

    def run_it(*words: str | Path) -> Result:
        return CliRunner().invoke(cli.main, ["view", *map(str, words)], prog_name="micam-fast")

    return run_it


def test_a_page_of_samples(run: Callable[..., Result], tmp_path: Path) -> None:
    page, labels = tmp_path / "new" / "page.html", tmp_path / "labels.txt"
    labels.write_text("cat\n\ndog\n")
    result = succeeded(run("net.onnx", "batch.npy", "--output", page, "--labels", labels))
    assert result.stdout.startswith(f"wrote {page} (3 samples, ")
    found = held(page.read_text())
    assert [title.partition(", ")[2] for title in found["titles"]] == [
        "label cat",
        "",
        "label dog",
    ]
    # Small feature maps come without being asked for.
    assert found["features"][2]["1"] == [4, 8, 6]


def test_options_choose_layers_names_and_feature_maps(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    page, names = tmp_path / "page.html", tmp_path / "rows.txt"
    names.write_text("".join(f"row {place}\n" for place in range(8)))
    words = ["--layers", "conv,pool", "--feature-maps", "po*", "--row-names", names]
    succeeded(run("net.onnx", "one.npy", "--output", page, *words))
    found = held(page.read_text())
    mapped = [layer["name"] for layer in found["layers"] if layer["mapped"]]
    assert mapped == ["conv", "pool"]
    assert found["features"] == [{"3": [4, 4, 3]}]
    assert found["rowNames"] == [f"row {place}" for place in range(8)]


def test_depth_and_only_choose_what_is_drawn(run: Callable[..., Result], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for words, names in (
        (["--depth", "1"], ["x", "stem", "body", "head"]),
        (["--layers", "stem,head", "--only"], ["stem", "head"]),
    ):
        succeeded(run("modules.onnx", "modules.npy", "--output", page, *words))
        assert [layer["name"] for layer in held(page.read_text())["layers"]] == names


def test_another_order_of_rows_takes_their_names_along(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    page, names, order = (tmp_path / name for name in ("page.html", "rows.txt", "order.txt"))
    names.write_text("".join(f"row {place}\n" for place in range(8)))
    order.write_text("\n".join(map(str, range(7, -1, -1))))
    succeeded(
        run("net.onnx", "one.npy", "--output", page, "--row-names", names, "--permute-rows", order)
    )
    found = held(page.read_text())
    assert found["rowNames"] == [f"row {place}" for place in range(7, -1, -1)]
    assert f"rows by {order.name}" in found["titles"][0]


def test_the_page_opens_in_the_browser(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[str] = []
    monkeypatch.setattr(click, "launch", launched.append)
    page = tmp_path / "page.html"
    succeeded(run("net.onnx", "one.npy", "--output", page, "--open"))
    assert launched == [str(page)]


def test_a_failed_sample_is_named_and_left_out(run: Callable[..., Result], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run("net.onnx", "wrong.npy", "one.npy", "--output", page)
    assert result.exit_code == 1
    assert "sample 0 (wrong.npy) skipped" in result.stderr
    assert len(held(page.read_text())["titles"]) == 1
    result = run("net.onnx", "wrong.npy", "--output", tmp_path / "none.html")
    assert result.exit_code == 2
    assert not (tmp_path / "none.html").exists()


def test_wrong_use_is_told_in_one_line(run: Callable[..., Result], tmp_path: Path) -> None:
    assert "at least one sample" in usage_error(run("net.onnx"))
    line = failure_line(run("net.onnx", "one.npy", "--feature-maps", "nothing"))
    assert "no layer matches 'nothing'" in line
    assert "no sample in empty" in failure_line(run("net.onnx", "empty"))
    line = failure_line(run("net.onnx", "one.npy", "--row-names", "no.txt"))
    assert "cannot read no.txt" in line
    line = failure_line(run("net.onnx", "one.npy", "--output", "one.npy/page.html"))
    assert "one.npy" in line
