"""The order of the project's own tests when they run in parallel."""

import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from tests.support.order import slow_first
from tests.support.project import ROOT


class Marked:
    """A test with one marker."""

    def __init__(self, marker: str) -> None:
        self._marker = marker

    def get_closest_marker(self, name: str) -> bool:
        return name == self._marker


TESTS = """
import pytest
@pytest.mark.parametrize("x", range(4))
def test_quick(x): pass
@pytest.mark.slow
@pytest.mark.parametrize("x", range(2))
def test_slow(x): pass
@pytest.mark.chaos
def test_wild(): pass
"""


def test_each_worker_starts_with_slow_tests_and_each_test_runs_once(tmp_path: Path) -> None:
    begun = run(tmp_path, workers=2)
    assert len(begun) == 2
    assert all(not tests[0].startswith("test_quick") for tests in begun.values())
    assert len({test for tests in begun.values() for test in tests}) == sum(map(len, begun.values())) == 7


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize(("slow", "quick"), [(0, 0), (5, 0), (0, 5), (3, 4), (5, 100)])
def test_every_test_is_kept(slow: int, quick: int, workers: int) -> None:
    items = [cast(pytest.Item, Marked("slow" if number < slow else "quick")) for number in range(slow + quick)]
    assert set(slow_first(items, workers)) == set(items)
    assert len(list(slow_first(items, workers))) == len(items)


def run(folder: Path, *, workers: int) -> dict[str, list[str]]:
    """What each worker has run, in order."""
    (folder / "test_some.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow\n    chaos\n")
    options = ["-p", "conftest", "-c", str(folder / "pytest.ini"), "-v", "-n", str(workers), "--dist", "worksteal"]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, list[str]] = {}
    for worker, test in re.findall(r"^\[(gw\d)\] .*PASSED \S*test_some\.py::(\S+)", done.stdout, re.MULTILINE):
        found.setdefault(worker, []).append(test)
    return found
