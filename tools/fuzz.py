"""Long fuzzing: atheris looks for files that lead to lines of this package not reached before.

    pip install --target .cache/atheris atheris==3.0.0
    PYTHONPATH=.cache/atheris python tools/fuzz.py png -max_total_time=600

The first word is the kind of file: onnx, npy, png, npz, csv or tfrecord; the others are options of
libFuzzer. Each file is given to `micam-fast plot` in this process, and judged as in
tests/whole/test_fuzzing.py. A finding ends the run, and libFuzzer writes the file as `crash-...`
(or `timeout-...`, `oom-...`) into the folder where it was started; `python tools/fuzz.py png FILE`
runs it again. A crash in a C library is caught, too, so that its own report stays unseen.
What leads somewhere new is kept in .cache/fuzzing, and the next run goes on from there.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit(__doc__)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PLACE = ROOT / ".cache" / "fuzzing"

MODELS = {"onnx": "conv", "npz": "two"}
"""Which model samples of a kind are for: by default one that takes pictures of any size."""


class FoundError(Exception):
    """What was wrong, in words."""


def main(kind: str, *options: str) -> None:
    """Fuzz a kind of file with options of libFuzzer, or run the files that are given."""
    here = Path.cwd()
    work, corpus, valid = (PLACE / f"{kind}{part}" for part in ("-work", "", "-valid"))
    for folder in (work, valid):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (work, corpus, valid):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(work)

    # Numba must see its functions as they are.
    loops = [f"micam_fast._loops.{path.stem}" for path in (ROOT / "micam_fast/_loops").glob("*.py")]
    with atheris.instrument_imports(include=["micam_fast"], exclude=loops):
        from tests.helpers.fuzzing import (
            LONGEST,
            MUTATORS,
            Capture,
            complete_case,
            judge,
            run_case,
            run_command,
            seeds_of,
        )
        from tests.helpers.mutations import Random

        capture = Capture()
        model = MODELS.get(kind, "open")
        contents = [content for _, _, content in seeds_of(kind)]

        def run(data: bytes) -> None:
            case = complete_case(kind, model, f".{kind}", data, Random(0), beside=False)
            folder = work / "case"
            found = run_case(case, folder, capture, run_command)
            wrong = judge(case, folder, found)
            os.chdir(here)
            shutil.rmtree(folder)
            if wrong:
                raise FoundError("; ".join(wrong))

        def mutate(data: bytes, longest: int, seed: int) -> bytes:
            rng = Random(seed)
            if rng.random() < 0.5:
                return bytes(atheris.Mutate(data, longest))
            return MUTATORS[kind](data, rng, rng.choice(contents))[:longest]

        for number, content in enumerate(contents):
            (valid / str(number)).write_bytes(content)
        # Libraries and loops are loaded in nobody's time.
        with suppress(FoundError):
            run(contents[0])
        named = [str(here / each) for each in options if not each.startswith("-")]
        words = [
            sys.argv[0],
            "-max_len=65536",
            f"-timeout={round(2 * LONGEST)}",
            "-rss_limit_mb=4096",
            f"-artifact_prefix={here}/",
            *(each for each in options if each.startswith("-")),
            *(named or [str(corpus), str(valid)]),
        ]
        atheris.Setup(words, run, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
