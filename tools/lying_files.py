"""Long runs of files that lie about their sizes: each is refused, or its maps are right.

    python tools/lying_files.py notes 0 4000            # hand-made exports with changed notes
    python tools/lying_files.py graph 0 3000            # graphs
    python tools/lying_files.py keras 0 1000            # exports of real Keras models
    python tools/lying_files.py notes 0 4000 --canaries # what the loops read lies among NaN

A short run of them is in tests/whole/test_lying_files.py. Processes of their own run the seeds, so
that a crash is a finding like another. Under NUMBA_BOUNDSCHECK=1 (tools/boundscheck.sh sets it) a
loop that leaves an array raises, which is a finding, too.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

_CHUNK = 250
_CODE = "import sys; sys.path.insert(0, 'tools'); import lying_files; lying_files.run_chunk()"


def run_chunk() -> None:
    """Run the seeds that the words name, in a process of its own."""
    from tests.helpers import lying
    from tests.helpers.canaries import canaries

    kind, first, last, folder, guarded = sys.argv[1:6]
    if kind == "keras":
        lying.add_exports(Path(folder))
    with canaries() if guarded == "True" else nullcontext():
        tally = lying.run_seeds(kind, range(int(first), int(last)))
    (Path(folder) / "tally").write_bytes(pickle.dumps(tally))


def export_models(folder: Path) -> None:
    """Export small Keras models, one for each kind of layer and for each way of joining them."""
    from tests.helpers import keras_layers, keras_models
    from tests.helpers.lying import save_export

    for name in (*keras_layers.CONVOLUTIONS, *keras_layers.OTHERS, *keras_models.FUNCTIONAL):
        _, export = keras_models.exported(name)
        if len(export.inputs) == 1:
            save_export(export.proto, export.inputs[0], folder / f"{name}.onnx")


def main(kind: str, first: str, last: str, *options: str) -> int:
    """Run seeds of a kind, and show what they found."""
    from tests.helpers.lying import Tally

    begun, tally = time.perf_counter(), Tally()
    with tempfile.TemporaryDirectory(prefix="lying-") as name:
        folder = Path(name)
        if kind == "keras":
            export_models(folder)
        for begin in range(int(first), int(last), _CHUNK):
            end = min(begin + _CHUNK, int(last))
            words = [kind, str(begin), str(end), name, str("--canaries" in options)]
            environment = {**os.environ, "XDG_CACHE_HOME": f"{name}/cache"}
            done = subprocess.run(
                [sys.executable, "-X", "faulthandler", "-W", "ignore", "-c", _CODE, *words],
                cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                tally.findings.append(f"{kind} {begin} to {end}: {done.stderr[-2000:]}")
                continue
            found = pickle.loads((folder / "tally").read_bytes())
            tally.ended += found.ended
            tally.findings += found.findings
    print(*tally.findings, f"{tally}, {time.perf_counter() - begun:.0f} s", sep="\n")
    return bool(tally.findings)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
