"""Why an entry did or did not fire triggers: what the read model knows of it, given to `core.explain`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from trigger_engine.core.declarations import TriggerInForce
from trigger_engine.core.explain import (
    Candidate,
    Explanation,
    Record,
    RecordedKept,
    RecordedRun,
    Standing,
    explain,
    strongest,
)
from trigger_engine.core.filters import Subject
from trigger_engine.core.lifecycle import InvocationStatus, statuses_reached
from trigger_engine.core.predicates import FAILED, SUCCESS, Occurrence
from trigger_engine.entries.encoding import decode_entry
from trigger_engine.entries.facts import EventEmitted, ExceptionFacts, InvocationEntry, Position
from trigger_engine.errors import RecordNotFound
from trigger_engine.history.board import decode_definition
from trigger_engine.history.reading import MOST, Reading
from trigger_engine.history.records import Record as HistoryRecord
from trigger_engine.history.rows import StatusRow, TriggerRow
from trigger_engine.history.run_queries import trigger_runs
from trigger_engine.history.trigger_queries import triggers
from trigger_engine.suggestions import did_you_mean

_decode_exception = msgspec.msgpack.Decoder(ExceptionFacts).decode
_decode_declarations = msgspec.msgpack.Decoder(list[TriggerInForce]).decode
_STANDINGS: dict[str, Standing] = {
    "suspended": "suspended",
    "resumed": "in force",
    "retired": "retired",
    "replaced": "replaced",
}


class ExplanationRecord(HistoryRecord, frozen=True, kw_only=True):
    """An entry, or all entries of an invocation, and why it did or did not fire each trigger.

    `source`: the event code, the task id, or the cron condition of a tick. `values`: the payload, or arguments and
    result. `void`: why the entry counts for nothing, None when it counts. `position`: of the first entry.
    `judged_upto`: the position up to which leaders have judged. `explanations`: triggers that listen before others.
    """

    entry_id: str
    kind: Literal["event", "tick", "invocation"]
    source: str
    values: Mapping[str, Any]
    statuses: tuple[str, ...]
    void: str | None
    position: int
    judged_upto: int
    explanations: tuple[Explanation, ...]


def explanations(reading: Reading, entry_id: str, trigger: str | None) -> ExplanationRecord:
    """What an event, a tick, a status or all statuses of an invocation did to every trigger, or to one of them.

    `trigger`: an id, a slot, or the id of the task. Raises RecordNotFound.
    """
    occurrences = _occurrences(reading, entry_id)
    rows = _trigger_rows(reading, trigger)
    missing = {one.trigger_id: one.missing for one in triggers(reading, task_id=None, state=None)}
    timelines = _Timelines(reading)
    records = {one.entry_id: _record(reading, one) for one in occurrences}
    found = []
    for row in rows:
        told: list[Explanation] = []
        for one in occurrences:
            standing = timelines.standing(row, one)
            candidate = Candidate(
                trigger=decode_definition(row.definition), standing=standing, missing=missing.get(row.trigger_id, ())
            )
            told.append(explain(one, candidate, records[one.entry_id]))
        found.append(strongest(told))
    first = occurrences[0]
    return ExplanationRecord(
        entry_id=entry_id,
        kind=first.kind,
        source=first.source,
        values={name: value for one in occurrences for name, value in one.values.items()},
        statuses=tuple(dict.fromkeys(status for one in occurrences for status in one.statuses)),
        void=first.void,
        position=first.position,
        judged_upto=reading.progress.judged_upto,
        explanations=tuple(sorted(found, key=lambda one: one.outcome == "not listening")),
    )


def _occurrences(reading: Reading, entry_id: str) -> Sequence[Occurrence]:
    for find in (_event, _tick, _invocation, _status, _void):
        found = list(find(reading, entry_id))
        if found:
            return found
    raise RecordNotFound(
        f"nothing in the history that triggers could react to has the id {entry_id!r}: give the id of an event, "
        "an invocation, a trigger run or a status; retention may have removed it (event_retention_days)"
    )


def _event(reading: Reading, event_id: str) -> Iterator[Occurrence]:
    for position, code, payload in reading.rows(
        "SELECT position, event_code, payload FROM events WHERE event_id = ?", (event_id,)
    ):
        yield Occurrence(
            entry_id=event_id, position=position, kind="event", source=code, values={"payload": reading.decode(payload)}
        )


def _tick(reading: Reading, entry_id: str) -> Iterator[Occurrence]:
    for position, condition_id in reading.rows(
        "SELECT position, condition_id FROM ticks WHERE entry_id = ?", (entry_id,)
    ):
        yield Occurrence(entry_id=entry_id, position=position, kind="tick", source=condition_id)


def _invocation(reading: Reading, entry_id: str) -> Iterator[Occurrence]:
    """The registration and every status of an invocation, given its id or that of the run that started it."""
    rows = reading.rows(
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
                values={"arguments": reading.decode(arguments)},
            )
        yield from _statuses(reading, "invocation_position = ?", position)


def _status(reading: Reading, entry_id: str) -> Iterator[Occurrence]:
    return _statuses(reading, "entry_id = ?", entry_id)


def _statuses(reading: Reading, where: str, value: str | int) -> Iterator[Occurrence]:
    columns = ", ".join(f"statuses.{name}" for name in StatusRow.__struct_fields__)
    sql = (
        f"SELECT {columns}, task_id, arguments, result FROM statuses "
        f"JOIN invocations ON invocations.position = invocation_position WHERE {where} ORDER BY statuses.position"
    )
    for *fields, task_id, arguments, result in reading.rows(sql, (value,)):
        row = StatusRow(*fields)
        values: dict[Subject, Any] = {"arguments": reading.decode(arguments)}
        if row.status == SUCCESS and result is not None:
            values["result"] = reading.decode(result)
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


def _void(reading: Reading, entry_id: str) -> Iterator[Occurrence]:
    for position, reason, data in reading.rows(
        "SELECT position, reason, entry FROM void WHERE entry_id = ? LIMIT 1", (entry_id,)
    ):
        entry = decode_entry(data)
        if isinstance(entry, EventEmitted):
            yield Occurrence(
                entry_id=entry_id,
                position=position,
                kind="event",
                source=entry.event_code,
                values={"payload": reading.decode(bytes(entry.payload))},
                void=reason,
            )
        elif isinstance(entry, InvocationEntry):
            yield Occurrence(
                entry_id=entry_id,
                position=position,
                kind="invocation",
                source=entry.task_id,
                values={"arguments": reading.decode(bytes(entry.arguments))},
                void=reason,
            )


def _trigger_rows(reading: Reading, wanted: str | None) -> list[TriggerRow]:
    columns = ", ".join(TriggerRow.__struct_fields__)
    rows = [TriggerRow(*row) for row in reading.rows(f"SELECT {columns} FROM triggers ORDER BY slot, position DESC")]
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


def _record(reading: Reading, occurrence: Occurrence) -> Record:
    entry_id = occurrence.entry_id
    kept = reading.rows(
        "SELECT trigger_id, condition_id, waiting, settled_at FROM kept WHERE entry_id = ?", (entry_id,)
    )
    errors: dict[str, dict[str, str]] = defaultdict(dict)
    ended: set[str] = set()
    for kind, trigger_id, condition_id, text in reading.rows(
        "SELECT kind, trigger_id, condition_id, text FROM notices WHERE subject_id = ?", (entry_id,)
    ):
        if kind == "filter-failed":
            name, _, error = text.partition(": ")
            errors[condition_id][name] = error
        else:
            ended.add(trigger_id)
    return Record(
        judged_upto=reading.progress.judged_upto,
        runs=tuple(_runs(reading, entry_id)),
        kept=tuple(
            RecordedKept(
                trigger_id=trigger_id, condition_id=condition_id, waiting=bool(waiting), settled=settled_at is not None
            )
            for trigger_id, condition_id, waiting, settled_at in kept
        ),
        errors=errors,
        ended_chains=frozenset(ended),
    )


def _runs(reading: Reading, entry_id: str) -> Iterator[RecordedRun]:
    filters: dict[str, Any] = dict.fromkeys(
        ("invocation_id", "source_invocation_id", "trigger_id", "rejected", "since", "until", "cursor")
    )
    for run in trigger_runs(reading, event_id=entry_id, limit=MOST, **filters):
        yield RecordedRun(
            run_id=run.run_id,
            trigger_id=run.trigger_id,
            invocation_id=run.invocation_id,
            error=run.error,
            condition_ids=tuple(one.condition_id for one in run.participants if one.entry_id == entry_id),
            participants=len({one.entry_id for one in run.participants}),
        )


class _Timelines:
    """How triggers stood where an entry is."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        declarations = reading.progress.declarations
        in_force = _decode_declarations(declarations) if declarations else []
        self._began: Mapping[str, Position] = {one.trigger.id: one.declared_at for one in in_force}

    def standing(self, row: TriggerRow, occurrence: Occurrence) -> Standing:
        """How a trigger stood; what retention and later declarations have hidden counts as not declared."""
        position = occurrence.position
        if occurrence.kind == "event" and self._listened(row.trigger_id, occurrence):
            return "in force"
        known: list[tuple[Position, Standing]] = [(self._began.get(row.trigger_id, row.position), "in force")]
        known += self._changes(row.trigger_id)
        if row.state in _STANDINGS:
            known.append((row.state_position, _STANDINGS[row.state]))
        before: list[Standing] = [standing for at, standing in sorted(known, key=_position) if at < position]
        return before[-1] if before else "not declared"

    def _listened(self, trigger_id: str, occurrence: Occurrence) -> bool:
        found = self._reading.rows(
            "SELECT 1 FROM listening WHERE trigger_id = ? AND event_code = ? AND started < ? "
            "AND (stopped IS NULL OR ? < stopped) LIMIT 1",
            (trigger_id, occurrence.source, occurrence.position, occurrence.position),
        )
        return bool(found)

    def _changes(self, trigger_id: str) -> list[tuple[Position, Standing]]:
        rows = self._reading.rows("SELECT position, kind FROM notices WHERE trigger_id = ?", (trigger_id,))
        return [(position, _STANDINGS[kind]) for position, kind in rows if kind in _STANDINGS]


def _position(change: tuple[Position, Standing]) -> Position:
    return change[0]
