"""The full run of the project's own tests: what it skips, it fails for."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.project import ROOT
from tests.support.skips import Excuse, SkipCount

SKIPPING = {
    "test_module.py": "import pytest\npytest.importorskip('no_such_module')",
    "test_skipped.py": "import pytest\n@pytest.mark.skip(reason='no server')\ndef test_one(): pass",
    "test_failing.py": "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_one(): assert False",
    "test_many.py": "import pytest\n@pytest.mark.parametrize('x', [])\ndef test_one(x): pass",
}
"""Each way in which a test is left out."""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_skips_something_fails_and_names_it(tmp_path: Path, workers: int) -> None:
    done = run(tmp_path, SKIPPING, workers)
    assert done.returncode == 1, done.stdout + done.stderr
    _, said = done.stdout.split("--no-skips: some tests were skipped")
    assert sorted(re.findall(r"^(test_\w+)\.py\S*: ", said, re.MULTILINE)) == [
        "test_failing",
        "test_many",
        "test_module",
        "test_skipped",
    ]


def test_a_run_that_skips_nothing_passes(tmp_path: Path) -> None:
    done = run(tmp_path, {}, 0)
    assert done.returncode == 0, done.stdout + done.stderr


def run(folder: Path, tests: dict[str, str], workers: int) -> subprocess.CompletedProcess[str]:
    """A run of these tests, and one that passes, with the project's plugins."""
    for name, text in {**tests, "test_passing.py": "def test_one(): pass", "pytest.ini": "[pytest]"}.items():
        (folder / name).write_text(text + "\n")
    options = ["-p", "conftest", "-c", str(folder / "pytest.ini"), "--no-skips", "-n", str(workers)]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


EXCUSE = Excuse("tests/test_some.py::", "no roles", "this store has none")


@pytest.mark.parametrize(
    ("node_id", "said", "status"),
    [
        ("tests/test_some.py::test_one", "Skipped: no roles", pytest.ExitCode.OK),
        ("tests/test_other.py::test_one", "Skipped: no roles", pytest.ExitCode.TESTS_FAILED),
        ("tests/test_some.py::test_one", "Skipped: no server", pytest.ExitCode.TESTS_FAILED),
    ],
)
def test_an_excuse_is_for_its_place_and_its_reason(node_id: str, said: str, status: pytest.ExitCode) -> None:
    assert status_after(SkipCount((EXCUSE,)), (node_id, said)) == status


def test_an_excuse_that_nothing_needs_fails_the_run() -> None:
    assert status_after(SkipCount((EXCUSE,))) == pytest.ExitCode.TESTS_FAILED


def status_after(count: SkipCount, *skips: tuple[str, str]) -> int:
    """What a run ends with whose tests have passed, but for these."""
    for node_id, said in skips:
        where = (node_id, 1, "test")
        count.pytest_runtest_logreport(pytest.TestReport(node_id, where, {}, "skipped", (node_id, 1, said), "setup"))
    session = SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    count.pytest_sessionfinish(cast(Any, session), session.exitstatus)
    return int(session.exitstatus)
