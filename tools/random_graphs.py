"""Hold many random graphs against the oracle.

    python tools/random_graphs.py --count 50000 --seed 1

Prints each finding with its seed. ``--only SEED`` runs one seed, and shows the smallest graph that
leaving out steps of its drawing leads to.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.helpers.random_runs import Seed, Tally, run_seed, run_seeds
from tests.helpers.random_shrinking import describe, shrink


def show_seed(seed: Seed) -> None:
    """One seed: its findings, and for each part that has some the smallest graph."""
    answer = run_seed(seed)
    print(*answer.findings, answer.refused, sep="\n")
    for part in dict.fromkeys(each.part for each in answer.findings):
        drawn, left = shrink(seed.number, part, positive=seed.positive)
        print(f"--- {part}", *left, describe(drawn), sep="\n")


def main() -> int:
    """Run the seeds that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="how many graphs")
    parser.add_argument("--seed", type=int, default=1, help="the first one's")
    parser.add_argument("--only", type=int, help="a seed to look at")
    parser.add_argument("--positive", action="store_true", help="graphs for tight receptive fields")
    parser.add_argument("--jobs", type=int, help="processes; by default as many as cores")
    given = parser.parse_args()
    if given.only is not None:
        show_seed(Seed(given.only, given.positive))
        return 0
    begun, tally = time.monotonic(), Tally()
    seeds = [Seed(given.seed + each, given.positive) for each in range(given.count)]
    for answer in run_seeds(seeds, jobs=given.jobs):
        tally.add(answer)
        if answer.findings or answer.refused:
            print(answer, flush=True)
    print(f"{tally}; {time.monotonic() - begun:.0f} s")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
