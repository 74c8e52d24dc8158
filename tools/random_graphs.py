"""Hold many random graphs against the oracle: python tools/random_graphs.py --count 50000 --seed 1

Prints each finding with its seed. ``--only SEED`` runs one seed, and shows the smallest graph that
leaving out steps of its drawing leads to.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.helpers.random_checks import Finding, check
from tests.helpers.random_graphs import draw
from tests.helpers.random_shrinking import describe, shrink

Answer = tuple[int, list[Finding], str]


def run_seed(job: tuple[int, bool]) -> Answer:
    """What a seed finds, and why it proves nothing if it does not run."""
    seed, positive = job
    warnings.simplefilter("ignore")
    try:
        return seed, check(draw(seed, positive=positive)), ""
    except Exception as error:
        return seed, [], f"{type(error).__name__}: {error}"[:300]


def show_seed(seed: int, positive: bool) -> None:
    """One seed: its findings, and the smallest graph for each part that has some."""
    _, findings, refused = run_seed((seed, positive))
    print(*findings, refused, sep="\n")
    for part in dict.fromkeys(each.part for each in findings):
        drawn, left = shrink(seed, part, positive=positive)
        print(f"--- {part}", *left, describe(drawn), sep="\n")


def main() -> int:
    """Run the seeds that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--only", type=int, help="a seed to look at")
    parser.add_argument("--positive", action="store_true", help="graphs for tight receptive fields")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    given = parser.parse_args()
    if given.only is not None:
        show_seed(given.only, given.positive)
        return 0
    begun = time.monotonic()
    parts: Counter[str] = Counter()
    wrong = refused = 0
    jobs = [(seed, given.positive) for seed in range(given.seed, given.seed + given.count)]
    with multiprocessing.get_context("spawn").Pool(given.jobs, maxtasksperchild=500) as pool:
        for seed, findings, why in pool.imap_unordered(run_seed, jobs, chunksize=4):
            if why:
                refused += 1
                print(f"{seed} proves nothing: {why}", flush=True)
            if findings:
                wrong += 1
                parts.update({each.part for each in findings})
                shown = "; ".join(map(str, findings[:3]))
                print(f"{seed}: {len(findings)} findings: {shown}", flush=True)
    print(
        f"{given.count} graphs in {time.monotonic() - begun:.0f} s: {wrong} with findings "
        f"({dict(parts)}), {refused} that ONNX Runtime does not run"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
