"""Reads a log once, from its start, and keeps only what is still open."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from trigger_engine._audit.active_triggers import CHANGES, ActiveTriggers, Change
from trigger_engine._audit.decision_outputs import OUTPUTS, DecisionOutputs, Unexplained
from trigger_engine._audit.id_checks import check_ids
from trigger_engine._audit.join_state import AuditLimits
from trigger_engine._audit.outcomes import Outcomes
from trigger_engine._audit.report import Findings
from trigger_engine._audit.uniqueness import Uniqueness
from trigger_engine._audit.user_code import UserCode
from trigger_engine._audit.validity import Validity, Void, may_repeat
from trigger_engine._engine.lifecycle import FINAL
from trigger_engine._model.entries import (
    AnyEntry,
    CronTicked,
    EventEmitted,
    InvocationEntry,
    Judged,
    Position,
    TriggersDeclared,
)

_ENDS = {(status.value,) for status in FINAL}
_FACTS = (EventEmitted, CronTicked, InvocationEntry)
Statuses = tuple[str, ...]


class Auditor:
    """Checks every entry of a log in order, starting after `start`. `trimmed`: earlier entries were removed."""

    def __init__(
        self,
        findings: Findings,
        ids: Uniqueness,
        code: UserCode,
        limits: AuditLimits,
        *,
        start: Position,
        trimmed: bool,
        refuses_void: bool,
        dense: bool,
    ) -> None:
        self.evaluated_upto: Position = 0
        self._findings = findings
        self._ids = ids
        self._trimmed = trimmed
        self._refuses_void = refuses_void
        self._dense = dense
        self._read_upto = start
        self._validity = Validity(findings, trimmed_upto=start if trimmed else 0, stores_void=not refuses_void)
        self._active_triggers = ActiveTriggers(limits)
        self._outcomes = Outcomes(findings, self._active_triggers, code, limits, trimmed=self._trimmed)
        self._queue: deque[tuple[Position, AnyEntry, Statuses | None]] = deque()
        self._outputs = DecisionOutputs()
        self._declared = False
        self._changes = 0
        self._first_decision = True

    def read(self, entries: Iterable[tuple[Position, AnyEntry]]) -> None:
        """Checks the next entries."""
        for position, entry in entries:
            self._check_position(position, entry)
            statuses = self._validity.read(position, entry)
            if isinstance(statuses, Void):
                self._void(position, entry, statuses)
            else:
                self._valid(position, entry, statuses)

    def finish(self) -> None:
        """Reports and counts what is still open after the last entry."""
        for unexplained in self._outputs.unexplained():
            self._report_unexplained(unexplained._replace(problem="no decision follows it"), "decisions")
        for _, entry, statuses in self._queue:
            if isinstance(entry, CHANGES):
                self._active_triggers.apply(entry)
            elif statuses is not None:
                self._outcomes.count_unevaluated(entry, statuses)
        self._ids.finish()

    def _check_position(self, position: Position, entry: AnyEntry) -> None:
        expected = self._read_upto + 1
        self._read_upto = position
        if self._dense:
            self._findings.checked["positions"] += 1
        else:
            self._findings.unverifiable["positions of a log with gaps"] += 1
        if position < expected or (self._dense and position != expected):
            problem = "a gap precedes it" if position > expected else "positions do not increase"
            self._findings.report("positions", position, entry.id, problem, expected=expected, found=position)

    def _void(self, position: Position, entry: AnyEntry, void: Void) -> None:
        self._findings.void[void.reason] += 1
        if self._refuses_void:
            problem = f"it is void ({void.reason}) in a log that refuses void entries"
            self._findings.report("void entries", position, entry.id, problem, found=void.detail)

    def _valid(self, position: Position, entry: AnyEntry, statuses: Statuses | None) -> None:
        self._findings.entries[str(type(entry).__struct_config__.tag)] += 1
        if self._refuses_void or not may_repeat(entry):
            self._ids.add(position, entry.id)
        check_ids(self._findings, position, entry)
        if isinstance(entry, OUTPUTS):
            self._outputs.add(position, entry)
        if isinstance(entry, CHANGES):
            self._change(position, entry)
        elif isinstance(entry, _FACTS):
            skips = self._declared and not self._changes and statuses is not None
            if not skips or self._active_triggers.concerns(entry):
                self._queue.append((position, entry, statuses))
        elif isinstance(entry, Judged):
            self._evaluated(position, entry)

    def _change(self, position: Position, entry: Change) -> None:
        if isinstance(entry, TriggersDeclared) and not self._declared:
            self._declared = True
            if entry.from_start:
                self._active_triggers.apply(entry)
                return
        if self._declared:
            self._queue.append((position, entry, ()))
            self._changes += 1

    def _evaluated(self, position: Position, evaluated: Judged) -> None:
        self._findings.checked["decisions"] += 1
        if evaluated.upto >= position or evaluated.upto < self.evaluated_upto:
            expected = f"from {self.evaluated_upto} to {position - 1}"
            problem = "it covers entries that were already evaluated or that it cannot have read"
            self._findings.report("decisions", position, evaluated.id, problem, expected=expected, found=evaluated.upto)
        outputs, self._outputs = self._outputs, DecisionOutputs()
        outputs.close(position, evaluated)
        while self._queue and self._queue[0][0] <= evaluated.upto:
            self._evaluate_next(outputs)
        for unexplained in outputs.unexplained():
            if self._trimmed and (self._first_decision or not self._is_active(unexplained.trigger_id)):
                self._findings.unverifiable["outcomes of trimmed entries or declarations"] += 1
            else:
                self._report_unexplained(unexplained, "runs" if "run" in unexplained.problem else "contributions")
        self.evaluated_upto = max(self.evaluated_upto, evaluated.upto)
        self._first_decision = False

    def _evaluate_next(self, outputs: DecisionOutputs) -> None:
        position, entry, statuses = self._queue.popleft()
        if isinstance(entry, CHANGES):
            self._active_triggers.apply(entry)
            self._changes -= 1
        elif statuses is None:
            self._findings.unverifiable["outcomes of trimmed entries or declarations"] += outputs.forget(entry.id)
        else:
            self._outcomes.evaluate(position, entry, statuses, outputs)
            if statuses in _ENDS and isinstance(entry, InvocationEntry):
                self._active_triggers.end(entry.task_id, entry.invocation_id)

    def _is_active(self, trigger_id: str | None) -> bool:
        watched = None if trigger_id is None else self._active_triggers.find(trigger_id)
        return watched is not None and watched.active

    def _report_unexplained(self, unexplained: Unexplained, check: str) -> None:
        position, entry_id, _, problem, found = unexplained
        self._findings.report(check, position, entry_id, problem, expected="none", found=found)
