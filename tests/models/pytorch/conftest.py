"""PyTorch's tests run in a process of their own, see tools/test.sh.

In one process with TensorFlow, PyTorch ends it by a segmentation fault now and then.
"""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("MICAM_TORCH") else ["test_*.py"]
