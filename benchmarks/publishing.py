"""Results of a run as Markdown: every benchmark, its ratios, and whether goals are met."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks.ratios import ANY_MODEL, AT_LEAST, RATIOS, TABLES, Ratio, Table

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
# Said elsewhere in a row.
_NOT_NOTES = ("table", "what", "model", "units", "threads")
_NOTE_NAMES = {
    "megabytes_per_sample": "MB of activations a sample",
    "megabytes": "MB a file",
    "peak_megabytes": "MB at the peak",
}


class PublishingError(Exception):
    """Results, or a page, that nothing can be published from, or into."""


@dataclass(frozen=True)
class Row:
    """One benchmark.

    Attributes
    ----------
    table, what, model
        As it described itself.
    seconds
        Median of one unit.
    rounds
        How often it was timed.
    extra
        Everything that it noted.
    """

    table: str
    what: str
    model: str
    seconds: float
    rounds: int
    extra: Mapping[str, Any]

    def measure(self, name: str) -> float:
        """Seconds of a unit, or a number that the benchmark noted."""
        return self.seconds if name == "seconds" else float(self.extra[name])


@dataclass(frozen=True)
class Verdict:
    """A ratio in words, and its goal.

    Attributes
    ----------
    text
        The ratio.
    goal
        Number and limit, empty where there is no goal.
    met
        ``None`` where there is no goal.
    """

    text: str
    goal: str = ""
    met: bool | None = None


def publish(results: Sequence[Path], page: Path) -> None:
    """Write the results between the marks of a page.

    Raises
    ------
    PublishingError
        If there are no results, one is no file of ours, or the marks are missing.
    """
    if not results:
        raise PublishingError("no results: run bash tools/bench.sh first")
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise PublishingError(
            f"{page} needs the lines {BEGIN} and {END}, once each and in this order; "
            "the tables are written between them"
        )
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n".join(render_file(path) for path in results)
    page.write_text(f"{before}{BEGIN}\n{tables}{END}{after}", encoding="utf-8")


def render_file(path: Path) -> str:
    """Markdown of one file of results.

    Raises
    ------
    PublishingError
        If it is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return "\n".join(_render(path.stem, content)) + "\n"
    except (ValueError, LookupError, TypeError) as error:
        raise PublishingError(
            f"{path} is no file of tools/bench.sh ({type(error).__name__}: {error})"
        ) from error


def _render(name: str, content: Mapping[str, Any]) -> Iterator[str]:
    machine, commit = content["machine_info"], content["commit_info"]
    rows = [_read(each) for each in content["benchmarks"]]
    judged = {id(row): list(judge(row, rows)) for row in rows}
    versions = ", ".join(f"{key} {value}" for key, value in machine["versions"].items())
    changed = " with changes that are not committed" if commit["dirty"] else ""
    yield f"### Results: {name}\n"
    yield (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}; {machine['threads']} threads unless a row says otherwise. "
        f"Python {machine['python']}, {versions}. Commit {commit['id'][:10]}{changed}, "
        f"{content['datetime'][:10]}. By `{content['command']}`. Times are medians.\n"
    )
    verdicts = [(row, each) for row in rows for each in judged[id(row)] if each.met is not None]
    missed = [(row, each) for row, each in verdicts if not each.met]
    if verdicts:
        said = f"Goals: {len(verdicts) - len(missed)} of {len(verdicts)} met."
        yield f"{said} Not met:\n" if missed else f"{said}\n"
    for row, verdict in missed:
        yield f"- {_subject(row)}: {verdict.text} (goal {verdict.goal})"
    if missed:
        yield ""
    for table in TABLES:
        of_table = [row for row in rows if row.table == table.key]
        if of_table:
            yield from _render_table(table, of_table, judged)
    strangers = {row.table for row in rows} - {table.key for table in TABLES}
    if strangers:
        raise LookupError(f"no table is called {', '.join(sorted(strangers))}")


def _render_table(
    table: Table, rows: Sequence[Row], judged: Mapping[int, Sequence[Verdict]]
) -> Iterator[str]:
    yield f"**{table.title}**\n"
    yield f"| model | what | a {table.unit} | ratio | goal | notes |"
    yield "| --- | --- | --- | --- | --- | --- |"
    models = list(dict.fromkeys(row.model for row in rows))
    for row in sorted(rows, key=lambda row: models.index(row.model)):
        verdicts = judged[id(row)] or [Verdict("")]
        cells = [row.model, row.what, show_seconds(row.seconds)]
        for index, verdict in enumerate(verdicts):
            goal = "" if verdict.met is None else f"{verdict.goal}: {_say_met(verdict)}"
            notes = "" if index else _show_notes(row)
            # A goal in seconds is about the time that stands there.
            text = "" if verdict.text == cells[-1] else verdict.text
            yield f"| {' | '.join([*cells, text, goal, notes])} |"
            cells = ["", "", ""]
    yield ""


def judge(row: Row, rows: Iterable[Row]) -> Iterator[Verdict]:
    """Every ratio of a benchmark whose other side was timed, too.

    A goal whose other side is missing is not judged, neither met nor not.
    """
    rows = list(rows)
    for ratio in RATIOS:
        if (ratio.table, ratio.what) != (row.table, row.what):
            continue
        limit = ratio.goals.get(row.model, ratio.goals.get(ANY_MODEL))
        if not ratio.over:
            yield _decide(ratio, row.measure(ratio.measure), limit, "")
            continue
        other = _find_other(ratio, row, rows)
        if other is not None and other is not row:
            yield _decide(
                ratio, row.measure(ratio.measure), limit, other.what, other.measure(ratio.measure)
            )


def _find_other(ratio: Ratio, row: Row, rows: Iterable[Row]) -> Row | None:
    table, model = ratio.over_table or ratio.table, ratio.over_model or row.model
    found = [
        each
        for each in rows
        if (each.table, each.model) == (table, model) and fnmatchcase(each.what, ratio.over)
    ]
    return min(found, key=lambda each: each.seconds, default=None)


def _decide(
    ratio: Ratio, value: float, limit: float | None, other: str, other_value: float = 1.0
) -> Verdict:
    at_least = ratio.sense == AT_LEAST
    quotient = other_value / value if at_least else value / other_value
    kind = "" if ratio.measure == "seconds" else f"{ratio.measure.replace('_', ' ')}: "
    if not other:
        text, unit = (f"{kind}{_show(value)}", "") if kind else (show_seconds(value), " s")
    else:
        times = "times faster than" if at_least else "times"
        reference = ratio.over_model if ratio.over == ratio.what else other
        text, unit = f"{kind}{_show(quotient)} {times} {reference}", ""
    if limit is None:
        return Verdict(text)
    met = quotient >= limit if at_least else quotient <= limit
    number = f"{ratio.goal}: " if ratio.goal else ""
    return Verdict(text, f"{number}{ratio.sense} {limit:,g}{unit}", met)


def _read(benchmark: Mapping[str, Any]) -> Row:
    extra, stats = benchmark["extra_info"], benchmark["stats"]
    return Row(
        extra["table"],
        extra["what"],
        extra["model"],
        stats["median"] / extra["units"],
        stats["rounds"],
        extra,
    )


def show_seconds(seconds: float) -> str:
    """Seconds, milliseconds or microseconds, three digits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{_show(seconds * factor)} {unit}"
    return f"{_show(seconds * 1e6)} µs"


def _show(number: float) -> str:
    """Three digits that count, thousands with commas."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def _show_notes(row: Row) -> str:
    notes = [f"{row.rounds} round{'s' * (row.rounds > 1)}"]
    if "threads" in row.extra and row.extra["threads"] == "its own":
        notes.append("its own threads")
    for key, value in row.extra.items():
        if key == "stages":
            notes += [f"{stage} {show_seconds(seconds)}" for stage, seconds in value.items()]
        elif key in _NOTE_NAMES:
            notes.append(f"{value:g} {_NOTE_NAMES[key]}")
        elif key not in _NOT_NOTES:
            shown = ("yes" if value else "no") if isinstance(value, bool) else value
            notes.append(f"{key.replace('_', ' ')}: {shown}")
    return ", ".join(notes)


def _subject(row: Row) -> str:
    return f"{row.model}, {row.what}" if row.model else row.what


def _say_met(verdict: Verdict) -> str:
    return "met" if verdict.met else "**not met**"
