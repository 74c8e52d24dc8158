"""The tables of ``benchmarks/RESULTS.md`` from made-up results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.publishing import BEGIN, END, PublishingError, publish, render_file, show_seconds
from benchmarks.ratios import ANY_MODEL, RATIOS, TABLES
from tests.helpers.places import ROOT

SCRIPT = ROOT / "tools" / "publish_benchmarks.py"
RESNET = "ResNet50 224x224"


def make_benchmark(
    table: str, what: str, seconds: float, model: str = RESNET, units: int = 1, **more: Any
) -> dict[str, Any]:
    extra = {"table": table, "what": what, "model": model, "units": units, **more}
    return {"name": what, "extra_info": extra, "stats": {"median": seconds * units, "rounds": 3}}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    content = {
        "machine_info": {
            "processor": "Abacus 9", "cores": 2, "memory_gib": 24, "system": "Linux",
            "python": "3.11.7", "threads": 2, "versions": {"numpy": "2.4.6"},
        },
        "commit_info": {"id": "0123456789abcdef", "time": None, "dirty": False},
        "datetime": "2026-11-23T08:00:00+00:00",
        "command": "bash tools/bench.sh",
        "benchmarks": [
            make_benchmark("loops", "np.sum of the activations", 0.04, units=8),
            make_benchmark("loops", "our loops, 1 thread", 0.044, units=8),
            make_benchmark("loops", "NumPy products and np.roll, 1 thread", 0.066),
            make_benchmark("forward", "forward pass, batch 1", 0.02),
            make_benchmark("forward", "forward pass, batch 8", 0.016),
            make_benchmark("forward", "maps by explain_many, 32 samples", 0.0304),
            make_benchmark("diagrams", "SVG, flat", 0.08),
            make_benchmark("diagrams", "published method", 221.5, "DenseNet121 75x75",
                           stages={"maps": 180.2}),
            make_benchmark("diagrams", "PNG, flat", 0.2, "DenseNet121 75x75"),
            make_benchmark("samples", "maps, 10 samples", 0.001, "demo", peak_megabytes=200),
            make_benchmark("samples", "maps, 100 samples", 0.0011, "demo", peak_megabytes=300),
            make_benchmark("layers", "maps", 1e-5, "chain of 11 layers"),
            make_benchmark("layers", "maps", 1e-5, "chain of 25 layers"),
            make_benchmark("start", "python -c pass", 0.01, ""),
            make_benchmark("start", "import micam_fast", 0.16, ""),
        ],
    }  # fmt: skip
    path = tmp_path / "two-cores.json"
    path.write_text(json.dumps(content))
    return path


def test_times_are_of_one_unit_and_ratios_are_judged(results: Path) -> None:
    text = render_file(results)
    assert f"| {RESNET} | np.sum of the activations | 40 ms |" in text
    sums = "1.1 times np.sum of the activations | 1: at most 1.25: met |"
    assert f"| {RESNET} | our loops, 1 thread | 44 ms | {sums} 3 rounds |" in text
    products = "1.5 times faster than NumPy products and np.roll, 1 thread"
    assert f"|  |  |  | {products} | 1: at least 2: **not met** |" in text


def test_the_fastest_forward_pass_is_the_one_that_counts(results: Path) -> None:
    text = render_file(results)
    assert "1.9 times forward pass, batch 8 | 2: at most 2: met" in text
    assert "5 times forward pass, batch 8 | 3: at most 4: **not met**" in text


def test_goals_of_every_kind(results: Path) -> None:
    text = render_file(results)
    assert "1,108 times faster than published method | 4: at least 1,000: met" in text
    assert "1.1 times maps, 10 samples | 5: at most 1.25: met" in text
    peak = "peak megabytes: 1.5 times maps, 10 samples | 5: at most 1.25: **not met**"
    assert peak in text
    assert "1 times chain of 11 layers | 5: at most 1.25: met" in text
    assert "| 160 ms |  | 6: at most 0.15 s: **not met**" in text
    assert "16 times python -c pass" in text
    assert "3 rounds, maps 180 s" in text


def test_goals_without_a_number(results: Path) -> None:
    """Those of a long run, one of them not of times, and of nothing beside it."""
    content = json.loads(results.read_text())
    content["benchmarks"] = [
        make_benchmark("soak", "plot of 200 samples", 0.004, "demo", peak_megabytes=300),
        make_benchmark(
            "soak", "plot of 10000 samples", 0.004, "demo", peak_megabytes=315,
            last_thousand_over_first=1.061,
        ),
    ]  # fmt: skip
    results.write_text(json.dumps(content))
    text = render_file(results)
    assert "| peak megabytes: 1.05 times plot of 200 samples | at most 1.1: met |" in text
    assert "| last thousand over first: 1.06 | at most 1.05: **not met** |" in text


def test_what_was_missed_stands_in_front(results: Path) -> None:
    head, _, _ = render_file(results).partition("**Maps from")
    assert "Goals: 5 of 9 met. Not met:" in head
    assert f"- {RESNET}, SVG, flat: 5 times forward pass, batch 8 (goal 3: at most 4)" in head
    assert "- import micam_fast: 160 ms (goal 6: at most 0.15 s)" in head


def test_machine_versions_threads_commit_and_command(results: Path) -> None:
    text = render_file(results)
    for said in (
        "### Results: two-cores", "Abacus 9, 2 cores, 24 GiB, Linux; 2 threads", "Python 3.11.7",
        "numpy 2.4.6", "Commit 0123456789,", "2026-11-23", "`bash tools/bench.sh`",
    ):  # fmt: skip
        assert said in text


def test_uncommitted_changes_are_told(results: Path) -> None:
    results.write_text(results.read_text().replace('"dirty": false', '"dirty": true'))
    assert "Commit 0123456789 with changes that are not committed" in render_file(results)


def test_every_benchmark_has_its_row(results: Path) -> None:
    text = render_file(results)
    for each in json.loads(results.read_text())["benchmarks"]:
        assert f"| {each['extra_info']['model']} | {each['extra_info']['what']} |" in text


def test_a_benchmark_of_no_table_is_an_error(results: Path) -> None:
    results.write_text(results.read_text().replace('"start"', '"stars"'))
    with pytest.raises(PublishingError, match="no table is called stars"):
        render_file(results)


def test_what_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(PublishingError, match=r"other\.json is no file of tools/bench\.sh"):
        render_file(tmp_path / "other.json")


def test_only_what_is_between_the_marks_is_written(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter µ\n", encoding="utf-8")
    for _ in range(2):
        publish([results], page)
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"before\n{BEGIN}\n### Results: two-cores\n")
        assert text.endswith(f"\n\n{END}\nafter µ\n")
        assert "old" not in text


@pytest.mark.parametrize("text", ["no marks", f"{BEGIN}", f"{END}\n{BEGIN}", f"{BEGIN}{END}{END}"])
def test_missing_marks_end_in_a_line(results: Path, tmp_path: Path, text: str) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text(text)
    done = subprocess.run([sys.executable, SCRIPT, page, results], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"RESULTS.md needs the lines {BEGIN} and {END}" in done.stderr
    assert "Traceback" not in done.stderr
    assert page.read_text() == text


def test_no_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(PublishingError, match=r"no results: run bash tools/bench\.sh first"):
        publish([], tmp_path / "RESULTS.md")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(221.5, "222 s"), (1.5, "1.5 s"), (0.0304, "30.4 ms"), (2.5e-5, "25 µs"), (12345, "12,345 s")],
)
def test_seconds(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown


def test_the_table_of_ratios_names_tables_that_there_are() -> None:
    tables = {table.key for table in TABLES}
    assert {ratio.table for ratio in RATIOS} <= tables
    assert {ratio.over_table for ratio in RATIOS} <= tables | {""}
    for ratio in RATIOS:
        assert ratio.goals or not ratio.goal
        assert ANY_MODEL not in ratio.goals or len(ratio.goals) == 1


def test_the_page_holds_the_results_that_there_are(tmp_path: Path) -> None:
    benchmarks = SCRIPT.parent.parent / "benchmarks"
    page = tmp_path / "RESULTS.md"
    page.write_text(f"{BEGIN}\n{END}", encoding="utf-8")
    publish(sorted((benchmarks / "results").glob("*.json")), page)
    assert page.read_text(encoding="utf-8") in (benchmarks / "RESULTS.md").read_text(
        encoding="utf-8"
    )
