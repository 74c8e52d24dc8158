"""Many random graphs in several processes."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.helpers.random_checks import Finding, check
from tests.helpers.random_graphs import draw

_SEEDS_OF_A_PROCESS = 500


@dataclass(frozen=True)
class Seed:
    """A graph by its number; `positive` ones have weights for tight receptive fields."""

    number: int
    positive: bool = False

    def __str__(self) -> str:
        return f"{self.number}{' --positive' if self.positive else ''}"


@dataclass(frozen=True)
class Answer:
    """What became of a seed: what it found, or why it proves nothing."""

    seed: Seed
    findings: tuple[Finding, ...] = ()
    refused: str = ""

    def __str__(self) -> str:
        if self.refused:
            return f"{self.seed} proves nothing: {self.refused}"
        shown = "; ".join(map(str, self.findings[:3]))
        return f"{self.seed}: {len(self.findings)} findings: {shown}"


@dataclass
class Tally:
    """What became of all seeds."""

    count: int = 0
    wrong: list[Answer] = field(default_factory=list)
    refused: list[Answer] = field(default_factory=list)

    def add(self, answer: Answer) -> None:
        """Count an answer in."""
        self.count += 1
        if answer.refused:
            self.refused.append(answer)
        if answer.findings:
            self.wrong.append(answer)

    def __str__(self) -> str:
        parts = Counter(part for each in self.wrong for part in {f.part for f in each.findings})
        return (
            f"{self.count} random graphs: {len(self.wrong)} with findings {dict(parts)}, "
            f"{len(self.refused)} that prove nothing"
        )


def run_seed(seed: Seed) -> Answer:
    """Draw the graph of a seed and check it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return Answer(seed, tuple(check(draw(seed.number, positive=seed.positive))))
    except Exception as error:
        return Answer(seed, refused=f"{type(error).__name__}: {error}"[:300])


def run_seeds(seeds: Sequence[Seed], *, jobs: int | None = None) -> Iterator[Answer]:
    """Check the graphs of seeds, in as many processes as there are cores, in any order."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs or os.cpu_count(), maxtasksperchild=_SEEDS_OF_A_PROCESS) as pool:
        yield from pool.imap_unordered(run_seed, seeds)
