"""Runs of the command that end early, go on, fail in part, or meet another run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from micam_fast import cli
from micam_fast.api.saving import write_format
from micam_fast.core.errors import OutputError
from micam_fast.runs.manifest import NAME
from micam_fast.runs.output_folder import LOCK, open_run
from micam_fast.runs.stores import open_store
from tests.helpers import models
from tests.helpers.commands import COMMAND, succeeded
from tests.helpers.run_folders import manifest_lines

COUNT, MANY = 5, 20_000
Snapshot = dict[str, tuple[int, bytes]]


def snapshot(folder: Path) -> Snapshot:
    """Inode and content of every file: what was written again has another inode."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_text().splitlines()]


def error_lines(result: Result) -> list[str]:
    assert "Traceback" not in result.output
    return [each for each in result.stderr.splitlines() if each.startswith("micam-fast: error: ")]


class Runs:
    """A folder with five samples, and runs over it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.out = folder / "out"
        self.samples = folder / "samples"
        self.samples.mkdir()
        self.model = shutil.copy(model, folder / "net.onnx")
        for index in range(COUNT):
            self.write(index, index)

    def write(self, index: int, seed: int) -> None:
        np.save(self.path(index), models.random_array(seed, 1, 8, 6))

    def path(self, index: int) -> Path:
        return self.samples / f"{index}.npy"

    def words(
        self, *more: str, samples: str | None = None, formats: str = "npz,tiles"
    ) -> list[str]:
        given = str(self.samples) if samples is None else samples
        words = ["plot", str(self.model), given, "--layout", "nchw", "--format", formats]
        return [*words, "--output-dir", str(self.out), *more]

    def run(self, *more: str, stdin: str | None = None, **given: Any) -> Result:
        return CliRunner().invoke(
            cli.main, self.words(*more, **given), input=stdin, prog_name="micam-fast"
        )

    def resume(self, *more: str, **given: Any) -> Result:
        return self.run("--resume", *more, **given)


@pytest.fixture
def runs(tmp_path: Path, cli_files: Path) -> Runs:
    return Runs(tmp_path, cli_files / "net.onnx")


class TestResuming:
    """``--resume`` does what is not done, and nothing else."""

    def test_a_file_that_a_failed_run_replaced_is_not_taken_for_the_earlier_run_s(
        self, runs: Runs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def files() -> dict[str, bytes]:
            # The manifest has times.
            return {path.name: path.read_bytes() for path in runs.out.glob("*.npz")}

        def fail(name: str, *given: Any) -> list[Path]:
            if name == "dot":
                raise OutputError("full")
            return write_format(name, *given)

        succeeded(runs.run(formats="npz,dot"))
        before = files()
        with monkeypatch.context() as patch:
            patch.setattr("micam_fast.runs.sample_files.write_format", fail)
            assert runs.run("--projection", "transposed", formats="npz,dot").exit_code == 2
        assert files() != before
        again = succeeded(runs.resume(formats="npz,dot"))
        assert "already" not in again.output
        assert files() == before

    def test_nothing_is_done_twice(self, runs: Runs) -> None:
        assert re.search(
            r"wrote 10 files \(npz, tiles\) for 5 samples", succeeded(runs.run()).stdout
        )
        before = snapshot(runs.out)
        assert {each["sample"] for each in manifest_lines(runs.out)} == set(range(COUNT))
        said = succeeded(runs.resume()).stdout
        assert re.fullmatch(
            r"wrote 0 files \(npz, tiles\) for 0 samples to \S+ in \d+\.\d\d s; "
            r"5 samples were there already\n",
            said,
        )
        assert snapshot(runs.out) == before
        assert not (runs.out / LOCK).exists()

    @pytest.mark.parametrize("there", [True, False])
    def test_without_a_run_it_starts(self, there: bool, runs: Runs) -> None:
        if there:
            runs.out.mkdir()
            (runs.out / "notes.txt").write_text("mine")
        succeeded(runs.resume())
        assert len(manifest_lines(runs.out)) == COUNT

    @pytest.mark.parametrize("way", ["deleted", "cut", "empty"])
    def test_files_that_are_not_whole_are_written_again(self, way: str, runs: Runs) -> None:
        succeeded(runs.run())
        before = snapshot(runs.out)
        for pattern in ("*_sample-1_*.npz", "*_sample-3_*_tiles/*.png"):
            path = next(runs.out.glob(pattern))
            if way == "deleted":
                path.unlink()
            else:
                os.truncate(path, 0 if way == "empty" else path.stat().st_size - 1)
        said = succeeded(runs.resume()).stdout
        assert "for 2 samples" in said
        assert "3 samples were there already" in said
        after = snapshot(runs.out)
        assert {name: content for name, (_, content) in after.items()} == {
            name: content for name, (_, content) in before.items()
        }
        kept = [name for name in after if re.search(r"_sample-[024]_|manifest", name)]
        assert all(after[name] == before[name] for name in kept)

    def test_a_changed_sample_is_done_again_and_its_old_files_go(self, runs: Runs) -> None:
        succeeded(runs.run())
        before = set(snapshot(runs.out))
        old = {each for each in before if "_sample-2_" in each}
        # Of another prediction, so that its files have other names.
        for seed in range(100, 200):
            runs.write(2, seed)
            succeeded(runs.resume())
            new = {each for each in snapshot(runs.out) if "_sample-2_" in each}
            if not old & new:
                break
        assert not old & new
        assert set(snapshot(runs.out)) == before - old | new
        # The folder of its tiles, too.
        assert len([each for each in runs.out.iterdir() if each.is_dir()]) == COUNT
        assert [each["sample"] for each in manifest_lines(runs.out)] == list(range(COUNT))

    def test_another_label_counts(self, runs: Runs, tmp_path: Path) -> None:
        labels = tmp_path / "labels.txt"
        labels.write_text("a\nb\nc\nd\ne\n")
        succeeded(runs.run("--labels", str(labels)))
        labels.write_text("a\nb\nx\nd\ne\n")
        assert "for 1 sample " in succeeded(runs.resume("--labels", str(labels))).stdout
        assert not list(runs.out.glob("*_label-c_*"))
        assert len(list(runs.out.glob("*_sample-2_label-x_*"))) == 2
        assert [each["label"] for each in manifest_lines(runs.out)] == ["a", "b", "x", "d", "e"]

    def test_other_samples_are_refused(self, runs: Runs) -> None:
        """Another folder, or another order, would replace what is done."""
        succeeded(runs.run())
        before = snapshot(runs.out)
        runs.path(2).rename(runs.samples / "5.npy")
        refused = runs.resume()
        assert refused.exit_code == 1
        (line,) = error_lines(refused)
        assert "its sample 2 is '2.npy', now it is '3.npy'; give the same samples" in line
        assert snapshot(runs.out) == before

    def test_a_failed_sample_is_tried_again(self, runs: Runs) -> None:
        runs.path(1).write_bytes(b"no array")
        assert runs.run().exit_code == 1
        before = snapshot(runs.out)
        assert "error" in manifest_lines(runs.out)[1]
        assert runs.resume().exit_code == 1
        assert snapshot(runs.out) == before
        runs.write(1, 1)
        succeeded(runs.resume())
        assert "error" not in manifest_lines(runs.out)[1]
        assert [each["sample"] for each in manifest_lines(runs.out)] == list(range(COUNT))

    @pytest.mark.parametrize("words", [(), ("--resume",)])
    @pytest.mark.parametrize("way", ["no_file", "no_array", "another_size", "some"])
    def test_a_failed_start_leaves_a_finished_run_as_it_is(
        self, words: tuple[str, ...], way: str, runs: Runs, tmp_path: Path
    ) -> None:
        """A mistyped path, mostly."""
        succeeded(runs.run())
        before = snapshot(runs.out)
        given = tmp_path / "mistyped.npy"
        if way == "no_array":
            given.write_bytes(b"no array")
        elif way == "another_size":
            np.save(given, models.random_array(1, 1, 9, 9))
        elif way == "some":
            given = tmp_path / "mistyped"
            given.mkdir()
            for name in ("a.npy", "b.npy"):
                (given / name).write_bytes(b"no array")
        found = runs.run(*words, samples=str(given))
        assert found.exit_code == 2
        assert error_lines(found)
        assert snapshot(runs.out) == before
        succeeded(runs.resume())
        assert snapshot(runs.out) == before

    def test_a_sample_that_fails_now_leaves_no_files(self, runs: Runs) -> None:
        succeeded(runs.run())
        runs.path(1).write_bytes(b"no array")
        assert runs.resume().exit_code == 1
        assert not list(runs.out.glob("*_sample-1_*"))
        assert "error" in manifest_lines(runs.out)[1]

    def test_a_manifest_removes_no_file_that_is_none_of_its_own(
        self, runs: Runs, tmp_path: Path
    ) -> None:
        """Someone else may have written it, and put links beside it."""
        succeeded(runs.run(formats="npz"))
        away = tmp_path / "away"
        away.mkdir()
        (away / "0.png").write_text("mine")
        (runs.out / "net_sample-1_tiles").symlink_to(away)
        (runs.out / "mine.txt").write_text("mine")
        lines = manifest_lines(runs.out)
        lines[1] |= {"sha256": "0", "files": {"mine.txt": 4, "net_sample-1_tiles/0.png": 4}}
        header = (runs.out / NAME).read_text().splitlines()[0]
        told = [header, *(json.dumps(each | {"seconds": 0}) for each in lines)]
        (runs.out / NAME).write_text("\n".join(told) + "\n")
        succeeded(runs.resume(formats="npz"))
        assert (runs.out / "mine.txt").read_text() == "mine"
        assert (away / "0.png").read_text() == "mine"

    def test_samples_whose_disk_is_away_lose_nothing(self, runs: Runs) -> None:
        listed = "".join(f"{runs.path(index)}\n" for index in range(COUNT))
        succeeded(runs.run(samples="-", stdin=listed))
        before = snapshot(runs.out)
        away = runs.samples.rename(runs.samples.with_name("away"))
        failed = runs.resume(samples="-", stdin=listed)
        assert failed.exit_code == 2
        assert "5 of 5 samples failed" in failed.stderr
        assert snapshot(runs.out) == before
        away.rename(runs.samples)
        assert (
            "5 samples were there already"
            in succeeded(runs.resume(samples="-", stdin=listed)).stdout
        )

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--scale", "2"), "--scale was 1.0, is 2.0"),
            (("--format", "npz"), '--format was ["npz", "tiles"], is ["npz"]'),
            (("--exclude-layers", "conv"), "--exclude-layers was"),
        ],
    )
    def test_other_options_are_refused(self, words: list[str], said: str, runs: Runs) -> None:
        succeeded(runs.run())
        before = snapshot(runs.out)
        refused = runs.resume(*words)
        assert refused.exit_code == 2
        assert refused.stdout == ""
        (line,) = refused.stderr.splitlines()
        assert line.startswith("micam-fast: error: cannot resume the run in ")
        assert said in line
        assert "--output-dir" in line
        assert snapshot(runs.out) == before

    def test_another_model_is_refused(self, runs: Runs, cli_files: Path) -> None:
        succeeded(runs.run())
        before = snapshot(runs.out)
        shutil.copy(cli_files / "rgb.onnx", runs.model)
        refused = runs.resume()
        assert refused.exit_code == 2
        (line,) = error_lines(refused)
        assert "model sha256 was" in line
        assert snapshot(runs.out) == before

    def test_how_it_runs_may_change(self, runs: Runs) -> None:
        succeeded(runs.run())
        words = ("--threads", "1", "--batch-size", "2", "--max-errors", "3")
        assert "5 samples were there already" in succeeded(runs.resume(*words)).stdout

    @pytest.mark.parametrize("keep", [True, False])
    def test_a_manifest_that_is_none(self, keep: bool, runs: Runs) -> None:
        runs.out.mkdir()
        (runs.out / NAME).write_text("mine" if keep else "")
        refused = runs.resume()
        assert refused.exit_code == 2
        (line,) = error_lines(refused)
        assert "is no manifest of this version" in line

    def test_a_manifest_with_holes(self, runs: Runs) -> None:
        """Lines damaged in the middle, and one torn, cost these samples alone."""
        succeeded(runs.run())
        whole = snapshot(runs.out)
        content = (runs.out / NAME).read_bytes().splitlines(keepends=True)
        content[2] = b"\0" * len(content[2].strip()) + b"\n"
        content[5] = content[5][:40]
        (runs.out / NAME).write_bytes(b"".join(content))
        assert "3 samples were there already" in succeeded(runs.resume()).stdout
        assert [each["sample"] for each in manifest_lines(runs.out)] == list(range(COUNT))
        assert snapshot(runs.out).keys() == whole.keys()

    def test_samples_that_are_no_more_are_left_alone_and_said(self, runs: Runs) -> None:
        succeeded(runs.run())
        before = snapshot(runs.out)
        runs.path(4).unlink()
        found = succeeded(runs.resume())
        assert "4 samples were there already" in found.stdout
        assert f"note: {runs.out / NAME} has 1 sample more, of an earlier run" in found.stderr
        assert snapshot(runs.out) == before


class TestFailures:
    """Exit codes, limits and the table."""

    def test_a_table_of_what_failed(self, runs: Runs) -> None:
        runs.path(1).write_bytes(b"no array")
        runs.path(3).write_bytes(b"")
        found = runs.run()
        assert found.exit_code == 1
        assert "for 3 samples" in found.stdout
        assert found.stdout.rstrip().endswith("; 2 samples failed")
        table = found.stderr[found.stderr.index("2 of 5 samples failed:") :].splitlines()
        assert re.split(r"\s{2,}", table[1].strip()) == ["sample", "name", "reason"]
        assert [re.split(r"\s{2,}", each.strip())[:2] for each in table[2:]] == [
            ["1", "1.npy"], ["3", "3.npy"],
        ]  # fmt: skip
        assert ["error" in each for each in manifest_lines(runs.out)] == [
            False,
            True,
            False,
            True,
            False,
        ]

    def test_all_failed(self, runs: Runs) -> None:
        for index in range(COUNT):
            runs.path(index).write_bytes(b"no array")
        found = runs.run()
        assert found.exit_code == 2
        assert "5 of 5 samples failed:" in found.stderr
        assert len(manifest_lines(runs.out)) == COUNT

    @pytest.mark.parametrize("words", [("--fail-fast",), ("--max-errors", "1")])
    def test_the_first_failure_ends_it(self, words: list[str], runs: Runs) -> None:
        runs.path(0).write_bytes(b"no array")
        found = runs.run(*words, "--threads", "1", "--batch-size", "1")
        # What is in hand is finished; of five samples on one thread that is no more than two.
        assert found.exit_code in (1, 2)
        assert error_lines(found)[-1] == (
            "micam-fast: error: stopped, as 1 sample failed; --resume goes on with the run"
        )
        written = len(list(runs.out.glob("*.npz"))) if runs.out.exists() else 0
        assert written <= 2
        runs.write(0, 0)
        succeeded(runs.resume())
        assert [each["sample"] for each in manifest_lines(runs.out)] == list(range(COUNT))

    def test_the_limit_of_failures(self, runs: Runs) -> None:
        for index in (0, 1, 2):
            runs.path(index).write_bytes(b"no array")
        found = runs.run("--max-errors", "4")
        assert found.exit_code == 1
        assert "stopped" not in found.stderr
        found = runs.resume("--max-errors", "2")
        # Those that are known do not count; else each resumption would end where the first did.
        assert "stopped" not in found.stderr
        for index in (3, 4):
            runs.path(index).write_bytes(b"no array")
        found = runs.resume("--max-errors", "2")
        assert "stopped, as 2 samples failed; --resume goes on" in found.stderr

    def test_one_of_the_two(self, runs: Runs) -> None:
        found = runs.run("--fail-fast", "--max-errors", "2")
        assert found.exit_code == 2
        assert "choose one of --fail-fast and --max-errors" in found.stderr
        assert not runs.out.exists()

    def test_no_sample(self, runs: Runs) -> None:
        for index in range(COUNT):
            runs.path(index).unlink()
        found = runs.run()
        assert found.exit_code == 2
        assert "no sample in" in found.stderr
        assert not runs.out.exists()

    def test_a_list_on_standard_input(self, runs: Runs) -> None:
        listed = "".join(f"{runs.path(index)}\n" for index in (3, 0))
        succeeded(runs.run(samples="-", stdin=listed))
        assert [each["input"] for each in manifest_lines(runs.out)] == [
            str(runs.path(3)), str(runs.path(0)),
        ]  # fmt: skip
        said = succeeded(runs.resume(samples="-", stdin=listed + f"{runs.path(1)}\n")).stdout
        assert "2 samples were there already" in said

    def test_values_that_are_not_finite(self, runs: Runs) -> None:
        """JSON has no word for them."""
        np.save(runs.path(1), np.full((1, 8, 6), np.nan, np.float32))
        np.save(runs.path(2), np.full((1, 8, 6), np.inf, np.float32))
        succeeded(runs.run())
        content = (runs.out / NAME).read_text()
        assert "NaN" not in content
        assert "Infinity" not in content
        assert "5 samples were there already" in succeeded(runs.resume()).stdout


def test_an_interrupt_before_the_first_sample(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("micam_fast.cli.commands.plot.open_model", interrupted)
    found = runs.run("--log-json", str(tmp_path / "log"))
    assert found.exit_code == 130
    assert found.stderr == "micam-fast: error: interrupted; --resume goes on with the run\n"
    assert not runs.out.exists()
    assert [each["exit_code"] for each in events(tmp_path / "log")] == [130]


class TestLog:
    """``--log-json``: what happens, for programs."""

    def test_its_events(self, runs: Runs, tmp_path: Path) -> None:
        log = tmp_path / "log.jsonl"
        runs.path(1).write_bytes(b"no array")
        assert runs.run("--log-json", str(log)).exit_code == 1
        found = events(log)
        assert [each["event"] for each in found] == ["start", *["sample"] * 5, "summary", "end"]
        start, *samples, summary, end = found
        assert start["folder"] == str(runs.out)
        assert start["options"]["--format"] == ["npz", "tiles"]
        assert [each["sample"] for each in samples] == list(range(COUNT))
        assert [each["name"] for each in samples] == [f"{each}.npy" for each in range(COUNT)]
        assert [each for each in samples if "error" in each] == [samples[1]]
        assert [each["input"] for each in samples] == [str(runs.path(at)) for at in range(COUNT)]
        assert all(each["seconds"] > 0 for each in samples)
        assert next(iter(samples[0]["files"])).endswith(".npz")
        assert [summary[each] for each in ("written", "resumed", "failed")] == [4, 0, 1]
        assert end["exit_code"] == 1
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", each["time"]) for each in found)
        # It goes on in the same file, and tells of refusals as well.
        assert runs.resume("--scale", "2", "--log-json", str(log)).exit_code == 2
        (refused,) = events(log)[len(found) :]
        assert refused["event"] == "end"
        assert refused["exit_code"] == 2
        assert "--scale was 1.0, is 2.0" in refused["error"]

    def test_notes_are_told(self, runs: Runs, tmp_path: Path) -> None:
        log = tmp_path / "log.jsonl"
        np.save(runs.path(1), np.full((1, 8, 6), np.nan, np.float32))
        succeeded(runs.run())
        succeeded(runs.run("--log-json", str(log)))
        notes = [each["text"] for each in events(log) if each["event"] == "note"]
        assert any("holds 5 samples of an earlier run; this one begins" in each for each in notes)
        assert any("not finite" in each for each in notes)

    @pytest.mark.parametrize("log", ["/dev/full", "missing/folder/log", "."])
    def test_a_log_that_cannot_be_written_is_named(self, log: str, runs: Runs) -> None:
        if log == "/dev/full" and not Path(log).exists():
            pytest.skip("no /dev/full on this system")
        found = runs.run("--log-json", log)
        assert found.exit_code == 2
        assert len(error_lines(found)) == 1
        assert f"cannot write log {log}: " in error_lines(found)[0]
        assert not isinstance(found.exception, OSError)


class TestTwoRuns:
    """The second live run is told, and changes nothing."""

    @pytest.mark.parametrize("words", [(), ("--resume",)])
    def test_the_second_is_told(self, words: list[str], runs: Runs) -> None:
        succeeded(runs.run())
        with open_run(open_store(runs.out), {"options": {}}, resume=False, say=lambda text: None):
            before = snapshot(runs.out)
            refused = runs.run(*words)
            assert snapshot(runs.out) == before
        assert refused.exit_code == 2
        (line,) = error_lines(refused)
        assert re.search(rf"another run is writing to \S+ \(process {os.getpid()} on ", line)

    def test_the_same_folder_by_another_name(self, runs: Runs, tmp_path: Path) -> None:
        succeeded(runs.run())
        (tmp_path / "link").symlink_to(runs.out)
        with open_run(
            open_store(tmp_path / "link"), {"options": {}}, resume=False, say=lambda text: None
        ):
            assert runs.run().exit_code == 2


class TestProcesses:
    """What only a process of its own shows."""

    @pytest.fixture
    def many(self, runs: Runs) -> str:
        """Samples for some seconds."""
        np.save(runs.samples.parent / "many.npy", models.random_array(1, MANY, 1, 8, 6))
        return str(runs.samples.parent / "many.npy")

    @pytest.fixture
    def begun(self, runs: Runs, many: str) -> Iterator[subprocess.Popen[str]]:
        """A run over these that has written some."""
        with self.start(runs, many, "--batch-size", "1", formats="npz") as process:
            yield process
            process.kill()

    def start(self, runs: Runs, many: str, *words: str, formats: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [COMMAND, *runs.words(*words, samples=many, formats=formats)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(10):
            process.stdout.readline()
        return process

    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
    )
    def test_an_interrupt_finishes_what_is_in_hand(
        self, number: int, code: int, runs: Runs, many: str, begun: subprocess.Popen[str]
    ) -> None:
        begun.send_signal(number)
        stdout, stderr = begun.communicate(timeout=60)
        assert begun.returncode == code
        assert stderr.splitlines() == [
            "micam-fast: note: interrupted; finishing the samples in hand (once more ends at once)",
            "micam-fast: error: interrupted; --resume goes on with the run",
        ]
        done = manifest_lines(runs.out)
        assert 10 <= len(done) < MANY
        assert [each["sample"] for each in done] == list(range(len(done)))
        # Each file is named in the manifest, and there is nothing beside them.
        assert {name for each in done for name in each["files"]} | {NAME} == {
            each.name for each in runs.out.iterdir()
        }
        assert f"for {len(done)} samples to" in stdout.splitlines()[-1]

    @pytest.mark.parametrize("threads", ["1", "2"])
    def test_a_second_interrupt_ends_at_once(self, threads: str, runs: Runs, many: str) -> None:
        """In the middle of a batch that would take seconds."""
        words = ("--batch-size", "500", "--threads", threads, "--scale-tiles", "3")
        with self.start(runs, many, *words, formats="png") as process:
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert "finishing the samples in hand" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            start = time.monotonic()
            _, stderr = process.communicate(timeout=60)
        assert time.monotonic() - start < 3
        assert process.returncode == 130
        assert stderr == "micam-fast: error: interrupted; --resume goes on with the run\n"
        done = manifest_lines(runs.out)
        # Two threads tell of a batch when it has ended.
        assert 10 <= len(done) <= 500 * int(threads)
        assert [each["sample"] for each in done] == list(range(len(done)))
        # What was in hand is tidied up by the next run.
        assert {each.suffix for each in runs.out.iterdir()} <= {".png", ".jsonl", ".part"}

    def test_a_folder_that_goes_is_named(self, runs: Runs, begun: subprocess.Popen[str]) -> None:
        runs.out.rename(runs.out.with_name("gone"))
        _, stderr = begun.communicate(timeout=60)
        assert begun.returncode == 1
        (line,) = [each for each in stderr.splitlines() if "error: " in each]
        assert re.fullmatch(
            rf"micam-fast: error: cannot write {runs.out}/\S+: No such file.*", line
        )
        assert not runs.out.exists()

    def test_a_full_disk_is_named_and_gone_on_from(self, runs: Runs) -> None:
        """A limit on the size of files stands in for the disk; the manifest meets it first."""
        resource = pytest.importorskip("resource", reason="no limits on this system")
        samples = runs.samples.parent / "thirty.npy"
        np.save(samples, models.random_array(1, 30, 1, 8, 6))
        words = runs.words(samples=str(samples), formats="npz")
        done = subprocess.run(
            [COMMAND, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000)),
        )
        assert done.returncode == 1
        # A note that loops are compiled may come first, whose cache does not fit the limit either.
        line = done.stderr.splitlines()[-1]
        assert line == (
            f"micam-fast: error: cannot write {runs.out / NAME}: File too large; "
            "--resume goes on with the run"
        )
        assert "Traceback" not in done.stderr
        assert {each.suffix for each in runs.out.iterdir()} == {".npz", ".jsonl"}
        count = len(manifest_lines(runs.out))
        assert 0 < count < 30
        assert (
            f"{count} samples were there already"
            in succeeded(runs.resume(samples=str(samples), formats="npz")).stdout
        )
        assert [each["sample"] for each in manifest_lines(runs.out)] == list(range(30))


def test_a_folder_that_takes_nothing(runs: Runs) -> None:
    """Not even from root."""
    if not Path("/proc/self").exists():
        pytest.skip("no /proc on this system")
    runs.out = Path("/proc/micam")
    found = runs.run()
    assert found.exit_code == 2
    (line,) = error_lines(found)
    assert line.startswith("micam-fast: error: cannot write to folder /proc/micam: ")
