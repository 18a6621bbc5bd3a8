"""With `--no-skips`, as `nox -s tests` gives it to the full suite, a test that was skipped fails the run.

What is skipped is not checked: a server, a right or a package that is missing must not look like success.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

OPTION = "--no-skips"


@dataclass(frozen=True, slots=True)
class Excuse:
    """Tests that may be skipped. `where`: how their ids begin; `said`: what the skip says; `reason`: why it may be."""

    where: str
    said: str
    reason: str

    def holds(self, node_id: str, said: str) -> bool:
        """Whether it speaks of this skip."""
        return node_id.startswith(self.where) and self.said in said


EXCUSED: tuple[Excuse, ...] = ()
"""All that the full suite may skip. One that nothing needs must leave the list: it fails the run, too."""


class SkipCount:
    """A plugin of pytest that counts skips and expected failures, and fails a run that has some without an excuse."""

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
        self._faults += [f"nothing is skipped any more as {one} says" for one in self._excused if one not in self._used]
        if self._faults and exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Names what was not checked."""
        if self._faults:
            terminalreporter.section(f"{OPTION}: not all was checked", red=True)
            for fault in self._faults:
                terminalreporter.line(fault)
            terminalreporter.line("provide what is missing, or give reasons in tests/support/skips.py")

    def _look(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped:
            return
        said = _said(report)
        excuse = next((one for one in self._excused if one.holds(report.nodeid, said)), None)
        if excuse is not None:
            self._used.add(excuse)
        else:
            self._faults.append(f"{report.nodeid}: {said}")


def _said(report: pytest.TestReport | pytest.CollectReport) -> str:
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}"
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
