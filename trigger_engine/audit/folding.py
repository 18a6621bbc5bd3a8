"""The audit's fold: reads a log once, from its start, and keeps only what is still open."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from trigger_engine.audit.collecting import AuditLimits
from trigger_engine.audit.derived_ids import check_ids
from trigger_engine.audit.in_force import CHANGES, Change, InForce
from trigger_engine.audit.outcomes import Outcomes
from trigger_engine.audit.record import OUTPUTS, Record, Unexplained
from trigger_engine.audit.report import Books
from trigger_engine.audit.standing import Standing, Void, may_repeat
from trigger_engine.audit.uniqueness import Uniqueness
from trigger_engine.audit.user_code import UserCode
from trigger_engine.core.lifecycle import FINAL
from trigger_engine.entries.facts import (
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


class Fold:
    """Takes every entry of a log in order, from the position after `start`. `trimmed`: others stood before that."""

    def __init__(
        self,
        books: Books,
        ids: Uniqueness,
        code: UserCode,
        limits: AuditLimits,
        *,
        start: Position,
        trimmed: bool,
        refuses_void: bool,
        dense: bool,
    ) -> None:
        self.judged_upto: Position = 0
        self._books = books
        self._ids = ids
        self._trimmed = trimmed
        self._refuses_void = refuses_void
        self._dense = dense
        self._read_upto = start
        self._standing = Standing(books, trimmed_upto=start if trimmed else 0, stores_void=not refuses_void)
        self._in_force = InForce(limits)
        self._outcomes = Outcomes(books, self._in_force, code, limits, trimmed=self._trimmed)
        self._queue: deque[tuple[Position, AnyEntry, Statuses | None]] = deque()
        self._record = Record()
        self._declared = False
        self._changes = 0
        self._first_judgement = True

    def read(self, entries: Iterable[tuple[Position, AnyEntry]]) -> None:
        """Takes the next entries."""
        for position, entry in entries:
            self._check_position(position, entry)
            statuses = self._standing.read(position, entry)
            if isinstance(statuses, Void):
                self._void(position, entry, statuses)
            else:
                self._valid(position, entry, statuses)

    def finish(self) -> None:
        """Counts what is still open after the last entry."""
        for unexplained in self._record.unexplained():
            self._offend(unexplained._replace(what="no judgement follows it"), "judgements")
        for _, entry, statuses in self._queue:
            if isinstance(entry, CHANGES):
                self._in_force.apply(entry)
            elif statuses is not None:
                self._outcomes.wait(entry, statuses)
        self._ids.finish()

    def _check_position(self, position: Position, entry: AnyEntry) -> None:
        expected = self._read_upto + 1
        self._read_upto = position
        if self._dense:
            self._books.checked["positions"] += 1
        else:
            self._books.unverifiable["positions of a log that leaves gaps"] += 1
        if position < expected or (self._dense and position != expected):
            wrong = "a gap stands before it" if position > expected else "positions do not rise"
            self._books.offend("positions", position, entry.id, wrong, expected=expected, found=position)

    def _void(self, position: Position, entry: AnyEntry, void: Void) -> None:
        self._books.void[void.reason] += 1
        if self._refuses_void:
            wrong = f"it is void ({void.reason}), in a log that refuses void entries"
            self._books.offend("void entries", position, entry.id, wrong, found=void.detail)

    def _valid(self, position: Position, entry: AnyEntry, statuses: Statuses | None) -> None:
        self._books.entries[str(type(entry).__struct_config__.tag)] += 1
        if self._refuses_void or not may_repeat(entry):
            self._ids.add(position, entry.id)
        check_ids(self._books, position, entry)
        if isinstance(entry, OUTPUTS):
            self._record.add(position, entry)
        if isinstance(entry, CHANGES):
            self._change(position, entry)
        elif isinstance(entry, _FACTS):
            skips = self._declared and not self._changes and statuses is not None
            if not skips or self._in_force.concerns(entry):
                self._queue.append((position, entry, statuses))
        elif isinstance(entry, Judged):
            self._judged(position, entry)

    def _change(self, position: Position, entry: Change) -> None:
        if isinstance(entry, TriggersDeclared) and not self._declared:
            self._declared = True
            if entry.from_start:
                self._in_force.apply(entry)
                return
        if self._declared:
            self._queue.append((position, entry, ()))
            self._changes += 1

    def _judged(self, position: Position, judged: Judged) -> None:
        self._books.checked["judgements"] += 1
        if judged.upto >= position or judged.upto < self.judged_upto:
            expected = f"from {self.judged_upto} to {position - 1}"
            wrong = "it judges what is judged already, or what it cannot have read"
            self._books.offend("judgements", position, judged.id, wrong, expected=expected, found=judged.upto)
        record, self._record = self._record, Record()
        record.close(position, judged)
        while self._queue and self._queue[0][0] <= judged.upto:
            self._settle(record)
        for unexplained in record.unexplained():
            if self._trimmed and (self._first_judgement or not self._is_active(unexplained.trigger_id)):
                self._books.unverifiable["outcomes of trimmed entries or declarations"] += 1
            else:
                self._offend(unexplained, "runs" if "run" in unexplained.what else "contributions")
        self.judged_upto = max(self.judged_upto, judged.upto)
        self._first_judgement = False

    def _settle(self, record: Record) -> None:
        position, entry, statuses = self._queue.popleft()
        if isinstance(entry, CHANGES):
            self._in_force.apply(entry)
            self._changes -= 1
        elif statuses is None:
            self._books.unverifiable["outcomes of trimmed entries or declarations"] += record.forget(entry.id)
        else:
            self._outcomes.judge(position, entry, statuses, record)
            if statuses in _ENDS and isinstance(entry, InvocationEntry):
                self._in_force.end(entry.task_id, entry.invocation_id)

    def _is_active(self, trigger_id: str | None) -> bool:
        watched = None if trigger_id is None else self._in_force.find(trigger_id)
        return watched is not None and watched.active

    def _offend(self, unexplained: Unexplained, check: str) -> None:
        position, entry_id, _, what, found = unexplained
        self._books.offend(check, position, entry_id, what, expected="none", found=found)
