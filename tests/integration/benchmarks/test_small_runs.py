"""Every benchmark works, in a short run."""

import ast
import importlib
import subprocess
import sys
from contextlib import ExitStack

import pytest

from benchmarks.__main__ import ON_SERVERS, USUAL
from benchmarks.harness.measuring import Figure, question_of
from benchmarks.harness.servers import BACKENDS
from benchmarks.harness.targets import TARGETS
from tests.support.project import ROOT
from tests.support.servers.rabbitmq_streams import removed_afterwards
from tests.support.servers.shared import SharedServers


@pytest.mark.slow
@pytest.mark.parametrize("name", [*USUAL, "growth"])
def test_benchmark_measures_every_case_with_a_target(name: str) -> None:
    check(name, list(importlib.import_module(f"benchmarks.{name}").measure(small=True)))


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ON_SERVERS)
def test_benchmark_runs_on_a_server(
    name: str, backend: str, servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        # A private server takes up to ten seconds to start.
        url = servers.url(backend)
        monkeypatch.setenv(f"TEST_{backend.upper()}_URL", url)
        if backend == "rabbitmq":
            stack.enter_context(removed_afterwards(url))
        figures = list(importlib.import_module(f"benchmarks.{name}").measure(small=True, backend=backend))
    check(question_of(name, backend), figures)


def check(question: str, figures: list[Figure]) -> None:
    """Every case with a target was measured, and only shares of a few milliseconds may be zero."""
    cases = [figure.case for figure in figures]
    assert len(set(cases)) == len(cases)
    assert TARGETS.get(question, {}).keys() <= set(cases)
    assert {figure.question for figure in figures} == {question}
    assert all(figure.runs for figure in figures)
    above_zero = [figure for figure in figures if figure.unit != "%" and not may_be_zero(figure)]
    assert above_zero
    assert all(value > 0 for figure in above_zero for value in (*figure.runs, *figure.beside))


def may_be_zero(figure: Figure) -> bool:
    """A share of a short run's processor time: clocks are coarse, and the probes' cost is subtracted."""
    return figure.question == "breakdown" and "clock, without probes" not in figure.case


def test_only_servers_py_imports_the_tests() -> None:
    found = set()
    for path in (ROOT / "benchmarks").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if any(isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests") for node in nodes):
            found.add(path.name)
    assert found == {"servers.py"}


def test_command_prints_a_table() -> None:
    command = [sys.executable, "-m", "benchmarks", "idle", "--small"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "SQLite, one runner" in done.stdout


@pytest.mark.parametrize("wrong", [["nonsense"], ["idle", "--small", "--write"], ["idle", "--backend", "redis"]])
def test_command_rejects_invalid_arguments(wrong: list[str]) -> None:
    command = [sys.executable, "-m", "benchmarks", *wrong]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "choose from" in done.stderr or "too short" in done.stderr
