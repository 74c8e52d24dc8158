"""What a file of results holds: no samples of times, and nothing about whose machine it was."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cases import THREADS
from tests.conftest import own_cache  # noqa: F401 (a fixture for all benchmarks)

# TensorFlow and PyTorch bring thread pools and memory of their own: what loads them runs last.
LAST = ("test_peers.py", "test_export.py")
VERSIONS = (
    "micam-fast", "numpy", "numba", "onnxruntime", "onnx", "pillow", "matplotlib", "tensorflow",
    "keras", "tf2onnx", "torch", "torchcam", "torchlens",
)  # fmt: skip
KEPT_STATS = ("min", "median", "mean", "stddev", "max", "rounds", "iterations")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put last what would disturb others."""
    items.sort(key=lambda item: LAST.index(item.path.name) + 1 if item.path.name in LAST else 0)


def pytest_benchmark_generate_machine_info() -> dict[str, Any]:
    """What makes figures comparable; no names of hosts or users."""
    return {
        "processor": find_processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "threads": THREADS,
        "versions": {name: found for name in VERSIONS if (found := find_version(name))},
    }


@pytest.hookimpl(trylast=True)
def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Keep what is published, of those benchmarks whose checks passed."""
    output_json["commit_info"] = {
        key: output_json["commit_info"].get(key) for key in ("id", "time", "dirty")
    }
    command = os.environ.get("MICAM_BENCH_COMMAND", "pytest, by hand")
    output_json["command"] = command.replace(str(Path.home()), "~")
    output_json["benchmarks"] = [
        {
            "name": each["name"],
            "extra_info": each["extra_info"],
            "stats": {key: each["stats"][key] for key in KEPT_STATS},
        }
        for each in output_json["benchmarks"]
        if "table" in each["extra_info"]
    ]


def find_processor() -> str:
    """The processor's own name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def find_version(package: str) -> str | None:
    """The installed version, ``None`` without one."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
