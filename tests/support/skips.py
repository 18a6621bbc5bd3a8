"""With `--no-skips`, which `nox -s tests` passes, a skipped test fails the run.

A skipped test checks nothing: a missing server, permission or package must not look like success.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

OPTION = "--no-skips"


@dataclass(frozen=True, slots=True)
class Excuse:
    """Tests that may be skipped. `where`: the prefix of their ids; `said`: part of the skip's message."""

    where: str
    said: str
    reason: str

    def covers(self, node_id: str, said: str) -> bool:
        """True if this skip is allowed."""
        return node_id.startswith(self.where) and self.said in said


EXCUSED: tuple[Excuse, ...] = ()
"""The skips that the full suite allows. An unused excuse fails the run, too."""


class SkipCount:
    """A pytest plugin that fails a run with skips or expected failures that have no excuse."""

    def __init__(self, excused: tuple[Excuse, ...] = EXCUSED) -> None:
        self._excused = excused
        self._used: set[Excuse] = set()
        self._faults: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's set-up, call or end."""
        self._look(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A whole module."""
        self._look(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fails the run before its summary is written."""
        self._faults += [f"unused excuse: {one}" for one in self._excused if one not in self._used]
        if self._faults and exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Lists the tests that were skipped."""
        if self._faults:
            terminalreporter.section(f"{OPTION}: some tests were skipped", red=True)
            for fault in self._faults:
                terminalreporter.line(fault)
            terminalreporter.line("install what is missing, or add an excuse to tests/support/skips.py")

    def _look(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped:
            return
        said = _said(report)
        excuse = next((one for one in self._excused if one.covers(report.nodeid, said)), None)
        if excuse is not None:
            self._used.add(excuse)
        else:
            self._faults.append(f"{report.nodeid}: {said}")


def _said(report: pytest.TestReport | pytest.CollectReport) -> str:
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}"
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
