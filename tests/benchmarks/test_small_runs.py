"""Every benchmark runs, small, so that none of them rots."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import USUAL
from benchmarks.goals import GOALS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*USUAL, "growth"])
def test_a_benchmark_measures_all_that_has_a_goal(name: str) -> None:
    figures = list(importlib.import_module(f"benchmarks.{name}").measure(small=True))
    cases = [figure.case for figure in figures]
    assert len(set(cases)) == len(cases)
    assert {case for question, case in GOALS if question == name} <= set(cases)
    assert {figure.question for figure in figures} == {name}
    assert all(figure.runs for figure in figures)
    assert all(value > 0 for figure in figures if figure.unit != "%" for value in (*figure.runs, *figure.beside))


def test_the_command_prints_a_table() -> None:
    command = [sys.executable, "-m", "benchmarks", "idle", "--small"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "SQLite, one runner" in done.stdout


@pytest.mark.parametrize("wrong", [["nonsense"], ["idle", "--small", "--write"]])
def test_the_command_refuses_what_it_cannot_do(wrong: list[str]) -> None:
    command = [sys.executable, "-m", "benchmarks", *wrong]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "choose from" in done.stderr or "too short" in done.stderr
