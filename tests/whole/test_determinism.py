"""The same bits for the same model, sample and options, however a run comes about."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from onnx import helper

import micam_fast
from tests.helpers.determinism_models import MODELS, deep, load_net, mixing_a_little, samples_of
from tests.helpers.digests import digest, digests
from tests.helpers.models import make_model, random_array

COUNT = 11


@pytest.mark.parametrize("name", MODELS)
def test_threads_batches_order_and_resumption_change_no_bit(name: str) -> None:
    model = load_net(name, threads=1)
    samples = samples_of(model, COUNT)
    # Each by a run of its own, and the last of them by a fresh model.
    expected = [digest(model.explain(sample)) for sample in samples]
    assert digest(load_net(name, threads=1).explain(samples[-1])) == expected[-1]
    for threads in (1, 2, 3):
        loaded = load_net(name, threads=threads)
        for batch_size in (8, None, 3, COUNT):
            assert digests(loaded, samples, batch_size=batch_size) == expected
        # A run that was killed goes on somewhere; a lone sample has all threads.
        fresh = load_net(name, threads=threads)
        assert digests(fresh, samples[5:], batch_size=2) == expected[5:]
        assert digests(fresh, samples[3:5]) == expected[3:5]
        assert digests(fresh, samples[::-1], batch_size=5) == expected[::-1]
        assert digest(load_net(name, threads=threads).explain(samples[2])) == expected[2]


def test_another_projection_and_fewer_layers() -> None:
    for how in ({"projection": "transposed"}, {}):
        layers = None if how else "conv,softmax"
        single = load_net("conv_net", threads=1, layers=layers)
        samples = samples_of(single, COUNT)
        expected = [digest(single.explain(sample, **how)) for sample in samples]  # type: ignore[arg-type]
        for threads in (2, 3):
            model = load_net("conv_net", threads=threads, layers=layers)
            assert digests(model, samples, batch_size=4, **how) == expected


@pytest.mark.parametrize("share", [0.3, 1.5, 2.5])
def test_under_a_memory_bound_it_alone_says_where_to_cut(share: float) -> None:
    """A third of a sample fits, or one of two samples side by side, or both."""
    free = micam_fast.load_model(deep(), threads=1)
    samples = samples_of(free, 7)
    shape = (1, *samples[0].shape)
    size = free.open_pipeline("published").sessions.size({"x": shape}, 1)
    bound = int(share * size)
    single = micam_fast.load_model(deep(), memory=bound, threads=1)
    expected = [digest(single.explain(sample)) for sample in samples]
    assert share < 1 or expected == digests(free, samples)
    for threads in (2, 3):
        for batch_size in (None, 1, 4):
            model = micam_fast.load_model(deep(), memory=bound, threads=threads)
            assert digests(model, samples, batch_size=batch_size) == expected


def test_where_to_cut_is_not_for_an_earlier_sample_to_say() -> None:
    """With other sizes each layer takes another share of the memory."""
    memory = 100_000
    samples = [random_array(i, 16, *size) for i, size in enumerate([(9, 40), (30, 30), (11, 13)])]
    expected = [
        digest(micam_fast.load_model(deep(), memory=memory, threads=1).explain(sample))
        for sample in samples
    ]
    for threads in (1, 2):
        model = micam_fast.load_model(deep(), memory=memory, threads=threads)
        assert digests(model, samples[::-1]) == expected[::-1]
        assert digests(model, samples) == expected


def test_sizes_that_depend_on_the_data_do_not_cut_what_comes_after() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"], name="places"),
        helper.make_node("Cast", ["places"], ["numbers"], to=1),
        helper.make_node("Sin", ["numbers"], ["end"], name="end"),
    ]
    model = make_model(nodes, {"x": ["N", 2, 3, 5]}, ["end"])
    samples = np.random.default_rng(1).integers(0, 2, (8, 2, 3, 5)).astype(np.float32)
    expected = digests(micam_fast.load_model(model, threads=1), samples, batch_size=1)
    bound = micam_fast.load_model(model, memory=200, threads=2)
    assert digests(bound, samples) == expected
    assert digests(bound, samples[::-1]) == expected[::-1]


@pytest.mark.parametrize("layers", ["add", None])
def test_a_batch_is_proved_to_the_last_bit(layers: Any) -> None:
    """Also where the layer that shows the mixing best has no map."""
    model = micam_fast.load_model(mixing_a_little(), layers=layers)
    samples = samples_of(model, 4)
    list(model.explain_many(samples, batch_size=4))
    assert model.pipeline("published")._alone


CODE = """
import sys
from tests.helpers.determinism_models import MODELS, load_net, samples_of
from tests.helpers.digests import digests
for name in MODELS:
    model = load_net(name, threads=int(sys.argv[1]))
    print(name, *digests(model, samples_of(model, 5), batch_size=int(sys.argv[2])))
"""


def test_processes_change_no_bit() -> None:
    """Digests under other hash seeds, and with other threads and batches."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, threads, batch_size],
            env=os.environ | {"PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed, threads, batch_size in (("1", "1", "1"), ("2", "2", "4"))
    ]
    first, second = (process.communicate()[0] for process in running)
    assert len(first.splitlines()) == len(MODELS)
    assert first == second
