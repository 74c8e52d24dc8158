"""Work on a cluster of separate processes: the same results, whatever happens to its workers."""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed as untyped
import numpy as np
import onnx
import pytest
from click.testing import Result

from micam_fast import Explanation, Model, load_model
from micam_fast.analyses.statistics import Statistics, stats
from micam_fast.core.errors import ClusterError, OutputError, SampleError
from micam_fast.core.timing import StageTimes
from micam_fast.engine.cluster import (
    Cluster,
    connecting as clusters,
    open_cluster,
    open_run,
    use_client,
    worker as holding,
)
from micam_fast.engine.cluster.dispatch import ChunkResult
from micam_fast.engine.cluster.shipment import pack
from micam_fast.engine.loaded_model import LoadedModel
from micam_fast.runs.journal import Journal
from micam_fast.runs.manifest import start_manifest
from micam_fast.runs.observing import RunObserver, RunSample
from micam_fast.runs.on_cluster import execute_on
from micam_fast.runs.plotting import plot_samples
from micam_fast.runs.sample_files import PlotOptions
from tests.helpers import models
from tests.helpers.commands import failure_line, succeeded
from tests.helpers.nets_under_rewriting import merge_wrongly, scaled_net
from tests.helpers.samples import as_samples, random_samples

# Its functions have no types.
distributed: Any = untyped

FORMATS = ("png", "npz", "tiles")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with open_cluster("local:2", threads=2, say=lambda _: None) as found:
        yield found


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(models.conv_net())


def pids(cluster: Cluster) -> list[int]:
    return list(cluster.client.run(os.getpid).values())


def content(explanation: Explanation) -> str:
    digest = hashlib.sha256()
    for name, cam in explanation.cams.items():
        digest.update(f"{name} {cam.shape}".encode() + cam.tobytes())
    assert explanation.output is not None
    digest.update(explanation.output.tobytes() + repr(explanation.global_range).encode())
    assert explanation.own_picture is not None
    assert explanation.own_picture.pixels is not None
    digest.update(explanation.own_picture.pixels.tobytes())
    return digest.hexdigest()


def files(folder: Path) -> dict[str, str]:
    """Digests of a folder's files; of a manifest without its seconds."""
    found = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        text = path.read_bytes()
        if path.suffix == ".jsonl":
            text = b"\n".join(line.split(b', "seconds"')[0] for line in text.splitlines())
        found[str(path.relative_to(folder))] = hashlib.sha256(text).hexdigest()
    return found


def count_sessions(dask_worker: Any) -> int:
    """How many sessions a worker has opened since it was last asked."""
    from micam_fast.engine import sessions

    opened: int = getattr(sessions, "_opened_count", 0)
    sessions._opened_count = 0  # type: ignore[attr-defined]
    if not hasattr(sessions, "_open_session"):
        own = sessions.open_session  # type: ignore[attr-defined]

        def counted(*given: Any, **more: Any) -> Any:
            sessions._opened_count += 1  # type: ignore[attr-defined]
            return own(*given, **more)

        sessions._open_session = own  # type: ignore[attr-defined]
        sessions.open_session = counted  # type: ignore[attr-defined]
    return opened


class TestOutcomes:
    """What came of comparing a model with its own file is sent to the workers, and back."""

    @pytest.fixture(autouse=True)
    def plans(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> None:
        """Nobody finds what was kept earlier; workers open each model in one thread."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
        cluster.client.run(_forget_plans, str(tmp_path / "there"))

    def opened_by_workers(self, cluster: Cluster) -> list[int]:
        return list(cluster.client.run(count_sessions).values())

    @pytest.mark.parametrize("external", [False, True])
    def test_no_worker_opens_a_second_session(
        self, cluster: Cluster, external: bool, tmp_path: Path
    ) -> None:
        path = tmp_path / "net.onnx"
        onnx.save(
            models.conv_net(),
            path,
            save_as_external_data=external,
            location="weights",
            size_threshold=0,
        )
        model = load_model(path, threads=1)
        self.opened_by_workers(cluster)
        list(model.explain_many(random_samples(24), client=cluster.client))
        assert set(self.opened_by_workers(cluster)) == {1}
        assert [each.verdict for each in model.outcomes.values()] == ["agrees"]

    def test_shapes_that_a_worker_finds_are_told(self, cluster: Cluster) -> None:
        model = load_model(scaled_net("h", "w"), threads=1)
        shapes = [(3, 6, 7), (3, 6, 7), (3, 9, 5)]
        samples = [models.random_array(i, *shape) for i, shape in enumerate(shapes)]
        list(model.explain_many(samples, client=cluster.client))
        assert [each.verdict for each in model.outcomes.values()] == ["agrees", "agrees"]
        here = load_model(scaled_net("h", "w"), threads=1)
        list(here.explain_many(samples))
        assert here.outcomes.keys() == model.outcomes.keys()

    def test_a_dropped_rewriting_is_dropped_by_workers(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        merge_wrongly(monkeypatch)
        notes: list[str] = []
        model = load_model(scaled_net(), threads=1, say=notes.append)
        samples = [models.random_array(i, 3, 6, 7) for i in range(6)]
        found = list(model.explain_many(samples, client=cluster.client))
        assert [content(each) for each in found] == [content(model.explain(s)) for s in samples]
        assert [each.verdict for each in model.outcomes.values()] == ["rewriting dropped"]
        assert len(notes) == 1

    def test_statistics_take_and_give_outcomes(self, cluster: Cluster) -> None:
        model = load_model(scaled_net("h", "w"), threads=1)
        shapes = [(3, 6, 7), (3, 6, 7), (3, 9, 5)]
        samples = [models.random_array(i, *shape) for i, shape in enumerate(shapes)]
        self.opened_by_workers(cluster)
        stats(model, samples[:2], client=cluster.client)
        # The model, and the activations.
        assert max(self.opened_by_workers(cluster)) == 2
        stats(model, samples, client=cluster.client)
        assert [each.verdict for each in model.outcomes.values()] == ["agrees", "agrees"]

    def test_a_first_sample_that_fails_leaves_it_to_the_workers(
        self, cluster: Cluster, model: Model
    ) -> None:
        samples = random_samples(3)
        samples[0] = np.zeros((3, 3), np.float32)
        found = list(load_model(models.conv_net()).explain_each(samples, client=cluster.client))
        assert [isinstance(each, SampleError) for each in found] == [1, 0, 0]


def _forget_plans(folder: str) -> None:
    os.environ["XDG_CACHE_HOME"] = folder


class TestExplaining:
    """``explain_many(..., client=)``."""

    @pytest.mark.parametrize("projection", ["published", "transposed"])
    def test_the_same_bits_in_the_same_order(
        self, cluster: Cluster, model: Model, projection: Any
    ) -> None:
        samples = random_samples(30)
        here = list(model.explain_many(samples, projection=projection))
        there = list(
            model.explain_many(iter(samples), projection=projection, client=cluster.client)
        )
        assert [content(each) for each in there] == [content(each) for each in here]
        assert all(each.scene is model.scene for each in there)
        assert len({content(each) for each in here}) == 30

    def test_errors_in_their_places(self, cluster: Cluster, model: Model) -> None:
        samples = random_samples(5)
        samples[2] = np.zeros((3, 3), np.float32)
        found = list(model.explain_each(samples, client=cluster.client))
        assert [isinstance(each, SampleError) for each in found] == [0, 0, 1, 0, 0]
        with pytest.raises(SampleError, match="shape"):
            list(model.explain_many(samples, client=cluster.client))

    def test_chosen_layers_and_external_weights(self, cluster: Cluster, tmp_path: Path) -> None:
        onnx.save(
            models.conv_net(),
            tmp_path / "far.onnx",
            save_as_external_data=True,
            location="far.bin",
            size_threshold=0,
        )
        model = load_model(tmp_path / "far.onnx", layers="conv,dense")
        (sample,) = random_samples(1)
        (found,) = model.explain_many([sample], client=cluster.client)
        assert set(found.cams) == {"conv", "dense"}
        assert found.scene.model == "far"
        assert content(found) == content(model.explain(sample))

    def test_nothing_is_left_on_the_workers(self, cluster: Cluster, model: Model) -> None:
        found: Any = model.explain_many(random_samples(40), client=cluster.client)
        next(found)
        assert [len(each) for each in cluster.client.run(_held).values()] == [1, 1]
        found.close()
        assert [len(each) for each in cluster.client.run(_held).values()] == [0, 0]
        end = time.monotonic() + 5
        while cluster.client.run_on_scheduler(_kept) and time.monotonic() < end:
            time.sleep(0.05)
        assert cluster.client.run_on_scheduler(_kept) == []

    def test_a_client_that_is_none(self, model: Model) -> None:
        with pytest.raises(ClusterError, match=r"must be a dask.distributed.Client .* not 'tcp"):
            list(model.explain_many(random_samples(1), client="tcp://"))

    def test_a_closed_client(self, cluster: Cluster, model: Model) -> None:
        client = distributed.Client(cluster.client.scheduler.address, set_as_default=False)
        client.close()
        with pytest.raises(ClusterError, match="the client is closed"):
            list(model.explain_many(random_samples(1), client=client))


def _held() -> list[str]:
    from micam_fast.engine.cluster import worker as holding

    return list(holding._held)


def _kept(dask_scheduler: Any) -> list[str]:
    """What the scheduler keeps of runs."""
    kept = [*dask_scheduler.plugins, *dask_scheduler.worker_plugins, *dask_scheduler.tasks]
    return [str(each) for each in kept if "micam" in str(each)]


class TestPickling:
    """What leaves a process."""

    def test_an_explanation(self, demo_explanation: Explanation, tmp_path: Path) -> None:
        whole = demo_explanation.save(tmp_path / "whole.png")
        found: Explanation = pickle.loads(pickle.dumps(demo_explanation))
        assert content(found) == content(demo_explanation)
        assert (found.sample, found.label) == ("digit_3.png", "3")
        assert found.save(tmp_path / "found.png").read_bytes() == whole.read_bytes()
        assert dict(found.ranges) == dict(demo_explanation.ranges)

    def test_explanations_share_their_template(self, demo_explanation: Explanation) -> None:
        first, second = (pickle.loads(pickle.dumps(demo_explanation)) for _ in range(2))
        assert first.maps.layout is not second.maps.layout
        assert first.maps.layout == second.maps.layout
        assert hash(first.maps.layout) == hash(second.maps.layout)


class Heard:
    """What became of each sample; something happens when five are done."""

    def __init__(self, fifth: Callable[[], None] = lambda: None) -> None:
        self.found: dict[int, Any] = {}
        self._fifth = fifth

    def finished(self, sample: RunSample) -> None:
        self.found[sample.index] = sample.shown
        if len(self.found) == 5:
            self._fifth()


class TestPlotting:
    """Files that workers write."""

    def plot(
        self,
        cluster: Cluster | None,
        model: Model,
        folder: Path,
        count: int,
        *observers: RunObserver,
    ) -> dict[str, str]:
        options = PlotOptions(folder, FORMATS, scale_tiles=0.2)
        samples = as_samples(random_samples(count))
        samples[1] = replace(samples[1], error=SampleError("broken"))
        folder.mkdir()
        execute = None if cluster is None else execute_on(cluster, model, options, StageTimes())
        with start_manifest(folder / "manifest.jsonl", {}) as manifest:
            journal = Journal(manifest, options.store)
            given: dict[str, Any] = {"journal": journal, "execute": execute}
            plot_samples(model, samples, options, observers=observers, **given)
        return files(folder)

    def test_the_same_files(self, cluster: Cluster, model: Model, tmp_path: Path) -> None:
        here = self.plot(None, model, tmp_path / "here", 12)
        assert len(here) > 11 * len(FORMATS)
        assert self.plot(cluster, model, tmp_path / "there", 12) == here

    def test_a_killed_worker(self, cluster: Cluster, model: Model, tmp_path: Path) -> None:
        here = self.plot(None, model, tmp_path / "here", 60)
        before = pids(cluster)
        heard = Heard(lambda: os.kill(before[0], signal.SIGKILL))
        assert self.plot(cluster, model, tmp_path / "there", 60, heard) == here
        assert list(heard.found) == list(range(60))
        cluster.client.wait_for_workers(2, timeout=20)
        assert before[0] not in pids(cluster)

    def test_a_sample_that_kills_its_workers(
        self, cluster: Cluster, model: Model, tmp_path: Path
    ) -> None:
        cluster.client.register_plugin(_Poison(), name="poison")
        heard = Heard()
        try:
            self.plot(cluster, model, tmp_path / "out", 9, heard)
        finally:
            cluster.client.unregister_worker_plugin("poison")
        failed = {index for index, each in heard.found.items() if isinstance(each, SampleError)}
        assert failed == {1, 6}
        assert "the workers that ran it died" in str(heard.found[6])
        cluster.client.wait_for_workers(2, timeout=20)

    def test_a_folder_that_workers_do_not_see(
        self, cluster: Cluster, model: Model, tmp_path: Path
    ) -> None:
        options = PlotOptions("memory://somewhere", ("npz",))
        execute = execute_on(cluster, model, options, StageTimes())
        with pytest.raises(OutputError, match="a worker does not see memory://somewhere"):
            plot_samples(model, as_samples(random_samples(2)), options, execute=execute)

    def test_the_command(
        self, cluster: Cluster, run_cli: Callable[..., Result], cli_out: Path
    ) -> None:
        given = ["plot", "net.onnx", "batch.npy", "--format", "png,npz"]
        succeeded(run_cli(*given))
        here = files(cli_out)
        address = ["--scheduler", cluster.client.scheduler.address]
        assert (
            "3 samples were there already"
            in succeeded(run_cli(*given, *address, "--resume")).stdout
        )
        for path in cli_out.iterdir():
            path.unlink()
        succeeded(run_cli(*given, *address))
        there = files(cli_out)
        assert there.pop("manifest.jsonl") != here.pop("manifest.jsonl")
        assert there == here


class _Poison(untyped.WorkerPlugin):
    """Lets sample 6 end the process, wherever it runs."""

    def setup(self, worker: Any) -> None:
        remote: Any = importlib.import_module("micam_fast.runs.on_cluster")
        self.before = remote.fit_each

        def fit_each(model: Any, samples: Any) -> Any:
            if any(sample.index == 6 for sample in samples):
                os._exit(1)
            return self.before(model, samples)

        remote.fit_each = fit_each

    def teardown(self, worker: Any) -> None:
        remote: Any = importlib.import_module("micam_fast.runs.on_cluster")
        remote.fit_each = self.before


class TestRuns:
    """Chunks of any work."""

    def test_a_worker_without_micam_fast(self, model: Model) -> None:
        blocked = ["import sys; sys.modules['micam_fast'] = None"]
        with (
            distributed.LocalCluster(
                n_workers=1,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
                preload=blocked,
            ) as local,
            distributed.Client(local, set_as_default=False) as client,
            pytest.raises(ClusterError, match=r"a worker of tcp://.* has no micam_fast; install"),
        ):
            list(model.explain_many(random_samples(2), client=client))

    def test_two_at_once(self, cluster: Cluster, model: Model) -> None:
        other = load_model(models.conv_net(seed=9))
        samples = random_samples(40)
        expected = [[content(e) for e in each.explain_many(samples)] for each in (model, other)]
        found: list[list[str]] = [[], []]

        def run(place: int, each: Model) -> None:
            found[place] = [content(e) for e in each.explain_many(samples, client=cluster.client)]

        threads = [threading.Thread(target=run, args=each) for each in enumerate((model, other))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == expected

    def test_few_chunks_are_in_hand(self, cluster: Cluster, model: Model) -> None:
        read: list[int] = []

        def chunks() -> Iterator[list[int]]:
            for index in range(50):
                read.append(index)
                yield [index]

        with open_run(cluster, model, _echo) as run:
            for done in run.each(chunks()):
                assert len(read) <= done.result[0] + 5
        assert len(read) == 50

    def test_an_error_of_the_work(self, cluster: Cluster, model: Model) -> None:
        with (
            open_run(cluster, model, _fail) as run,
            pytest.raises(OutputError, match="the disk of the worker is full"),
        ):
            list(run.each(iter([[0], [1]])))

    def test_workers_that_join_late_and_a_scheduler_that_goes(self, model: Model) -> None:
        with (
            clusters._local_cluster(distributed, 1, 1) as local,
            distributed.Client(local, set_as_default=False) as client,
        ):
            used = use_client(client)
            found: list[ChunkResult] = []

            def chunks() -> Iterator[list[int]]:
                for index in range(400):
                    if index == 3:
                        local.scale(2)
                    if len({each.result[1] for each in found}) == 2:
                        return
                    yield [index]

            with open_run(used, model, _tell_process) as run:
                for done in run.each(chunks()):
                    found.append(done)
            assert len({each.result[1] for each in found}) == 2
            assert [each.result[0] for each in found] == list(range(len(found)))
            with open_run(used, model, _echo) as run:
                rest = run.each([index] for index in range(400))
                next(rest)
                local.close()
                with pytest.raises(ClusterError, match=r"the scheduler at tcp://.* is gone"):
                    list(rest)


def _echo(model: LoadedModel, chunk: list[int]) -> list[int]:
    return chunk


def _fail(model: LoadedModel, chunk: list[int]) -> None:
    raise OutputError("the disk of the worker is full")


def _tell_process(model: LoadedModel, chunk: list[int]) -> tuple[int, int]:
    time.sleep(0.05)
    return chunk[0], os.getpid()


def measure(model: Model, **given: Any) -> Statistics:
    """Statistics of 70 samples of three classes, two of which are broken."""
    samples: list[Any] = random_samples(70)
    samples[40] = SampleError("broken")
    samples[41] = np.zeros((3, 3), np.float32)
    labels = [("a", "b", None)[index % 3] for index in range(70)]
    return stats(model, samples, labels=labels, diagrams=True, top_samples=3, **given)


@pytest.fixture(scope="module")
def found(cluster: Cluster, model: Model) -> Statistics:
    return measure(model, client=cluster.client)


class TestStatistics:
    """``stats(..., client=)``: chunks are measured by workers, and merged."""

    def test_the_same_numbers(self, found: Statistics, model: Model) -> None:
        here = {(row.label, row.layer): dict(vars(row)) for row in measure(model).rows}
        there = {(row.label, row.layer): dict(vars(row)) for row in found.rows}
        assert list(here) == list(there)
        for key, row in here.items():
            # Products of a long part are summed in float32 first.
            rank, other = row.pop("effective_rank"), there[key].pop("effective_rank")
            assert rank == other or rank == pytest.approx(other, rel=1e-6)
            for name, value in row.items():
                exact = isinstance(value, str | tuple | None)
                assert there[key][name] == (value if exact else pytest.approx(value, rel=1e-11))
        assert [index for index, _ in found.failed] == [40, 41]
        assert found.of("conv").strongest is not None

    def test_thumbnails(self, found: Statistics, model: Model) -> None:
        here = measure(model).top
        for name, top in found.top.items():
            for mine, theirs in zip(top.strongest, here[name].strongest, strict=True):
                np.testing.assert_array_equal(mine.thumbnail, theirs.thumbnail)

    def test_the_same_bits_on_any_cluster(self, found: Statistics, model: Model) -> None:
        with (
            clusters._local_cluster(distributed, 1, 3) as local,
            distributed.Client(local, set_as_default=False) as client,
        ):
            assert measure(model, client=client).rows == found.rows

    def test_diagrams(self, found: Statistics, model: Model, tmp_path: Path) -> None:
        here = measure(model)
        for label in (None, "a"):
            for mine, theirs in (
                (here.mean_diagram(label), found.mean_diagram(label)),
                (here.deviation_diagram(label), found.deviation_diagram(label)),
            ):
                assert mine.sample == theirs.sample
                for name, cam in mine.cams.items():
                    np.testing.assert_allclose(theirs.cams[name], cam, rtol=1e-6, atol=1e-6)
        assert found.mean_diagram().scene is model.scene

    def test_pickled_diagrams(self, found: Statistics, tmp_path: Path) -> None:
        there: Statistics = pickle.loads(pickle.dumps(found))
        one = found.mean_diagram("a").save(tmp_path / "one.svg").read_bytes()
        assert there.mean_diagram("a").save(tmp_path / "two.svg").read_bytes() == one

    def test_each_sample_is_told_once_in_order(self, cluster: Cluster, model: Model) -> None:
        told: list[tuple[int, bool]] = []
        measure(
            model,
            client=cluster.client,
            done=lambda index, error: told.append((index, error is not None)),
        )
        assert told == [(index, index in (40, 41)) for index in range(70)]

    def test_a_bound_on_covariances(self, cluster: Cluster, model: Model) -> None:
        found = measure(model, client=cluster.client, memory=30_000)
        assert found.unranked
        assert set(found.unranked.values()) == {"the covariance does not fit the memory bound"}
        assert found.of("conv").mean == pytest.approx(measure(model).of("conv").mean)

    def test_no_sample(self, cluster: Cluster, model: Model) -> None:
        with pytest.raises(SampleError, match="there is no sample to measure"):
            stats(model, [], client=cluster.client)
        with pytest.raises(SampleError, match="no sample could be measured; sample 0: broken"):
            stats(model, [SampleError("broken")], client=cluster.client)

    def test_the_command(
        self, cluster: Cluster, run_cli: Callable[..., Result], tmp_path: Path
    ) -> None:
        given = ["stats", "net.onnx", "batch.npy", "--output"]
        address = ["--scheduler", cluster.client.scheduler.address]
        texts = []
        for name, more in (("here.csv", []), ("there.csv", address)):
            succeeded(run_cli(*given, str(tmp_path / name), *more, out=False))
            texts.append((tmp_path / name).read_text())
        assert texts[0].count("\n") == texts[1].count("\n") > 5


class TestClusters:
    """Reaching a cluster, or not."""

    @pytest.mark.parametrize("address", ["local:0", "local:", "somewhere", "tcp://", "local:two"])
    def test_addresses(self, address: str, run_cli: Callable[..., Result]) -> None:
        line = failure_line(run_cli("plot", "net.onnx", "one.npy", "--scheduler", address))
        assert f"unknown scheduler: {address!r} (must be like tcp://HOST:8786, or local:N" in line

    def test_no_scheduler(
        self, run_cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clusters, "WAIT", 0.2)
        address = "tcp://127.0.0.1:1"
        line = failure_line(run_cli("plot", "net.onnx", "one.npy", "--scheduler", address))
        assert line.endswith(f"cannot reach a scheduler at {address}: no answer; start one with "
                             "'dask scheduler'")  # fmt: skip

    def test_no_worker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clusters, "WAIT", 0.2)
        said: list[str] = []
        with (
            distributed.LocalCluster(
                n_workers=0, dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}
            ) as local,
            distributed.Client(local, set_as_default=False) as client,
            pytest.raises(ClusterError, match=r"no worker at tcp://.* after 0.2 s; start one"),
        ):
            use_client(client, say=said.append)
        assert said == [f"waiting up to 0.2 s for workers at {local.scheduler_address}"]

    @pytest.mark.parametrize("there", ["2.1.0", None])
    def test_other_versions(self, there: str | None) -> None:
        mine = dict(clusters.tell_facts())
        clusters.check_facts("tcp://a:1", mine, mine)
        match = rf"worker tcp://a:1 has another version of numpy: {there or 'not there'}, here \d"
        with pytest.raises(ClusterError, match=match):
            clusters.check_facts("tcp://a:1", mine | {"numpy": there}, mine)

    def test_a_worker_of_other_versions_that_joins_late(self, model: Model) -> None:
        content = pickle.dumps(pack(model, _echo))
        facts = clusters.tell_facts()
        for run, theirs in (("one", facts), ("other", dict(facts) | {"numpy": "2.0.9"})):
            holding.hold(run, content, theirs, "tcp://late:1", 1, None)
        assert holding.work_on("one", pickle.dumps([3]))[0] == [3]
        with pytest.raises(ClusterError, match=r"late:1 has another version of numpy: .* 2\.0\.9"):
            holding.work_on("other", pickle.dumps([3]))
        for run in ("one", "other"):
            holding.let_go(run)
        with pytest.raises(ClusterError, match="a worker was not given the model"):
            holding.work_on("one", pickle.dumps([3]))

    def test_a_model_that_is_too_large(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("micam_fast.engine.cluster.shipment.LARGEST_MESSAGE", 1000)
        with pytest.raises(ClusterError, match=r"'conv_net' has 0.0 GiB .* workers can be sent up"):
            pack(model, _echo)

    def test_other_processors_are_told(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said: list[str] = []
        use_client(cluster.client, say=said.append)
        assert said == []
        monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "another")
        use_client(cluster.client, say=said.append)
        assert said == [
            "2 workers of 2 run on other processors than this one: the last digits may differ"
        ]
