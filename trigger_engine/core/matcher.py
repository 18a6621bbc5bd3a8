"""The matcher: reads the log's entries in order, judges them, and says which triggers fire.

Reading decides validity and queues what must be judged. Judging has two steps, for the callables are asked in between:
`questions`, then `judge` with the answers. What a leader has recorded as judged is replayed as soon as it is read:
nothing is evaluated, the joins take what was recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self, cast

from trigger_engine.core import checkpoint, judging
from trigger_engine.core.declarations import CronInForce, DeclarationEntry, Declarations, TriggerInForce
from trigger_engine.core.index import EVENT, TICK
from trigger_engine.core.joins import ConditionWaiting
from trigger_engine.core.judgement import Judgement, Limits, Question, Verdicts
from trigger_engine.core.judging import ENDS, Prepared, Queued
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.core.replay import Output, recorded_steps
from trigger_engine.core.triggers import Triggers
from trigger_engine.core.validity import REACHED, STATUS_TYPES, Validity
from trigger_engine.entries.facts import (
    AnyEntry,
    ChainEnded,
    CronTicked,
    EventEmitted,
    InvocationEntry,
    InvocationRegistered,
    Judged,
    Position,
    StatusMove,
    TriggerFired,
    TriggerRejected,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)

_REGISTERED: Final = (InvocationStatus.REGISTERED.value,)


class Matcher:
    """The fold of one log.

    Positions must rise from call to call. `judged`: everything up to here is judged, by this matcher or by record.
    `recorded`: the `upto` of the newest valid `Judged` read. `read_upto`: the newest position read. `declared`: some
    leader has declared triggers; the log's first declaration must be known before anything is judged.
    """

    def __init__(self, limits: Limits, *, track_keys: bool) -> None:
        """`track_keys`: the log may hold an entry id twice, so that repeated ones must be known here."""
        self.judged: Position = 0
        self.recorded: Position = 0
        self.read_upto: Position = 0
        self.declared = False
        self._declared_first: str | None = None
        self._track_keys = track_keys
        self._newest_unqueued: Position = 0
        self._queue: deque[Queued] = deque()
        self._changes = 0
        self._outputs: dict[Position, Output] = {}
        self._prepared: Prepared | None = None
        self._last_ticks: dict[str, float] = {}
        self._validity = Validity(track_keys=track_keys)
        self._adopt(Triggers(limits))
        changes = (TriggerSuspended, TriggerResumed, TriggerRetired)
        self._readers: dict[type, Callable[[Position, Any], str | None]] = {
            EventEmitted: self._read_event,
            CronTicked: self._read_tick,
            InvocationRegistered: self._read_registration,
            TriggerFired: self._read_fired,
            TriggerRejected: self._read_output,
            ChainEnded: self._read_output,
            Judged: self._read_judged,
            TriggersDeclared: self._read_declared,
            **dict.fromkeys(changes, self._read_change),
            **dict.fromkeys(STATUS_TYPES, self._read_status),
        }

    @property
    def unjudged(self) -> bool:
        """True when `judge` has something to do."""
        return bool(self._queue) or self._newest_unqueued > self.judged

    @property
    def terms(self) -> dict[str, Position]:
        """The current term of each lease name."""
        return dict(self._validity.terms)

    @property
    def open_invocations(self) -> int:
        """How many invocations have not ended."""
        return len(self._validity.open)

    @property
    def backlog(self) -> int:
        """How many invocations wait to be started (REGISTERED or RETRY)."""
        return self._validity.waiting

    def in_force(self) -> list[TriggerInForce]:
        """What each slot holds after everything read, suspended triggers too; retired ones are gone."""
        return list(self._declarations_read().slots.values())

    def cron_conditions(self) -> list[CronInForce]:
        """Every schedule in force after everything read, each once, those of suspended triggers too."""
        return list(self._declarations_read().crons(self._last_ticks))

    def waiting(self, trigger_id: str) -> tuple[ConditionWaiting, ...]:
        """What an AND has collected for each condition; empty for a trigger that never waits or is not in force."""
        machine = self._triggers.machines.get(trigger_id)
        return machine.join.waiting(machine.conditions) if machine is not None and machine.join is not None else ()

    def read(self, position: Position, entry: AnyEntry) -> str | None:
        """Folds the next entry; the reason when it is void (nothing has changed then), else None."""
        reader = self._readers.get(type(entry))
        reason = reader(position, entry) if reader else self._validity.read(position, entry)
        self.read_upto = position
        return reason

    def declare_first(self, entry: TriggersDeclared) -> None:
        """Brings the log's first valid declaration into force before it is read, if it reaches back to the start."""
        if entry.from_start and not self.declared:
            self._triggers.apply(0, entry)
            self.declared = True
            self._declared_first = entry.id
            self._prepared = None
            self._settle()

    def questions(self) -> list[Question]:
        """What callables must say of entries read but unjudged, up to the next change of the triggers in force."""
        self._prepared = judging.prepare(self._queue, self._triggers.index, self.read_upto)
        return [
            Question(candidate.id, position, entry, candidate.callables)
            for (position, entry, _), candidates in self._prepared.matches
            for candidate in candidates
            if candidate.callables
        ]

    def judge(self, verdicts: Verdicts) -> Judgement:
        """Judges the entries that the newest `questions` were about, or would be; missing verdicts are False."""
        prepared = self._prepared or judging.prepare(self._queue, self._triggers.index, self.read_upto)
        passed_over = self.judged < self._newest_unqueued <= prepared.upto
        judgement = judging.judge(prepared, self._triggers, verdicts, facts=passed_over)
        if prepared.size == len(self._queue):
            self._queue.clear()
        for _ in range(min(prepared.size, len(self._queue))):
            self._queue.popleft()
        self.judged = prepared.upto
        self._prepared = None
        self._settle()
        return judgement

    def snapshot(self) -> bytes:
        """The state after everything read, as bytes for `restore`.

        What `judge` has returned counts as judged: take it when that is recorded, or has no outputs.
        """
        entries = self._triggers.held()
        entries.update((position, entry) for position, entry, _ in self._queue)
        entries.update(self._outputs)
        declarations = self._triggers.declarations
        return checkpoint.encode_snapshot(
            checkpoint.Snapshot(
                judged=self.judged,
                recorded=self.recorded,
                read_upto=self.read_upto,
                newest_unqueued=self._newest_unqueued,
                declared=self.declared,
                declared_first=self._declared_first,
                validity=self._validity.state(),
                last_ticks=self._last_ticks,
                triggers=list(declarations.slots.values()),
                cron_since=declarations.cron_since,
                joins=self._triggers.joins(),
                queue=[(position, statuses) for position, _, statuses in self._queue],
                outputs=list(self._outputs),
                entries=checkpoint.encode_entries(entries),
            )
        )

    @classmethod
    def restore(cls, data: bytes, limits: Limits, *, track_keys: bool) -> Self:
        """A matcher that goes on where the snapshot was taken. Raises SerializationError."""
        snapshot = checkpoint.decode_snapshot(data)
        entries = checkpoint.decode_entries(snapshot.entries)
        matcher = cls(limits, track_keys=track_keys)
        matcher.judged, matcher.recorded = snapshot.judged, snapshot.recorded
        matcher.read_upto, matcher._newest_unqueued = snapshot.read_upto, snapshot.newest_unqueued
        matcher.declared, matcher._declared_first = snapshot.declared, snapshot.declared_first
        matcher._validity = Validity(snapshot.validity, track_keys=track_keys)
        matcher._last_ticks = snapshot.last_ticks
        matcher._queue.extend((at, entries[at][0], statuses) for at, statuses in snapshot.queue)
        matcher._changes = sum(statuses is None for _, _, statuses in matcher._queue)
        matcher._outputs = {at: cast(Output, entries[at][0]) for at in snapshot.outputs}
        matcher._adopt(Triggers(limits, snapshot.triggers, snapshot.cron_since))
        matcher._triggers.load(snapshot.joins, entries)
        return matcher

    def _read_event(self, position: Position, entry: EventEmitted) -> str | None:
        if entry.keyed and self._track_keys and (reason := self._validity.read(position, entry)):
            return reason
        if self._skips and entry.event_code not in self._events:
            self._newest_unqueued = position
        else:
            self._queue.append((position, entry, ()))
        return None

    def _read_tick(self, position: Position, entry: CronTicked) -> str | None:
        if reason := self._validity.read(position, entry):
            return reason
        self._last_ticks[entry.condition_id] = entry.scheduled_for
        if not self._skips or entry.condition_id in self._ticks:
            self._queue.append((position, entry, ()))
        return None

    def _read_registration(self, position: Position, entry: InvocationRegistered) -> str | None:
        if reason := self._validity.read(position, entry):
            return reason
        self._queue_invocation(position, entry, _REGISTERED)
        return None

    def _read_status(self, position: Position, entry: StatusMove) -> str | None:
        before = self._validity.open.get(entry.invocation_id)
        if reason := self._validity.read(position, entry):
            return reason
        if before is not None:
            self._queue_invocation(position, entry, REACHED[before.status, type(entry)])
        return None

    def _read_fired(self, position: Position, entry: TriggerFired) -> str | None:
        if reason := self._validity.read(position, entry):
            return reason
        self._outputs[position] = entry
        if not self._skips or self._triggers.concerns(entry.task_id, _REGISTERED):
            self._queue.append((position, entry, _REGISTERED))
        return None

    def _read_output(self, position: Position, entry: TriggerRejected | ChainEnded) -> str | None:
        if reason := self._validity.read(position, entry):
            return reason
        self._outputs[position] = entry
        return None

    def _read_declared(self, position: Position, entry: TriggersDeclared) -> str | None:
        if reason := self._validity.read(position, entry):
            return reason
        self.declare_first(entry)
        if entry.id == self._declared_first:
            self._declared_first = None
        else:
            self.declared = True
            self._queue_change(position, entry)
        return None

    def _read_change(self, position: Position, entry: TriggerSuspended | TriggerResumed | TriggerRetired) -> str | None:
        if reason := self._validity.read(position, entry):
            return reason
        if self.declared and self._declared_first is None:
            self._queue_change(position, entry)
        return None

    def _read_judged(self, position: Position, entry: Judged) -> str | None:
        if reason := self._validity.read(position, entry):
            return reason
        self.recorded = max(self.recorded, entry.upto)
        if entry.upto > self.judged:
            self._replay(entry)
        self._outputs.clear()
        return None

    def _queue_invocation(
        self, position: Position, entry: InvocationRegistered | StatusMove, statuses: tuple[str, ...]
    ) -> None:
        if self._skips and not self._triggers.concerns(entry.task_id, statuses):
            self._newest_unqueued = position
        else:
            self._queue.append((position, entry, statuses))

    def _queue_change(self, position: Position, entry: DeclarationEntry) -> None:
        self._queue.append((position, entry, None))
        self._changes += 1
        self._settle()

    def _replay(self, judged: Judged) -> None:
        kept, fired = recorded_steps(self._outputs.values(), judged.kept)
        while self._queue and self._queue[0][0] <= judged.upto:
            position, entry, statuses = self._queue.popleft()
            if statuses is None:
                self._apply(position, entry)
                continue
            self._triggers.replay(position, entry, kept.get(entry.id, {}), fired.get(entry.id, ()))
            if statuses in ENDS:
                self._triggers.end(cast(InvocationEntry, entry).invocation_id)
        self.judged = judged.upto
        self._prepared = None
        self._settle()

    def _settle(self) -> None:
        """Applies the changes of the triggers in force that nothing unjudged stands before.

        While others wait, what comes after them is queued whatever it may meet now; so it is before the first
        declaration, which may reach back.
        """
        while self._queue and self._queue[0][2] is None:
            position, entry, _ = self._queue.popleft()
            self._apply(position, entry)
        self._skips = self.declared and not self._changes

    def _apply(self, position: Position, entry: AnyEntry) -> None:
        self._triggers.apply(position, cast(DeclarationEntry, entry))
        self._changes -= 1

    def _declarations_read(self) -> Declarations:
        if not self._changes:
            return self._triggers.declarations
        declarations = self._triggers.declarations.copy()
        for position, entry, statuses in self._queue:
            if statuses is None:
                declarations.apply(position, cast(DeclarationEntry, entry))
        return declarations

    def _adopt(self, triggers: Triggers) -> None:
        self._triggers = triggers
        self._events = triggers.index.tables[EVENT]
        self._ticks = triggers.index.tables[TICK]
        self._skips = self.declared and not self._changes
