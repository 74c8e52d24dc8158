"""Fixtures that several test files share."""

from __future__ import annotations

import dataclasses
import datetime
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

import micam_fast
from micam_fast import Explanation, Model, cli, demo, load_model
from micam_fast.diagrams.layout import find_engine
from micam_fast.viewer import View, choose_layers, gather
from tests.helpers import models
from tests.helpers.browser import Driven, chromium, opened

# The same examples in every run; HYPOTHESIS_PROFILE=default looks for new ones. A map whose values
# cancel out almost wholly has no 1e-4 of its largest value in float32, and a search finds such.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# A shell that starts this in the background makes it ignore SIGINT, nohup makes it ignore SIGHUP:
# what tests interrupt would, too.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave a quarter of the heavy tests, another one each day, unless files were named.

    Those that are heavy ``by`` a parameter take turns together: what they share takes long.
    """
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not whole or os.environ.get("MICAM_HEAVY") == "all":
        return
    heavy = [item for item in items if item.get_closest_marker("heavy")]
    groups = list(dict.fromkeys(map(_turn, heavy)))
    kept = set(groups[datetime.date.today().toordinal() % 4 :: 4])
    left_out = {item for item in heavy if _turn(item) not in kept}
    config.hook.pytest_deselected(items=sorted(left_out, key=heavy.index))
    items[:] = [item for item in items if item not in left_out]


def _turn(item: Any) -> str:
    """What takes turns with others: a heavy test, or those of one value of a parameter."""
    by = item.get_closest_marker("heavy").kwargs.get("by")
    return item.nodeid if by is None else f"{by} {item.callspec.params[by]}"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of this run: tests find nothing from before, and leave nothing behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_loops(own_cache: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In a fresh clone, the first command that a test runs would say that it compiles them."""
    explanation = micam_fast.explain(demo.MODEL, np.load(demo.DIGITS)[0])
    explanation.save(tmp_path_factory.mktemp("first") / "digit.png", scale_tiles=0.1)


# --- The drawing side -----------------------------------------------------------------------


@pytest.fixture(scope="session")
def demo_model() -> Model:
    """The demo CNN, all layers mapped."""
    return load_model(demo.MODEL)


@pytest.fixture(scope="session")
def demo_explanation(demo_model: Model) -> Explanation:
    """The demo's digit 3, with what a header can say."""
    found = demo_model.explain(np.load(demo.DIGITS)[3])
    return dataclasses.replace(found, sample="digit_3.png", label="3")


@pytest.fixture(params=["graphviz-pure", "dot"])
def any_engine(request: pytest.FixtureRequest) -> Path:
    """Each Graphviz program of this machine."""
    if request.param == "graphviz-pure":
        return find_engine()
    system = shutil.which("dot")
    if system is None:
        pytest.skip("no system Graphviz: 'dot' is not on PATH")
    return Path(system)


# --- The command line ------------------------------------------------------------------------


@pytest.fixture(scope="session")
def cli_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models and samples; tests only read there."""
    folder = tmp_path_factory.mktemp("files")
    for name, proto in {
        "net": models.conv_net(),
        "modules": models.module_net(),
        "rgb": models.rgb_net(),
        "two": models.two_input_net(),
        "image": models.image_to_image_net(),
        "strange": models.unknown_operator_net(),
    }.items():
        onnx.save(proto, folder / f"{name}.onnx")
    np.save(folder / "one.npy", models.random_array(1, 1, 8, 6))
    np.save(folder / "modules.npy", models.random_array(1, 4, 8, 6))
    np.save(folder / "batch.npy", models.random_array(2, 3, 1, 8, 6))
    np.save(folder / "depth.npy", models.random_array(3, 2, 8, 6))
    np.save(folder / "last.npy", models.random_array(4, 8, 6, 1))
    np.save(folder / "wrong.npy", models.random_array(5, 5, 7))
    np.save(folder / "objects.npy", np.full((1, 8, 6), None), allow_pickle=True)
    np.savez(folder / "depth.npz", depth=models.random_array(3, 2, 8, 6))
    Image.new("RGB", (6, 8), (200, 100, 50)).save(folder / "colour.png")
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "whole.png")
    (folder / "truncated.png").write_bytes((folder / "whole.png").read_bytes()[:600])
    (folder / "no_picture.png").write_text("hello")
    (folder / "text.onnx").write_text("hello, I am no model")
    (folder / "empty.onnx").touch()
    (folder / "half.onnx").write_bytes((folder / "net.onnx").read_bytes()[:700])
    (folder / "empty").mkdir()
    for name, text in {
        "failing": "#!/bin/sh\necho too hard >&2\nexit 3\n",
        "mute": "#!/bin/sh\nexit 4\n",
        "silent": "#!/bin/sh\nexit 0\n",
        "odd": "\0",
    }.items():
        (folder / f"{name}_engine").write_text(text)
        (folder / f"{name}_engine").chmod(0o755)
    return folder


@pytest.fixture
def run_cli(
    cli_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run the command in this process, in the folder of `cli_files`, writing to `cli_out`."""
    monkeypatch.chdir(cli_files)

    def run_it(*words: str, stdin: str | None = None, out: bool = True) -> Result:
        given = [*words, "--output-dir", str(tmp_path / "out")] if out else list(words)
        return CliRunner().invoke(cli.main, given, input=stdin, prog_name="micam-fast")

    return run_it


@pytest.fixture
def cli_out(tmp_path: Path) -> Path:
    """Where `run_cli` writes."""
    return tmp_path / "out"


# --- The interactive page --------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def page_digits() -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.load(demo.DIGITS)[[3, 8, 7]]
    return found


@pytest.fixture(scope="module")
def page_explanations(demo_model: Model, page_digits: NDArray[np.float32]) -> list[Explanation]:
    found = demo_model.explain_many(page_digits)
    return [
        dataclasses.replace(each, sample=f"{name}.png", label=name)
        for name, each in zip("387", found, strict=True)
    ]


@pytest.fixture(scope="module")
def digits_page(
    tmp_path_factory: pytest.TempPathFactory,
    demo_model: Model,
    page_digits: NDArray[np.float32],
    page_explanations: list[Explanation],
) -> Path:
    maps = list(gather(demo_model, page_digits, choose_layers(page_explanations)))
    path = tmp_path_factory.mktemp("page") / "digits.html"
    rows, columns = ([f"{axis} {place}" for place in range(28)] for axis in ("line", "pixel"))
    return View(page_explanations, maps, rows, columns).save(path)


@pytest.fixture
def page(browser: Any, digits_page: Path) -> Iterator[Driven]:
    with opened(browser, digits_page) as driven:
        yield driven


@pytest.fixture(scope="module")
def still(browser: Any, digits_page: Path) -> Iterator[Driven]:
    """The same, for tests that leave it as it was."""
    with opened(browser, digits_page) as driven:
        yield driven
