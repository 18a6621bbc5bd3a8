"""The counts and violations of an audit."""

from __future__ import annotations

from collections import Counter

import msgspec

from trigger_engine._model.entries import Position


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One entry that is inconsistent with the rest of the log.

    `check`: the name of the failed check. `problem`, `expected` and `found` are texts for people.
    """

    check: str
    position: Position
    entry_id: str
    problem: str
    expected: str = ""
    found: str = ""


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an audit.

    `start`, `upto`: the positions between which the log was read. `evaluated_upto`: the last position that leaders
    have evaluated. `trimmed`: whether retention has removed earlier entries.

    Counts by name: `entries` (valid ones, by kind), `void` (by reason), `checked`, `outcomes` (one for each pair of an
    entry and a trigger that listens to it), `unverifiable`, `violation_counts` (by check). `violations`: the first
    ones, in the order found.
    """

    log_id: str
    start: Position
    upto: Position
    evaluated_upto: Position
    trimmed: bool
    entries: dict[str, int]
    void: dict[str, int]
    checked: dict[str, int]
    outcomes: dict[str, int]
    unverifiable: dict[str, int]
    violation_counts: dict[str, int]
    violations: tuple[Violation, ...]

    @property
    def consistent(self) -> bool:
        """True if there are no violations."""
        return not self.violation_counts


class Findings:
    """The counts of a running audit. Keeps the first `keep` violations and counts the rest."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.entries: Counter[str] = Counter()
        self.void: Counter[str] = Counter()
        self.checked: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.unverifiable: Counter[str] = Counter()
        self.violation_counts: Counter[str] = Counter()
        self.violations: list[Violation] = []

    def report(
        self, check: str, position: Position, entry_id: str, problem: str, *, expected: object = "", found: object = ""
    ) -> None:
        """Records a violation."""
        self.violation_counts[check] += 1
        if len(self.violations) < self._keep:
            self.violations.append(
                Violation(
                    check=check,
                    position=position,
                    entry_id=entry_id,
                    problem=problem,
                    expected=str(expected),
                    found=str(found),
                )
            )

    def compare(
        self, check: str, position: Position, entry_id: str, what: str, *, expected: object, found: object
    ) -> None:
        """Records a violation unless `expected` equals `found`."""
        if expected != found:
            self.report(check, position, entry_id, f"wrong {what}", expected=expected, found=found)
