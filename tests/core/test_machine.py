"""What the machine has, and what it gets back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from micam_fast.core.machine import machine_memory

GAPS = """
import re
from pathlib import Path
from micam_fast.core.machine import release_memory

def held():
    return int(re.search("RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

blocks, kept = [], []
for place in range(1000):
    blocks.append(b"x" * (100_000 + place))
    kept.append(b"y" * (1000 + place))
del blocks
before = held()
release_memory()
print(before - held())
"""


def test_memory_is_a_sensible_number() -> None:
    assert 2**28 < machine_memory() < 2**50


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_gaps_between_blocks_that_stay_are_given_back() -> None:
    """In a process of its own, whose memory has no gaps yet."""
    words = [sys.executable, "-c", GAPS]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) > 50
