"""Where compiled loops are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import micam_fast

CODE = """
import numba.core.caching as caching
# As if neither the package's folder nor the user's could be written.
for name in ("InTreeCacheLocator", "InTreeCacheLocatorFsAgnostic", "UserWideCacheLocator"):
    locator = getattr(caching, name, None)
    if locator is not None:
        locator.ensure_cache_path = lambda self: (_ for _ in ()).throw(OSError("read-only"))
import numpy as np, micam_fast
from micam_fast.demo import DIGITS, MODEL
print(micam_fast.explain(MODEL, np.load(DIGITS)[7]).prediction.index)
import numba
print(numba.config.CACHE_DIR)
"""


@pytest.mark.heavy
def test_loops_compile_where_nothing_can_be_kept(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "TMPDIR": str(tmp_path)},
        cwd=Path(micam_fast.__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    answer, folder = done.stdout.split()
    assert answer == "7"
    assert Path(folder).parent == tmp_path
    assert not Path(folder).exists()
