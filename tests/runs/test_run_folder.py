"""The output folder of a run: one live run at a time, and nothing left of a killed one."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from micam_fast import Model, load_model
from micam_fast.core.errors import ModelError, OutputError, ResumeError
from micam_fast.core.output_files import partial_path
from micam_fast.core.timing import StageTimes
from micam_fast.runs.manifest import EARLIER, NAME, Manifest, read_header, start_manifest
from micam_fast.runs.output_folder import LOCK, describe_run, open_run
from micam_fast.runs.sample_files import PlotOptions
from micam_fast.runs.stores import open_store
from tests.helpers import models

HEADER = {"options": {"--format": ["png"]}}
LINE = {"sample": 0, "name": "a"}
ROOT = pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="nothing is read-only for root"
)
HOLD = """
import sys
from pathlib import Path
from micam_fast.runs.output_folder import open_run
from micam_fast.runs.stores import open_store
with open_run(open_store(Path(sys.argv[1])), {"options": {}}, resume=True, say=print) as manifest:
    manifest.add({"sample": 0, "name": "a"})
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def opened(
    folder: Path, *, resume: bool = False, said: list[str] | None = None
) -> Iterator[Manifest]:
    say = (said if said is not None else []).append
    with open_run(open_store(folder), HEADER, resume=resume, say=say) as manifest:
        yield manifest


def names(folder: Path) -> list[str]:
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*"))


class TestOpening:
    """A folder is locked, tidied up and gets a manifest."""

    @pytest.mark.parametrize("resume", [True, False])
    @pytest.mark.parametrize("name", ["new", "there", "a/b/new"])
    def test_a_run_begins(self, name: str, resume: bool, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        folder = tmp_path / name
        with opened(folder, resume=resume) as manifest:
            assert names(folder) == [LOCK, NAME]
            manifest.add(LINE)
        assert names(folder) == [NAME]

    def test_resuming_keeps_lines_and_a_new_run_does_not(self, tmp_path: Path) -> None:
        for resume, kept in ((False, False), (True, True), (False, False)):
            with opened(tmp_path, resume=resume) as manifest:
                assert (manifest.find(0) is not None) == kept
                manifest.add(LINE)

    def test_beginning_anew_is_said(self, tmp_path: Path) -> None:
        said: list[str] = []
        with opened(tmp_path, said=said) as manifest:
            manifest.add(LINE)
        assert said == []
        with opened(tmp_path, resume=True, said=said):
            pass
        assert said == []
        with opened(tmp_path, said=said) as manifest:
            manifest.add(LINE)
        (line,) = said
        assert "holds 1 sample of an earlier run; this one begins anew" in line

    @pytest.mark.parametrize("failed", [0, 1, 3])
    def test_a_run_that_writes_nothing_leaves_the_earlier_one(
        self, tmp_path: Path, failed: int
    ) -> None:
        with opened(tmp_path) as manifest:
            manifest.add(LINE)
        before = (tmp_path / NAME).read_bytes()
        said: list[str] = []
        with opened(tmp_path, said=said) as manifest:
            for index in range(failed):
                manifest.add({"sample": index, "name": "b", "error": "unreadable"})
        assert (tmp_path / NAME).read_bytes() == before
        assert names(tmp_path) == [NAME]
        assert said[1:] == [
            "no sample was written; the manifest is that of the earlier run, as it was"
        ]

    def test_a_run_that_is_interrupted_before_its_first_sample_leaves_the_earlier_one(
        self, tmp_path: Path
    ) -> None:
        with opened(tmp_path) as manifest:
            manifest.add(LINE)
        before = (tmp_path / NAME).read_bytes()
        with pytest.raises(KeyboardInterrupt), opened(tmp_path):
            raise KeyboardInterrupt
        assert (tmp_path / NAME).read_bytes() == before

    def test_a_run_that_fails_while_it_writes_its_first_sample_drops_the_earlier_manifest(
        self, tmp_path: Path
    ) -> None:
        """Which of the earlier run's files it has replaced is not known."""
        with opened(tmp_path) as manifest:
            manifest.add(LINE)

        def fail() -> None:
            with opened(tmp_path), open_store(tmp_path).writing(StageTimes()):
                # A run that is killed now leaves nothing that the next one could put back.
                assert EARLIER not in names(tmp_path)
                raise OutputError("full")

        with pytest.raises(OutputError, match="full"):
            fail()
        with opened(tmp_path, resume=True) as manifest:
            assert manifest.find(0) is None

    @pytest.mark.parametrize("written", [False, True])
    def test_a_killed_run_leaves_the_earlier_one_to_the_next(
        self, tmp_path: Path, written: bool
    ) -> None:
        (tmp_path / EARLIER).write_text('{"manifest": 3, "options": {"--format": ["png"]}}\n')
        with start_manifest(tmp_path / NAME, HEADER | {"machine": "killed"}) as manifest:
            manifest.add({"sample": 0, "name": "b", "error": "unreadable"})
            if written:
                manifest.add({"sample": 1, "name": "c"})
        with opened(tmp_path, said=[]):
            found = read_header(tmp_path / EARLIER) or {}
            assert ("machine" in found) == written
        assert names(tmp_path) == [NAME]

    def test_another_run_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        with opened(tmp_path) as manifest:
            manifest.add(LINE)
        before = (tmp_path / NAME).read_bytes()
        with (
            pytest.raises(ResumeError, match=re.escape('--format was ["png"], is ["svg"]')),
            open_run(
                open_store(tmp_path), {"options": {"--format": ["svg"]}}, resume=True, say=print
            ),
        ):
            pytest.fail("it is of other options")
        assert names(tmp_path) == [NAME]
        assert (tmp_path / NAME).read_bytes() == before

    def test_an_error_lets_go_of_the_folder(self, tmp_path: Path) -> None:
        def run() -> None:
            with opened(tmp_path / "o") as manifest:
                manifest.discard()
                raise OutputError("full")

        with pytest.raises(OutputError, match="full"):
            run()
        assert not (tmp_path / "o").exists()


class TestBadFolders:
    """What cannot be written is named, before anything is written."""

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "o").write_text("mine")
        with (
            pytest.raises(OutputError, match=re.escape(f"cannot write to folder {tmp_path}/o: ")),
            opened(tmp_path / "o"),
        ):
            pytest.fail("it is a file")
        assert (tmp_path / "o").read_text() == "mine"

    @ROOT
    def test_a_read_only_folder(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        try:
            with (
                pytest.raises(OutputError, match="cannot write to folder"),
                opened(tmp_path),
            ):
                pytest.fail("it is read-only")
        finally:
            tmp_path.chmod(0o700)
        assert names(tmp_path) == []

    def test_a_folder_that_goes_while_it_is_written(self, tmp_path: Path) -> None:
        folder = tmp_path / "o"

        def run() -> None:
            with opened(folder) as manifest:
                shutil.rmtree(folder)
                manifest.add(LINE)

        with pytest.raises(OutputError, match=f"{NAME}: it was removed while the run was writing"):
            run()
        assert not folder.exists()

    def test_a_lock_that_leads_elsewhere_is_not_followed(self, tmp_path: Path) -> None:
        folder = tmp_path / "o"
        folder.mkdir()
        (tmp_path / "mine").write_text("mine")
        (folder / LOCK).symlink_to(tmp_path / "mine")
        with (
            pytest.raises(OutputError, match="cannot write to folder"),
            opened(folder),
        ):
            pytest.fail("it is a link")
        assert (tmp_path / "mine").read_text() == "mine"


class TestLock:
    """Two live runs into one folder: the second is told."""

    @pytest.fixture
    def held(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        """A live run of another process."""
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "o")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
            process.kill()

    def test_the_second_is_told_who_holds_it(
        self, held: subprocess.Popen[str], tmp_path: Path
    ) -> None:
        folder = tmp_path / "o"
        before = {name: (folder / name).read_bytes() for name in names(folder)}
        assert LOCK in before
        who = re.escape(f"(process {held.pid} on {socket.gethostname()})")
        # Told as often as it tries: trying leaves the other's lock alone.
        for resume in (True, False):
            with (
                pytest.raises(ResumeError, match=f"another run is writing to .*/o {who}; wait"),
                opened(folder, resume=resume),
            ):
                pytest.fail("it is held")
        assert {name: (folder / name).read_bytes() for name in names(folder)} == before
        with opened(tmp_path / "p"):
            assert held.poll() is None

    def test_a_killed_runs_lock_does_not_count(
        self, held: subprocess.Popen[str], tmp_path: Path
    ) -> None:
        held.send_signal(signal.SIGKILL)
        held.wait(timeout=60)
        folder = tmp_path / "o"
        assert LOCK in names(folder)
        with open_run(open_store(folder), {"options": {}}, resume=True, say=print) as manifest:
            assert manifest.find(0) == LINE
        assert names(folder) == [NAME]

    def test_it_is_free_after_a_run_that_ended(
        self, held: subprocess.Popen[str], tmp_path: Path
    ) -> None:
        held.communicate(timeout=60)
        assert held.returncode == 0
        with open_run(
            open_store(tmp_path / "o"), {"options": {}}, resume=True, say=print
        ) as manifest:
            assert manifest.find(0) == LINE


class TestLeftovers:
    """What a killed run was writing goes; whatever else is there stays."""

    def test_only_what_a_run_was_writing_goes(self, tmp_path: Path) -> None:
        part = "0123456789abcdef.part"
        long = partial_path(
            tmp_path / f"{'m' * 80}_sample-123456_label-{'l' * 80}_pred-1-0.5000.png"
        )
        gone = [
            long.name,
            f".net_sample-3_pred-1-0.5000.png.{part}",
            f".net_sample-3.svg.{part}",
            f".{NAME}.{part}",
            f"net_sample-3_tiles/.000_x.png.{part}",
            f"net_sample-3_dot/.001_conv.png.{part}",
        ]
        kept = [
            f"notes.{part}",
            f".notes.txt.{part}",
            ".net_sample-3.png.part",
            ".net_sample-3.png.0123.part",
            "net_sample-3.png",
            "net_sample-3_tiles/000_x.png",
            f"mine/.000_x.png.{part}",
            f"mine/deep_tiles/.000_x.png.{part}",
            f".net_sample-4.png.{part}.txt",
        ]
        for name in [*gone, *kept]:
            (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / name).write_text("x")
        with opened(tmp_path):
            left = names(tmp_path)
        assert [name for name in gone if name in left] == []
        assert [name for name in kept if name not in left] == []

    def test_folders_that_are_links_are_left_alone(self, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        (other / ".a.png.0123456789abcdef.part").write_text("x")
        folder = tmp_path / "o"
        folder.mkdir()
        (folder / "net_sample-1_tiles").symlink_to(other)
        with opened(folder):
            assert names(other) == [".a.png.0123456789abcdef.part"]

    def test_what_cannot_be_removed_is_named(self, tmp_path: Path) -> None:
        (tmp_path / ".net_sample-3.png.0123456789abcdef.part").mkdir()
        with (
            pytest.raises(OutputError, match=re.escape(f"cannot tidy up folder {tmp_path}: ")),
            opened(tmp_path),
        ):
            pytest.fail("a folder has that name")


class TestDescribing:
    """The header: all that the bytes depend on."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Model:
        onnx.save(models.conv_net(), tmp_path / "net.onnx")
        return load_model(tmp_path / "net.onnx")

    def described(self, model: Model, tmp_path: Path, **more: Any) -> dict[str, Any]:
        options = PlotOptions(tmp_path / "o", **more)
        return describe_run(
            model, tmp_path / "net.onnx", options, {"--scale": 1.0}, {"--threads": 2}
        )

    def test_what_it_says(self, model: Model, tmp_path: Path) -> None:
        found = self.described(model, tmp_path)
        content = (tmp_path / "net.onnx").read_bytes()
        assert found["model"] == {
            "name": "net", "sha256": hashlib.sha256(content).hexdigest(), "weights": {},
        }  # fmt: skip
        assert found["versions"]["numpy"] == np.__version__
        assert found["machine"] == platform.machine()
        assert found["options"] == {"--scale": 1.0}
        assert found["running"] == {"--threads": 2}
        assert self.described(model, tmp_path) == found

    def test_the_layout_counts_where_there_is_one(self, model: Model, tmp_path: Path) -> None:
        assert self.described(model, tmp_path, formats=("npz", "tiles"))["layout_sha256"] is None
        top = self.described(model, tmp_path, formats=("svg",))["layout_sha256"]
        wide = self.described(model, tmp_path, formats=("svg",), rankdir="LR")
        assert top != wide["layout_sha256"]
        flat = self.described(model, tmp_path, formats=("svg",), look="flat")
        assert top != flat["layout_sha256"]

    def test_weights_beside_the_model_count(self, tmp_path: Path) -> None:
        onnx.save(
            models.conv_net(), tmp_path / "net.onnx", save_as_external_data=True,
            location="weights.bin", size_threshold=0,
        )  # fmt: skip
        model = load_model(tmp_path / "net.onnx")
        digest = hashlib.sha256((tmp_path / "weights.bin").read_bytes()).hexdigest()
        assert self.described(model, tmp_path)["model"]["weights"] == {"weights.bin": digest}

    def test_a_model_that_has_gone_is_named(self, model: Model, tmp_path: Path) -> None:
        (tmp_path / "net.onnx").unlink()
        with pytest.raises(ModelError, match=re.escape("net.onnx: No such file")):
            self.described(model, tmp_path)

    def test_a_manifest_keeps_it(self, model: Model, tmp_path: Path) -> None:
        header = self.described(model, tmp_path)
        with open_run(open_store(tmp_path / "o"), header, resume=False, say=print):
            pass
        assert read_header(tmp_path / "o" / NAME) == {"manifest": 3, **header}
        with open_run(open_store(tmp_path / "o"), header, resume=True, say=print):
            pass
