"""Batches side by side: order, errors, ends before the end, several callers at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import micam_fast
from micam_fast.core.errors import SampleError
from micam_fast.engine.pipeline import Pipeline
from micam_fast.engine.runner import Runner
from tests.helpers.chains import BATCH_NORM, CONV, build, op
from tests.helpers.comparing import assert_same, assert_singles
from tests.helpers.models import Array, centred, conv_net, make_model, random_array

SAMPLES = random_array(9, 24, 1, 8, 6)
OPEN = build(CONV, BATCH_NORM, op("Relu", "norm", "relu"), shape=(3, "height", "width"))
DEADLINE = 10


def keep(index: int, found: Any) -> tuple[int, Any]:
    return index, found


def name(index: int, found: Any) -> int:
    return index


def of_four(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a batch of 4 that it fixes."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


class Callers:
    """Threads of a user; a deadlock is a failure, and is broken up so that the tests can go on."""

    def __init__(self, model: micam_fast.Model) -> None:
        self._model = model
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, work: Callable[[], object]) -> None:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                self._errors.append(error)

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        end = time.monotonic() + DEADLINE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        stuck = sum(thread.is_alive() for thread in self._threads)
        if stuck:
            pool = self._model._pool
            pool._max_workers += 64
            for _ in range(64):
                pool.submit(int)
            for thread in self._threads:
                thread.join(DEADLINE)
        assert not stuck, f"{stuck} of {len(self._threads)} callers wait for ever"
        if self._errors:
            raise self._errors[0]


# --- Order ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 1, 2, 5])
def test_many_batches_of_several_shapes_come_in_order(batch_size: int | None) -> None:
    sizes = np.random.default_rng(1).choice([4, 5, 9], 30)
    samples = [random_array(i, 3, int(size), 6) for i, size in enumerate(sizes)]
    single = micam_fast.load_model(OPEN, threads=1)
    expected = [single.explain(sample) for sample in samples]
    for threads in (1, 2, 3):
        model = micam_fast.load_model(OPEN, threads=threads)
        for _ in range(2):
            found = list(model.stream(samples, keep, batch_size=batch_size))
            assert [index for index, _ in found] == list(range(len(samples)))
            for (_, one), other in zip(found, expected, strict=True):
                assert_same(one, other)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 3, 24])
def test_results_wait_for_their_turn(threads: int, batch_size: int) -> None:
    def slowly(index: int, found: Any) -> int:
        time.sleep(0.01 if index % 4 == 0 else 0)
        return index

    model = micam_fast.load_model(conv_net(), threads=threads)
    assert list(model.stream(SAMPLES, slowly, batch_size=batch_size)) == list(range(24))


def test_no_samples() -> None:
    model = micam_fast.load_model(conv_net())
    assert list(model.stream([], name)) == []
    assert list(model.explain_many(iter(()))) == []


def test_batches_run_side_by_side() -> None:
    """Each waits for the other one."""
    both = threading.Barrier(2)

    def wait(index: int, found: Any) -> str:
        both.wait(DEADLINE)
        return threading.current_thread().name

    model = micam_fast.load_model(conv_net(), threads=2)
    assert len(set(model.stream(SAMPLES, wait, batch_size=1))) == 2


@pytest.mark.parametrize(
    ("count", "sizes", "workspace"),
    [(1, [1], 3), (2, [1, 1], 1), (4, [2, 2], 1), (5, [4, 1], 1)],
)
def test_a_lone_sample_has_all_threads_and_a_lone_batch_is_shared(
    count: int, sizes: list[int], workspace: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def watched(pipeline: Pipeline, samples: Any, worker: Any, stages: Any) -> Any:
        runs.append((len(samples), worker.workspace.threads))
        return explain(pipeline, samples, worker, stages)

    explain = Pipeline.run
    model = micam_fast.load_model(conv_net(), threads=3)
    model.explain(SAMPLES[0])
    monkeypatch.setattr(Pipeline, "run", watched)
    assert len(list(model.explain_many(SAMPLES[:count], batch_size=4))) == count
    assert sorted(runs, reverse=True) == [(size, workspace) for size in sizes]


def test_a_lone_batch_that_the_model_fixes_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be filled up twice."""
    loaded = micam_fast.load_model(of_four(conv_net()), threads=2)
    loaded.explain(SAMPLES[0])
    runs = []
    run = Runner.run

    def watched(runner: Runner, samples: Any, *given: Any, **named: Any) -> Any:
        runs.append(len(samples))
        return run(runner, samples, *given, **named)

    list(loaded.explain_many(SAMPLES[:4]))
    monkeypatch.setattr(Runner, "run", watched)
    list(loaded.explain_many(SAMPLES[:4]))
    assert runs == [4]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_only_what_is_needed_is_read(threads: int) -> None:
    taken = []

    def endless() -> Iterator[Array]:
        while True:
            taken.append(1)
            yield SAMPLES[0]

    found = micam_fast.load_model(conv_net(), threads=threads).stream(endless(), name, batch_size=2)
    for expected in range(40):
        assert next(found) == expected
        assert len(taken) <= expected + 2 * (threads + 1) + 1
    found.close()  # type: ignore[attr-defined]


# --- Errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_errors_come_in_their_turn(threads: int, batch_size: int | None) -> None:
    own = SampleError("cannot be read")
    wrong = np.zeros((1, 3, 3), np.float32)
    mixed = [own, *SAMPLES[:3], wrong, own, SAMPLES[3], SAMPLES[4], wrong]
    model = micam_fast.load_model(conv_net(), threads=threads)
    found = list(model.stream(mixed, keep, batch_size=batch_size))
    assert [index for index, _ in found] == list(range(9))
    failed = [index for index, each in found if isinstance(each, SampleError)]
    assert failed == [0, 4, 5, 8]
    assert found[0][1] is found[5][1] is own
    for index, sample in ((1, 0), (2, 1), (3, 2), (6, 3), (7, 4)):
        assert_same(found[index][1], model.explain(SAMPLES[sample]))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("batch_size", "at"), [(1, 0), (1, 9), (4, 9), (24, 5)])
def test_an_exception_in_what_follows_ends_the_stream(
    threads: int, batch_size: int, at: int
) -> None:
    called = []

    def fail(index: int, found: Any) -> int:
        called.append(index)
        if index == at:
            raise ZeroDivisionError(f"at sample {index}")
        return index

    model = micam_fast.load_model(conv_net(), threads=threads)
    got: list[int] = []
    stream = model.stream(SAMPLES, fail, batch_size=batch_size)
    with pytest.raises(ZeroDivisionError, match=f"at sample {at}"):
        got.extend(stream)
    # A batch as a whole comes or fails; one that has all threads may give what it has.
    assert got == list(range(len(got)))
    assert at - at % batch_size <= len(got) or batch_size == 24
    assert len(got) <= at
    assert not list(stream)
    assert list(model.stream(SAMPLES, name, batch_size=batch_size)) == list(range(24))
    assert max(called) <= at + (threads + 2) * batch_size


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_exception_among_the_samples_ends_the_stream(threads: int) -> None:
    def broken() -> Iterator[Array]:
        yield from SAMPLES[:7]
        raise ZeroDivisionError("no more samples")

    model = micam_fast.load_model(conv_net(), threads=threads)
    with pytest.raises(ZeroDivisionError, match="no more samples"):
        list(model.explain_many(broken(), batch_size=2))
    assert len(list(model.explain_many(SAMPLES, batch_size=2))) == 24


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_stream_that_is_closed_early_stops_working(threads: int) -> None:
    called = []

    def count(index: int, found: Any) -> int:
        called.append(index)
        return index

    model = micam_fast.load_model(conv_net(), threads=threads)
    stream = model.stream(SAMPLES, count, batch_size=1)
    assert next(stream) == 0
    stream.close()  # type: ignore[attr-defined]
    assert not list(stream)
    model._pool.submit(int).result(DEADLINE)
    assert len(list(model.explain_many(SAMPLES[:6], batch_size=1))) == 6
    assert len(called) <= threads + 2
    unused = model.stream(SAMPLES, count, batch_size=1)
    unused.close()  # type: ignore[attr-defined]


# --- Several callers ------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_several_callers_at_once(threads: int) -> None:
    """On a model that has not run before, so that they prove it together, too."""
    single = micam_fast.load_model(conv_net(), threads=1)
    expected = [single.explain(sample) for sample in SAMPLES]
    turned = [single.explain(sample, projection="transposed") for sample in SAMPLES]
    for _ in range(4):
        model = micam_fast.load_model(conv_net(), threads=threads)
        callers = Callers(model)

        def call(batch_size: int | None, projection: Any, model: Any = model) -> None:
            found = model.explain_many(SAMPLES, batch_size=batch_size, projection=projection)
            wanted = expected if projection == "published" else turned
            for one, other in zip(found, wanted, strict=True):
                assert_same(one, other)

        for batch_size in (None, 1, 2, 24):
            for projection in ("published", "transposed"):
                callers.start(lambda b=batch_size, p=projection: call(b, p))  # type: ignore[misc]
        callers.join()


def test_a_lone_batch_and_a_stream_prove_a_model_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first is proved, the batches of the second take all threads of the pool.

    The first is of the model's own size, so that it has all threads.
    """
    model = micam_fast.load_model(of_four(conv_net()), threads=2)
    waiting, started = threading.Semaphore(0), threading.Event()
    run, explain = Runner.run, Pipeline.run

    def slow_run(runner: Runner, *given: Any, **named: Any) -> Any:
        if not started.is_set():
            started.set()
            for _ in range(2):
                waiting.acquire(timeout=5)
            time.sleep(0.1)
        return run(runner, *given, **named)

    def watched(pipeline: Pipeline, *given: Any) -> Any:
        if started.is_set():
            waiting.release()
        return explain(pipeline, *given)

    monkeypatch.setattr(Runner, "run", slow_run)
    monkeypatch.setattr(Pipeline, "run", watched)
    callers = Callers(model)
    callers.start(lambda: list(model.explain_many(SAMPLES[:4], batch_size=4)))
    assert started.wait(DEADLINE)
    callers.start(lambda: list(model.explain_many(SAMPLES, batch_size=2)))
    callers.join()


@pytest.mark.parametrize("batch_size", [1, 24])
def test_what_follows_may_use_the_model(batch_size: int) -> None:
    """The same sample under the other projection, say."""
    model = micam_fast.load_model(conv_net(), threads=2)
    expected = model.explain(SAMPLES[5], projection="transposed")
    found: list[micam_fast.Explanation] = []

    def turn(index: int, _: Any) -> micam_fast.Explanation:
        return model.explain(SAMPLES[index], projection="transposed")

    callers = Callers(model)
    callers.start(lambda: found.extend(model.stream(SAMPLES, turn, batch_size=batch_size)))
    callers.join()
    assert len(found) == 24
    assert_same(found[5], expected)


# --- Models that make it hard ---------------------------------------------------------------


def test_a_model_that_mixes_samples_runs_one_at_a_time_in_every_thread() -> None:
    samples = random_array(7, 12, 3, 6, 5)
    for threads in (2, 3):
        assert_singles(micam_fast.load_model(centred(), threads=threads), samples, 3)


def test_sizes_that_depend_on_the_data_in_every_thread() -> None:
    """What one thread has learned of them is no good to another one."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"], name="places"),
        helper.make_node("Cast", ["places"], ["numbers"], to=1),
        helper.make_node("Neg", ["numbers"], ["end"], name="end"),
    ]
    model = make_model(nodes, {"x": ["N", 2, 3, 4]}, ["end"])
    samples = np.random.default_rng(1).integers(0, 2, (30, 2, 3, 4)).astype(np.float32)
    single = micam_fast.load_model(model, threads=1)
    expected = [single.explain(sample) for sample in samples]
    assert len({each.maps["end"].shape for each in expected}) > 3
    for threads in (2, 3):
        loaded = micam_fast.load_model(model, threads=threads)
        for one, other in zip(loaded.explain_many(samples, batch_size=1), expected, strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_slices_in_every_thread(threads: int) -> None:
    samples = random_array(3, 12, 3, 6, 7)
    whole = micam_fast.load_model(OPEN)
    sliced = micam_fast.load_model(OPEN, memory=500, threads=threads)
    for sample, found in zip(samples, sliced.explain_many(samples, batch_size=2), strict=True):
        for layer, cam in whole.explain(sample).cams.items():
            np.testing.assert_allclose(found.cams[layer], cam, atol=1e-5 * np.abs(cam).max())
