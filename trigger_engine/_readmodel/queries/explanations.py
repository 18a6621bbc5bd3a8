"""Explains why an entry fired or did not fire triggers: collects the facts for `trigger_engine._engine.explain`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from trigger_engine._engine.active_declarations import ActiveTrigger
from trigger_engine._engine.explain import (
    ExplainedTrigger,
    Explanation,
    RecordedFacts,
    RecordedKept,
    RecordedRun,
    TriggerStatus,
    explain,
    strongest,
)
from trigger_engine._engine.filters import Subject
from trigger_engine._engine.lifecycle import InvocationStatus, statuses_reached
from trigger_engine._engine.predicates import FAILED, SUCCESS, Occurrence
from trigger_engine._model.encoding import decode_entry
from trigger_engine._model.entries import EventEmitted, ExceptionFacts, InvocationEntry, Position
from trigger_engine._readmodel.projection.projection_state import decode_definition
from trigger_engine._readmodel.queries.read_snapshot import MAX_LIMIT, ReadSnapshot
from trigger_engine._readmodel.queries.trigger_runs import trigger_runs
from trigger_engine._readmodel.queries.triggers import triggers
from trigger_engine._readmodel.records import HistoryRecord
from trigger_engine._readmodel.store.rows import StatusRow, TriggerRow
from trigger_engine._suggestions import did_you_mean
from trigger_engine.errors import RecordNotFound

_decode_exception = msgspec.msgpack.Decoder(ExceptionFacts).decode
_decode_declarations = msgspec.msgpack.Decoder(list[ActiveTrigger]).decode
_STATUSES_BY_NOTICE: dict[str, TriggerStatus] = {
    "suspended": "suspended",
    "resumed": "active",
    "retired": "retired",
    "replaced": "replaced",
}


class ExplanationRecord(HistoryRecord, frozen=True, kw_only=True):
    """An entry, or all entries of an invocation, and why it fired or did not fire each trigger.

    `source`: the event code, the task id, or the cron condition of a tick. `values`: the payload, or arguments and
    result. `void`: why the entry is void; None if it is valid. `position`: that of the first entry. `evaluated_upto`:
    the position up to which leaders have evaluated. `explanations`: triggers that listen come first.
    """

    entry_id: str
    kind: Literal["event", "tick", "invocation"]
    source: str
    values: Mapping[str, Any]
    statuses: tuple[str, ...]
    void: str | None
    position: int
    evaluated_upto: int
    explanations: tuple[Explanation, ...]


def explanations(snapshot: ReadSnapshot, entry_id: str, trigger: str | None) -> ExplanationRecord:
    """Explains the effect of an event, a tick, a status or all statuses of an invocation on every trigger.

    `trigger`: limits the answer to one trigger, given by its id, its slot, or its task's id. Raises RecordNotFound.
    """
    occurrences = _occurrences(snapshot, entry_id)
    rows = _trigger_rows(snapshot, trigger)
    missing = {one.trigger_id: one.missing for one in triggers(snapshot, task_id=None, state=None)}
    timelines = _Timelines(snapshot)
    records = {one.entry_id: _record(snapshot, one) for one in occurrences}
    found = []
    for row in rows:
        results: list[Explanation] = []
        for one in occurrences:
            status = timelines.status(row, one)
            candidate = ExplainedTrigger(
                trigger=decode_definition(row.definition), status=status, missing=missing.get(row.trigger_id, ())
            )
            results.append(explain(one, candidate, records[one.entry_id]))
        found.append(strongest(results))
    first = occurrences[0]
    return ExplanationRecord(
        entry_id=entry_id,
        kind=first.kind,
        source=first.source,
        values={name: value for one in occurrences for name, value in one.values.items()},
        statuses=tuple(dict.fromkeys(status for one in occurrences for status in one.statuses)),
        void=first.void,
        position=first.position,
        evaluated_upto=snapshot.progress.evaluated_upto,
        explanations=tuple(sorted(found, key=lambda one: one.outcome == "not listening")),
    )


def _occurrences(snapshot: ReadSnapshot, entry_id: str) -> Sequence[Occurrence]:
    for find in (_event, _tick, _invocation, _status, _void):
        found = list(find(snapshot, entry_id))
        if found:
            return found
    raise RecordNotFound(
        f"the history has no entry with the id {entry_id!r} that triggers can react to: give the id of an event, "
        "an invocation, a trigger run or a status; retention may have removed it (event_retention_days)"
    )


def _event(snapshot: ReadSnapshot, event_id: str) -> Iterator[Occurrence]:
    for position, code, payload in snapshot.rows(
        "SELECT position, event_code, payload FROM events WHERE event_id = ?", (event_id,)
    ):
        yield Occurrence(
            entry_id=event_id,
            position=position,
            kind="event",
            source=code,
            values={"payload": snapshot.decode(payload)},
        )


def _tick(snapshot: ReadSnapshot, entry_id: str) -> Iterator[Occurrence]:
    for position, condition_id in snapshot.rows(
        "SELECT position, condition_id FROM ticks WHERE entry_id = ?", (entry_id,)
    ):
        yield Occurrence(entry_id=entry_id, position=position, kind="tick", source=condition_id)


def _invocation(snapshot: ReadSnapshot, entry_id: str) -> Iterator[Occurrence]:
    """Yields the registration and every status of an invocation, given its id or the id of the run that started it."""
    rows = snapshot.rows(
        "SELECT position, coalesce(trigger_run_id, invocation_id), task_id, arguments, time FROM invocations "
        "WHERE invocation_id = ?1 UNION "
        "SELECT position, trigger_run_id, task_id, arguments, time FROM invocations "
        "WHERE position IN (SELECT position FROM runs WHERE run_id = ?1)",
        (entry_id,),
    )
    for position, registration_id, task_id, arguments, time in rows:
        if time is not None:
            yield Occurrence(
                entry_id=registration_id,
                position=position,
                kind="invocation",
                source=task_id,
                statuses=(InvocationStatus.REGISTERED.value,),
                values={"arguments": snapshot.decode(arguments)},
            )
        yield from _statuses(snapshot, "invocation_position = ?", position)


def _status(snapshot: ReadSnapshot, entry_id: str) -> Iterator[Occurrence]:
    return _statuses(snapshot, "entry_id = ?", entry_id)


def _statuses(snapshot: ReadSnapshot, where: str, value: str | int) -> Iterator[Occurrence]:
    columns = ", ".join(f"statuses.{name}" for name in StatusRow.__struct_fields__)
    sql = (
        f"SELECT {columns}, task_id, arguments, result FROM statuses "
        f"JOIN invocations ON invocations.position = invocation_position WHERE {where} ORDER BY statuses.position"
    )
    for *fields, task_id, arguments, result in snapshot.rows(sql, (value,)):
        row = StatusRow(*fields)
        values: dict[Subject, Any] = {"arguments": snapshot.decode(arguments)}
        if row.status == SUCCESS and result is not None:
            values["result"] = snapshot.decode(result)
        exception = _decode_exception(row.exception) if row.status == FAILED and row.exception is not None else None
        reached = statuses_reached(InvocationStatus(row.came_from), InvocationStatus(row.status))
        yield Occurrence(
            entry_id=row.entry_id,
            position=row.position,
            kind="invocation",
            source=task_id,
            statuses=tuple(status.value for status in reached),
            values=values,
            exceptions=() if exception is None else (exception.type, *exception.bases),
        )


def _void(snapshot: ReadSnapshot, entry_id: str) -> Iterator[Occurrence]:
    for position, reason, data in snapshot.rows(
        "SELECT position, reason, entry FROM void WHERE entry_id = ? LIMIT 1", (entry_id,)
    ):
        entry = decode_entry(data)
        if isinstance(entry, EventEmitted):
            yield Occurrence(
                entry_id=entry_id,
                position=position,
                kind="event",
                source=entry.event_code,
                values={"payload": snapshot.decode(bytes(entry.payload))},
                void=reason,
            )
        elif isinstance(entry, InvocationEntry):
            yield Occurrence(
                entry_id=entry_id,
                position=position,
                kind="invocation",
                source=entry.task_id,
                values={"arguments": snapshot.decode(bytes(entry.arguments))},
                void=reason,
            )


def _trigger_rows(snapshot: ReadSnapshot, wanted: str | None) -> list[TriggerRow]:
    columns = ", ".join(TriggerRow.__struct_fields__)
    rows = [TriggerRow(*row) for row in snapshot.rows(f"SELECT {columns} FROM triggers ORDER BY slot, position DESC")]
    if wanted is None:
        return rows
    found = [row for row in rows if wanted in (row.trigger_id, row.slot, row.slot.rpartition("#")[0])]
    if not found:
        known = [name for row in rows for name in (row.trigger_id, row.slot, row.slot.rpartition("#")[0])]
        raise RecordNotFound(
            f"no trigger {wanted!r} was ever declared{did_you_mean(wanted, known) or ':'} "
            "give a trigger's id, its slot, or the id of its task (trigger-engine triggers)"
        )
    return found


def _record(snapshot: ReadSnapshot, occurrence: Occurrence) -> RecordedFacts:
    entry_id = occurrence.entry_id
    kept = snapshot.rows(
        "SELECT trigger_id, condition_id, waiting, settled_at FROM kept WHERE entry_id = ?", (entry_id,)
    )
    errors: dict[str, dict[str, str]] = defaultdict(dict)
    ended: set[str] = set()
    for kind, trigger_id, condition_id, text in snapshot.rows(
        "SELECT kind, trigger_id, condition_id, text FROM notices WHERE subject_id = ?", (entry_id,)
    ):
        if kind == "filter-failed":
            name, _, error = text.partition(": ")
            errors[condition_id][name] = error
        else:
            ended.add(trigger_id)
    return RecordedFacts(
        evaluated_upto=snapshot.progress.evaluated_upto,
        runs=tuple(_runs(snapshot, entry_id)),
        kept=tuple(
            RecordedKept(
                trigger_id=trigger_id, condition_id=condition_id, waiting=bool(waiting), settled=settled_at is not None
            )
            for trigger_id, condition_id, waiting, settled_at in kept
        ),
        errors=errors,
        ended_chains=frozenset(ended),
    )


def _runs(snapshot: ReadSnapshot, entry_id: str) -> Iterator[RecordedRun]:
    filters: dict[str, Any] = dict.fromkeys(
        ("invocation_id", "source_invocation_id", "trigger_id", "rejected", "since", "until", "cursor")
    )
    for run in trigger_runs(snapshot, event_id=entry_id, limit=MAX_LIMIT, **filters):
        yield RecordedRun(
            run_id=run.run_id,
            trigger_id=run.trigger_id,
            invocation_id=run.invocation_id,
            error=run.error,
            condition_ids=tuple(one.condition_id for one in run.participants if one.entry_id == entry_id),
            participants=len({one.entry_id for one in run.participants}),
        )


class _Timelines:
    """The states of triggers at the position of an entry."""

    def __init__(self, snapshot: ReadSnapshot) -> None:
        self._snapshot = snapshot
        declarations = snapshot.progress.declarations
        active_triggers = _decode_declarations(declarations) if declarations else []
        self._began: Mapping[str, Position] = {one.trigger.id: one.declared_at for one in active_triggers}

    def status(self, row: TriggerRow, occurrence: Occurrence) -> TriggerStatus:
        """Returns the state of a trigger. Declarations hidden by retention or later ones count as not declared."""
        position = occurrence.position
        if occurrence.kind == "event" and self._listened(row.trigger_id, occurrence):
            return "active"
        known: list[tuple[Position, TriggerStatus]] = [(self._began.get(row.trigger_id, row.position), "active")]
        known += self._changes(row.trigger_id)
        if row.state in _STATUSES_BY_NOTICE:
            known.append((row.state_position, _STATUSES_BY_NOTICE[row.state]))
        before: list[TriggerStatus] = [status for at, status in sorted(known, key=_position) if at < position]
        return before[-1] if before else "not declared"

    def _listened(self, trigger_id: str, occurrence: Occurrence) -> bool:
        found = self._snapshot.rows(
            "SELECT 1 FROM listening WHERE trigger_id = ? AND event_code = ? AND started < ? "
            "AND (stopped IS NULL OR ? < stopped) LIMIT 1",
            (trigger_id, occurrence.source, occurrence.position, occurrence.position),
        )
        return bool(found)

    def _changes(self, trigger_id: str) -> list[tuple[Position, TriggerStatus]]:
        rows = self._snapshot.rows("SELECT position, kind FROM notices WHERE trigger_id = ?", (trigger_id,))
        return [(position, _STATUSES_BY_NOTICE[kind]) for position, kind in rows if kind in _STATUSES_BY_NOTICE]


def _position(change: tuple[Position, TriggerStatus]) -> Position:
    return change[0]
