"""Loaded by each process of ``local:N`` when it starts."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that the user started."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
