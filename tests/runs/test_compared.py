"""What came of comparing a model with its own file, in the manifest: runs go on with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import Result

from micam_fast import load_model
from micam_fast.engine.untouched import Outcome
from micam_fast.runs.journal import Journal
from micam_fast.runs.manifest import (
    COMPARED,
    NAME,
    Manifest,
    differences,
    resume_manifest,
    start_manifest,
)
from micam_fast.runs.plotting import plot_samples
from micam_fast.runs.sample_files import PlotOptions
from tests.helpers.commands import succeeded
from tests.helpers.models import random_array
from tests.helpers.nets_under_rewriting import (
    SAMPLES,
    merge_wrongly,
    opened_sessions,
    scaled_net,
)
from tests.helpers.samples import as_samples

RunCli = Callable[..., Result]
OUTCOME = Outcome("agrees", 0.25, "out")
RECORD = {"verdict": "agrees", "difference": 0.25, "output": "out", "reason": ""}


@pytest.fixture(autouse=True)
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "micam-fast" / "plans"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(scaled_net(), path)
    for index, sample in enumerate(SAMPLES):
        np.save(tmp_path / f"s{index}.npy", sample)
    return path


def header(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / NAME).read_text().splitlines()[0])
    return found


def lines(folder: Path) -> list[int]:
    return [json.loads(line)["sample"] for line in (folder / NAME).read_text().splitlines()[1:]]


def run(
    folder: Path, proto: onnx.ModelProto, *shapes: tuple[int, ...], resume: bool = False
) -> tuple[dict[str, Outcome], int]:
    """The outcomes of a run of samples of these shapes, and how many sessions it opened."""
    folder.mkdir(exist_ok=True)
    arrays = [random_array(index, *shape) for index, shape in enumerate(shapes)]
    options = PlotOptions(folder, ("npz",))
    begin = resume_manifest if resume else start_manifest
    with opened_sessions() as opened, begin(folder / NAME, {"options": {}}) as manifest:
        model = load_model(proto, threads=1)
        journal = Journal(manifest, options.store, outcomes=model.outcomes)
        plot_samples(model, as_samples(arrays), options, journal=journal)
    return model.outcomes, len(opened)


def forget(plans: Path) -> None:
    """Let nothing be left of what an earlier run kept beside its manifest."""
    for path in plans.iterdir():
        path.unlink()


# --- Manifests ----------------------------------------------------------------------------------


def test_a_header_is_told_more(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with start_manifest(path, {"options": {"--format": "png"}}) as manifest:
        for index in range(3):
            manifest.add({"sample": index, "name": "a"})
        manifest.tell(COMPARED, {"key": RECORD})
        assert [manifest.find(index) is not None for index in range(3)] == [True] * 3
        manifest.add({"sample": 3, "name": "b"})
        manifest.tell(COMPARED, {})
        assert manifest.header() == {"manifest": 3, "options": {"--format": "png"}, COMPARED: {}}
        manifest.finish()
    assert lines(tmp_path) == [0, 1, 2, 3]
    assert [each.name for each in tmp_path.iterdir() if each.name != "cache"] == [NAME]


def test_what_was_compared_is_no_other_run() -> None:
    one: dict[str, Any] = {"options": {}, COMPARED: {"key": RECORD}}
    other: dict[str, Any] = {"options": {}}
    assert differences(one, other) == differences(other, one) == []


# --- Runs ---------------------------------------------------------------------------------------


def test_the_header_has_the_outcome_before_the_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    add = Manifest.add

    def spy(self: Manifest, line: Any) -> None:
        seen.append(self.header()[COMPARED])
        add(self, line)

    monkeypatch.setattr(Manifest, "add", spy)
    outcomes, _ = run(tmp_path / "o", scaled_net(), (3, 6, 7), (3, 6, 7))
    (key,) = outcomes
    said = {"verdict": "agrees", "output": "out", "reason": ""}
    assert [each.keys() for each in seen] == [{key}, {key}]
    found = seen[0][key]
    assert {name: found[name] for name in said} == said
    assert 0 <= found["difference"] <= 1


def test_a_resumed_run_opens_no_second_session(tmp_path: Path, plans: Path) -> None:
    folder = tmp_path / "o"
    first, opened = run(folder, scaled_net(), (3, 6, 7))
    assert opened == 2
    forget(plans)
    again, opened = run(folder, scaled_net(), (3, 6, 7), (3, 6, 7), resume=True)
    assert opened == 1
    assert again == first
    assert lines(folder) == [0, 1]
    # Without the header it would have to.
    forget(plans)
    (folder / NAME).unlink()
    assert run(folder, scaled_net(), (3, 6, 7))[1] == 2


def test_a_resumed_run_drops_the_rewriting_again(
    tmp_path: Path, plans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_wrongly(monkeypatch)
    folder = tmp_path / "o"
    run(folder, scaled_net(), (3, 6, 7))
    forget(plans)
    outcomes, _ = run(folder, scaled_net(), (3, 6, 7), (3, 6, 7), resume=True)
    assert [each.verdict for each in outcomes.values()] == ["rewriting dropped"]
    run(tmp_path / "whole", scaled_net(), (3, 6, 7), (3, 6, 7))
    for path in folder.glob("*.npz"):
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()


def test_all_shapes_are_in_the_header_in_the_end(tmp_path: Path, plans: Path) -> None:
    folder, net = tmp_path / "o", scaled_net("h", "w")
    shapes = [(3, 6, 7), (3, 9, 5), (3, 6, 7)]
    outcomes, _ = run(folder, net, *shapes)
    assert len(outcomes) == 2
    assert header(folder)[COMPARED].keys() == outcomes.keys()
    forget(plans)
    again, opened = run(folder, net, *shapes, (3, 9, 5), resume=True)
    assert (again, opened) == (outcomes, 1)


@pytest.mark.parametrize(
    "content", [None, 3, [], {"key": 3}, {"key": {"verdict": "surely"}}, {"key": RECORD | {"x": 1}}]
)
def test_a_corrupt_header_is_no_outcome(content: Any, tmp_path: Path) -> None:
    with start_manifest(tmp_path / NAME, {COMPARED: content}) as manifest:
        known: dict[str, Outcome] = {}
        Journal(manifest, PlotOptions(tmp_path, ("npz",)).store, outcomes=known)
    assert known == {}


def test_outcomes_come_out_as_they_went_in(tmp_path: Path) -> None:
    infinite = Outcome("differs", None, "out")
    with start_manifest(tmp_path / NAME, {COMPARED: {"a": RECORD}}) as manifest:
        store = PlotOptions(tmp_path, ("npz",)).store
        known = {"b": infinite}
        Journal(manifest, store, outcomes=known).finish(0)
        assert known == {"a": OUTCOME, "b": infinite}
        again: dict[str, Outcome] = {}
        Journal(manifest, store, outcomes=again)
    assert again == known


# --- The command --------------------------------------------------------------------------------


def plot(run_cli: RunCli, net: Path, *more: str) -> Result:
    samples = sorted(str(path) for path in net.parent.glob("s*.npy"))
    return succeeded(run_cli("plot", str(net), *samples, "--format", "npz", *more))


def test_the_command_keeps_and_takes_outcomes(
    run_cli: RunCli, cli_out: Path, net: Path, plans: Path
) -> None:
    plot(run_cli, net)
    (outcome,) = header(cli_out)[COMPARED].values()
    assert outcome["verdict"] == "agrees"
    forget(plans)
    (cli_out / next(path.name for path in cli_out.glob("*_sample-2*"))).unlink()
    with opened_sessions() as opened:
        plot(run_cli, net, "--resume", "--threads", "1")
    assert len(opened) == 1
    assert lines(cli_out) == [0, 1, 2, 3]


def test_the_command_says_once_that_a_rewriting_is_dropped(
    run_cli: RunCli, net: Path, tmp_path: Path, plans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_wrongly(monkeypatch)
    log = tmp_path / "log"
    note = "micam-fast: note: the model runs as it is, without what makes it faster: output 'out'"
    assert plot(run_cli, net, "--log-json", str(log)).stderr.count(note) == 1
    events = [json.loads(line) for line in log.read_text().splitlines()]
    said = [each["text"] for each in events if each["event"] == "note"]
    assert sum(each.startswith("the model runs as it is") for each in said) == 1
    # A run that goes on says it, too, wherever it has it from.
    forget(plans)
    for path in (tmp_path / "out").glob("*_sample-1*"):
        path.unlink()
    assert plot(run_cli, net, "--resume").stderr.count(note) == 1


@pytest.mark.parametrize("command", ["stats", "features", "grids", "check", "view"])
def test_other_commands_say_so(
    command: str, run_cli: RunCli, net: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    merge_wrongly(monkeypatch)
    output = {
        "view": "page.html",
        "features": "features.csv",
        "stats": "stats.csv",
        "check": "check.csv",
    }.get(command)
    more = [] if output is None else ["--output", str(tmp_path / output)]
    words = (command, str(net), str(net.parent / "s0.npy"), *more)
    found = run_cli(*words, out=output is None)
    assert found.stderr.count("note: the model runs as it is") == 1, found.output
