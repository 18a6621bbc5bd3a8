"""Turns each log entry into row changes. The only I/O are the lookups of `UnitOfWork`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from trigger_engine._engine.lifecycle import InvocationState, InvocationStatus, move
from trigger_engine._engine.validity import STATUS_TYPES
from trigger_engine._model.definitions import (
    AnyResultCondition,
    CronCondition,
    EventCondition,
    ExceptionCondition,
    ResultCondition,
    TriggerDefinition,
)
from trigger_engine._model.encoding import encode_entry
from trigger_engine._model.entries import (
    AnyEntry,
    BacklogExceeded,
    Cancelled,
    ChainEnded,
    ContributionKept,
    CronTicked,
    EventEmitted,
    Failed,
    FilterFailed,
    InvocationRegistered,
    Judged,
    LeaderElected,
    Participant,
    Position,
    RetentionApplied,
    Retried,
    StatusEntry,
    Succeeded,
    TriggerFired,
    TriggerRejected,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)
from trigger_engine._readmodel.json_text import search_text
from trigger_engine._readmodel.projection.entry_rows import new_invocation, notice_of, set_state, state_before, state_of
from trigger_engine._readmodel.projection.projection_state import ProjectionState
from trigger_engine._readmodel.projection.unit_of_work import UnitOfWork
from trigger_engine._readmodel.store.rows import (
    MATCHED,
    TRIGGERED,
    ElectedRow,
    EventRow,
    InvocationRow,
    KeptRow,
    ParticipantRow,
    RunRow,
    StatusRow,
    TickRow,
    VoidRow,
    microseconds,
)

_REPEATED = "an earlier entry has the same id"
_encode = msgspec.msgpack.Encoder().encode
_NOTICES = (
    LeaderElected,
    TriggersDeclared,
    TriggerSuspended,
    TriggerResumed,
    TriggerRetired,
    FilterFailed,
    ChainEnded,
    BacklogExceeded,
    RetentionApplied,
)
Reason = str | None


class Projector:
    """Projects entries in order into `changes` and `state`.

    `void_only`: invocations of which the log has only void entries left.
    """

    def __init__(self, state: ProjectionState, changes: UnitOfWork, void_only: Collection[str] = ()) -> None:
        self.state = state
        self.changes = changes
        self._find_void_only = void_only
        self._handlers: dict[type, Callable[[Position, int, Any], Reason]] = {
            EventEmitted: self._event,
            CronTicked: self._tick,
            InvocationRegistered: self._registered,
            TriggerFired: self._fired,
            TriggerRejected: self._rejected,
            Judged: self._evaluated,
            **dict.fromkeys(_NOTICES, self._notice),
            **dict.fromkeys(STATUS_TYPES, self._status),
        }

    def apply(self, position: Position, entry: AnyEntry) -> bool:
        """Projects the next entry. Returns whether it is valid; a void entry is stored with its reason."""
        time = microseconds(entry.time)
        kind = str(entry.__struct_config__.tag)
        reason = self._stale(entry) or self._handlers[type(entry)](position, time, entry)
        progress = self.state.progress
        if reason is not None:
            self.changes.add_void(VoidRow(position, entry.id, kind, time, reason, encode_entry(entry)))
            kind = "void"
        self.changes.count(progress.folded, position, time, kind)
        progress.folded += 1
        return reason is None

    def _stale(self, entry: AnyEntry) -> Reason:
        term: Position | None = getattr(entry, "term", None)
        if term is None or self.state.is_current(term):
            return None
        return f"term {term} is not current"

    def _event(self, position: Position, time: int, entry: EventEmitted) -> Reason:
        if self.changes.event(entry.id) is not None or (entry.keyed and self.changes.lookup.key_used(entry.id)):
            return _REPEATED
        payload = bytes(entry.payload)
        self.changes.add_event(
            EventRow(
                position=position,
                event_id=entry.id,
                event_code=entry.event_code,
                time=time,
                emitter_task_id=entry.emitter_task_id,
                emitter_invocation_id=entry.emitter_invocation_id,
                depth=entry.depth,
                keyed=entry.keyed,
                payload=payload,
                search=search_text(payload),
            )
        )
        return None

    def _tick(self, position: Position, time: int, entry: CronTicked) -> Reason:
        if self.changes.tick(entry.id) is not None or self.changes.lookup.key_used(entry.id):
            return _REPEATED
        row = TickRow(position, entry.id, entry.condition_id, time, microseconds(entry.scheduled_for))
        self.changes.new_ticks[entry.id] = row
        return None

    def _registered(self, position: Position, time: int, entry: InvocationRegistered) -> Reason:
        if self.changes.invocation(entry.invocation_id) is not None:
            return _REPEATED
        if entry.keyed and self.changes.lookup.key_used(entry.id):
            return _REPEATED
        self.changes.add_invocation(new_invocation(position, entry))
        return None

    def _fired(self, position: Position, time: int, entry: TriggerFired) -> Reason:
        if self.changes.run(entry.id) is not None or self.changes.invocation(entry.invocation_id) is not None:
            return _REPEATED
        self.changes.add_invocation(new_invocation(position, entry))
        self._run(position, time, entry, invocation_id=entry.invocation_id, error=None)
        return None

    def _rejected(self, position: Position, time: int, entry: TriggerRejected) -> Reason:
        if self.changes.run(entry.id) is not None:
            return _REPEATED
        self._run(position, time, entry, invocation_id=None, error=entry.error)
        return None

    def _run(
        self,
        position: Position,
        time: int,
        entry: TriggerFired | TriggerRejected,
        *,
        invocation_id: str | None,
        error: str | None,
    ) -> None:
        rejected = error is not None
        row = RunRow(
            position,
            entry.id,
            entry.trigger_id,
            entry.slot,
            entry.task_id,
            time,
            rejected,
            invocation_id,
            error,
            entry.dropped,
            entry.depth,
        )
        self.changes.add_run(row)
        self._add_participants(position, entry.trigger_id, entry.participants)
        entry_ids = frozenset([participant.entry_id for participant in entry.participants])
        for entry_id in entry_ids:
            self.changes.raise_outcome(entry_id, MATCHED if rejected else TRIGGERED)
        self._empty(entry.trigger_id, entry_ids, entry.cause)
        self.state.count_run(entry.trigger_id, entry.id, time, rejected=rejected)

    def _add_participants(self, position: Position, trigger_id: str, participants: tuple[Participant, ...]) -> None:
        kinds = _kinds(self.state.definitions.get(trigger_id))
        for ordinal, participant in enumerate(participants):
            kind = kinds.get(participant.condition_id, "unknown")
            source = self.changes.source(participant.entry_id, kind)
            self.changes.new_participants.append(
                ParticipantRow(
                    position,
                    ordinal,
                    participant.condition_id,
                    participant.entry_id,
                    source.kind,
                    source.time,
                    source.event_code,
                    source.invocation_id,
                    source.status,
                    source.scheduled_for,
                )
            )

    def _empty(self, trigger_id: str, entry_ids: frozenset[str], cause: str | None) -> None:
        self.changes.fired.update((trigger_id, entry_id) for entry_id in entry_ids)
        trigger = self.state.definitions.get(trigger_id)
        if trigger is None or trigger.logic == "or" or cause is None:
            return
        source = self.changes.source(cause, "unknown")
        by = source.invocation_id if source.kind == "status" else None
        self.state.empty(trigger_id, source.position, by)
        fired, dropped = self.state.waiting.fire(trigger_id, entry_ids, by)
        for row in fired:
            self.changes.kept[(row.trigger_id, row.condition_id, row.entry_id)] = None
        self._drop(dropped)

    def _drop(self, rows: list[KeptRow]) -> None:
        for row in rows:
            row.waiting = False
            self.changes.keep(row)

    def _status(self, position: Position, time: int, entry: StatusEntry) -> Reason:
        row = self.changes.invocation(entry.invocation_id)
        gap_at = self.state.progress.gap_at
        if row is None:
            if gap_at == 0 or entry.invocation_id in self._find_void_only:
                return "the invocation is unknown"
            row = new_invocation(position, entry)
            self.changes.add_invocation(row)
            before = state_before(entry, 0)
        else:
            before = state_of(row)
        after = move(before, entry, position)
        # The first entry after the gap may have been void, unless it ended the invocation.
        is_guess = row.changed_at <= gap_at or (row.time is None and not before.status.is_final)
        if isinstance(after, str) and is_guess:
            before = state_before(entry, row.recoveries)
            after = move(before, entry, position)
        if isinstance(after, str):
            return after
        self._move(row, before.status, after, time, entry)
        return None

    def _move(
        self, row: InvocationRow, came_from: InvocationStatus, after: InvocationState, time: int, entry: StatusEntry
    ) -> None:
        exception = _encode(entry.exception) if isinstance(entry, (Failed, Retried)) else None
        runner_id = row.runner_id if isinstance(entry, Cancelled) else entry.runner_id
        self.changes.add_status(
            StatusRow(
                row.position,
                after.changed_at,
                entry.id,
                came_from.value,
                after.status.value,
                time,
                runner_id,
                after.attempt,
                exception,
            ),
            row.invocation_id,
        )
        set_state(row, after)
        row.changed_time = time
        row.result = bytes(entry.result) if isinstance(entry, Succeeded) else row.result
        row.exception = row.exception if exception is None else exception
        self.changes.changed_invocations[row.position] = row
        if after.status.is_final and self.state.waiting.is_awaited(row.invocation_id):
            self.state.waiting.end(row.invocation_id, after.changed_at)

    def _notice(self, position: Position, time: int, entry: AnyEntry) -> Reason:
        if self.changes.has_notice(entry.id):
            return _REPEATED
        match entry:
            case LeaderElected():
                self.state.elect(ElectedRow(entry.name, position, time, entry.runner_id))
            case TriggersDeclared():
                is_first = not self.state.triggers and self.state.progress.evaluated_upto == 0
                self._drop(self.state.declare(position, entry, 0 if entry.from_start and is_first else position))
            case TriggerSuspended() | TriggerResumed() | TriggerRetired():
                self._drop(self.state.declare(position, entry, position))
            case ChainEnded():
                self.changes.raise_outcome(entry.entry_id, MATCHED)
                self._empty(entry.trigger_id, frozenset(), entry.entry_id)
            case _:
                pass
        self.changes.new_notices[entry.id] = notice_of(position, entry)
        return None

    def _evaluated(self, position: Position, _: int, entry: Judged) -> Reason:
        progress = self.state.progress
        if entry.id == progress.last_evaluated:
            return _REPEATED
        by_entry: dict[tuple[str, str], list[ContributionKept]] = {}
        for kept in entry.kept:
            by_entry.setdefault((kept.trigger_id, kept.entry_id), []).append(kept)
        for (trigger_id, entry_id), contributions in by_entry.items():
            self._keep(position, trigger_id, entry_id, [kept.condition_id for kept in contributions])
        self._drop(self.state.drop_outdated(dict.fromkeys(kept.trigger_id for kept in entry.kept)))
        for row in self.state.waiting.evaluate(entry.upto):
            self._drop([row])
        progress.evaluated_upto, progress.last_evaluated = max(progress.evaluated_upto, entry.upto), entry.id
        return None

    def _keep(self, position: Position, trigger_id: str, entry_id: str, condition_ids: list[str]) -> None:
        self.changes.raise_outcome(entry_id, MATCHED)
        kinds = _kinds(self.state.definitions.get(trigger_id))
        source = self.changes.source(entry_id, kinds.get(condition_ids[0], "unknown"))
        of = None if source.kind in ("event", "cron") else source.invocation_id
        rows = [
            KeptRow(trigger_id, condition_id, entry_id, source.position or position, of)
            for condition_id in condition_ids
            if not self.changes.has_contribution(trigger_id, condition_id, entry_id)
        ]
        waiting = self.state.waiting
        for changed in waiting.add(rows, self.state.definitions):
            self.changes.keep(changed)
        if of is not None and waiting.is_awaited(of):
            invocation = self.changes.invocation(of)
            if invocation is not None and InvocationStatus(invocation.status).is_final:
                waiting.end(of, invocation.changed_at)


def _kinds(trigger: TriggerDefinition | None) -> dict[str, str]:
    """Returns the `ParticipantRecord.kind` of each of a trigger's conditions."""
    names = {
        CronCondition: "cron",
        EventCondition: "event",
        ResultCondition: "result",
        AnyResultCondition: "result",
        ExceptionCondition: "exception",
    }
    return {} if trigger is None else {c.id: names.get(type(c), "status") for c in trigger.conditions}
