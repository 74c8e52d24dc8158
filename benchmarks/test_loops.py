"""Maps of all layers from activations that are there: a sum of them, matrix products, our loops.

All read the same arrays of a whole model. The sum reads each value once and is what memory allows;
the matrix products are what one writes in NumPy: planes = W (taps x channels) @ A (channels x
positions), each plane rolled by its tap, and all of them summed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from numpy.typing import NDArray

from benchmarks.activations import Activations, Tapped, check_cam, is_flat
from benchmarks.cases import DEMO_CASE, THREADS, choose_case, describe, show_model
from benchmarks.models import SEED, make_samples, model_path
from micam_fast.core.layers import Axes, Geometry, Tap
from micam_fast.maps.plan import BatchMaps, MapPlan
from micam_fast.maps.taps import sum_kernel
from tests.helpers import reference

TABLE = "loops"
CASES = [DEMO_CASE, ("ResNet50", 224), ("DenseNet121", 224)]
# Time is linear in the samples; 8 of ResNet-50 at 224 x 224 are 1.2 GB, beyond any cache.
BATCH = 8
ONE, ONE_NAME = (1, 64, 224, 224), "one activation, 64x224x224"


@pytest.fixture(scope="module", params=CASES, ids=lambda case: show_model(*case))
def case(request: pytest.FixtureRequest) -> tuple[str, int]:
    found: tuple[str, int] = request.param
    return found


@pytest.fixture(scope="module")
def activations(case: tuple[str, int], request: pytest.FixtureRequest) -> Activations:
    if not request.config.getoption("benchmark_enable") and case != DEMO_CASE:
        pytest.skip("timed with --benchmark-enable only")
    path = model_path(*case)
    return Tapped(path).run(make_samples(path, BATCH))


def note(
    benchmark: Any, what: str, case: tuple[str, int], given: Activations, threads: int
) -> None:
    choose_case(benchmark, case)
    describe(
        benchmark, TABLE, what, show_model(*case), units=BATCH, batch=BATCH, threads=threads,
        layers=len(given.graph.layers), megabytes_per_sample=round(given.megabytes, 1),
    )  # fmt: skip


def test_sum(benchmark: Any, case: tuple[str, int], activations: Activations) -> None:
    note(benchmark, "np.sum of the activations", case, activations, 1)
    benchmark.pedantic(np.sum, (activations.arena,), rounds=15, warmup_rounds=1)


@pytest.mark.parametrize("threads", [1, THREADS])
def test_matrix_products(
    benchmark: Any, case: tuple[str, int], activations: Activations, threads: int
) -> None:
    what = f"NumPy products and np.roll, {threads} thread{'s' * (threads > 1)}"
    note(benchmark, what, case, activations, threads)
    plans = list(plan_products(activations))
    with threadpoolctl.threadpool_limits(threads, "blas"):
        found = project_by_products(plans)
        for name, maps in zip(activations.graph.taps, found, strict=True):
            check_cam(maps[-1], activations.expected_cam(name, BATCH - 1), name)
        benchmark.pedantic(project_by_products, (plans,), rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("followers", [True, False], ids=["followers", "all-read"])
@pytest.mark.parametrize("threads", [1, THREADS])
def test_loops(
    benchmark: Any, case: tuple[str, int], activations: Activations, threads: int, followers: bool
) -> None:
    """With followers as the pipeline runs them: a ReLU is computed while its source is read."""
    what = f"our loops, {threads} thread{'s' * (threads > 1)}"
    note(benchmark, what if followers else f"{what}, no followers", case, activations, threads)
    plan = plan_loops(activations, followers)
    with ThreadPoolExecutor(threads) as pool:
        project = partial(
            plan.project, activations.arena, activations.arrays,
            np.empty(plan.staging, np.float32), pool=pool, workers=threads,
        )  # fmt: skip
        check_maps(plan, project(), activations)
        benchmark.pedantic(project, rounds=15)


@pytest.fixture(scope="module")
def one() -> NDArray[np.float32]:
    return np.random.default_rng(SEED).standard_normal(ONE, np.float32)


def test_sum_of_one_activation(benchmark: Any, one: NDArray[np.float32]) -> None:
    benchmark.group = ONE_NAME
    describe(benchmark, TABLE, "np.sum of the activations", ONE_NAME, threads=1)
    benchmark(np.sum, one)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_one_convolution(benchmark: Any, one: NDArray[np.float32], size: int) -> None:
    benchmark.group = ONE_NAME
    channels = ONE[1]
    kernel = np.random.default_rng(SEED).standard_normal((channels, 1, size, size), np.float32)
    geometry = Geometry(False, (1, 1), (1, 1), (0,) * 4, channels)
    plan = MapPlan(
        {"conv": Tap("v", Axes(0, 1), "channels", geometry, "v")},
        {"v": ONE},
        {"v": 0},
        batch_size=1,
        batch_axes={"v": 0},
        input_size=(ONE[2], ONE[3]),
        weigh=lambda name: sum_kernel(kernel, None, geometry),
        projection="published",
    )
    staging = np.empty(plan.staging, np.float32)
    project = partial(plan.project, one.reshape(-1), {"v": one}, staging)
    expected = reference.published_conv(
        np.moveaxis(one[0], 0, -1), np.moveaxis(kernel, (0, 1), (-1, -2)), None
    )
    check_cam(project().values.reshape(expected.shape), expected, "conv")
    what = f"our loops, 1 thread, kernel {size}x{size}"
    describe(benchmark, TABLE, what, ONE_NAME, threads=1)
    benchmark(project)


def check_maps(plan: MapPlan, maps: BatchMaps, activations: Activations) -> None:
    for name, size, (begin, count) in zip(plan.names, plan.sizes, plan.slots, strict=True):
        found = maps.values[-1, begin : begin + count].reshape(size)
        check_cam(found, activations.expected_cam(name, BATCH - 1), name)


def plan_loops(activations: Activations, followers: bool) -> MapPlan:
    """Tables of our loops, as the pipeline makes them."""
    graph, arrays = activations.graph, activations.arrays

    def weigh(name: str) -> Any:
        geometry = graph.taps[name].geometry
        assert geometry is not None
        return sum_kernel(*graph.weights(name), geometry)

    return MapPlan(
        graph.taps,
        {value: array.shape for value, array in arrays.items()},
        activations.offsets,
        batch_size=BATCH,
        batch_axes=dict.fromkeys(arrays, 0),
        input_size=activations.input_size,
        weigh=weigh,
        projection="published",
        pointwise=graph.pointwise if followers else {},
    )


class Product:
    """One layer's maps of a batch as matrix products; the matrix is made beforehand."""

    def __init__(self, activations: Activations, name: str) -> None:
        tap = activations.graph.taps[name]
        self.array = activations.arrays[tap.value]
        self.input_size = activations.input_size
        self.matrix: NDArray[np.float32] | None = None
        self.shifts = [(0, 0)]
        if is_flat(tap, self.array.ndim - 1):
            return
        channel = tap.axes.completed(self.array.ndim).channel
        assert self.array.ndim == 4
        assert channel is not None
        self.last = channel == 3
        count = self.array.shape[channel]
        size = self.array.shape[1:3] if self.last else self.array.shape[2:]
        weights = activations.kernel(name)
        if weights is None:
            self.matrix = np.full((1, count), 1 / count, np.float32)
            return
        kernel, bias = weights
        by_channel = np.full(count, 1 / count) if bias is None or not bias.any() else bias
        # The published engine applies the kernel transposed: row tap u is the kernel's column.
        summed = kernel.sum(axis=2, dtype=np.float64).swapaxes(0, 1) * by_channel
        summed = summed[: size[0], : size[1]]
        self.shifts = [(u, v) for u in range(summed.shape[0]) for v in range(summed.shape[1])]
        self.matrix = np.ascontiguousarray(summed.reshape(-1, count), np.float32)

    def run(self) -> NDArray[np.float32]:
        """Maps ``(samples, h', w')``."""
        count = len(self.array)
        if self.matrix is None:
            return self._lay_out(self.array.reshape(count, -1))
        if self.last:
            height, width = self.array.shape[1:3]
            planes = self.array.reshape(count, -1, self.array.shape[3]) @ self.matrix.T
            planes = np.moveaxis(planes, 2, 1)
        else:
            height, width = self.array.shape[2:]
            planes = self.matrix @ self.array.reshape(count, self.array.shape[1], -1)
        planes = planes.reshape(count, len(self.shifts), height, width)
        total = planes[:, 0].copy()
        for index, shift in enumerate(self.shifts[1:], 1):
            total += np.roll(planes[:, index], shift, axis=(1, 2))
        return total

    def _lay_out(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Flat values in rows and columns (SPEC section 2)."""
        count, size = values.shape
        long, short = max(self.input_size), min(self.input_size)
        if size < self.input_size[0]:
            return values[:, np.newaxis]
        rows = math.ceil(size / min(math.sqrt(size) * long / short, long))
        columns = math.ceil(size / rows)
        padded = np.zeros((count, rows * columns), np.float32)
        padded[:, :size] = values
        return padded.reshape(count, rows, columns)


def plan_products(activations: Activations) -> Iterator[Product]:
    return (Product(activations, name) for name in activations.graph.taps)


def project_by_products(plans: list[Product]) -> list[NDArray[np.float32]]:
    return [plan.run() for plan in plans]
