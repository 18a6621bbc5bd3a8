"""The matcher: reads the entries of a log in order, evaluates them, and decides which triggers fire.

Reading checks validity and queues the entries to evaluate. Evaluation has two steps, because the callables are called
in between: `questions`, then `evaluate` with the answers. Entries that a leader has recorded as evaluated are replayed
as soon as they are read: the joins take what was recorded, and nothing is evaluated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self, cast

from trigger_engine._engine import checkpoint, evaluation
from trigger_engine._engine.active_declarations import ActiveCron, ActiveDeclarations, ActiveTrigger, DeclarationEntry
from trigger_engine._engine.compiled_triggers import CompiledTriggers
from trigger_engine._engine.decision import Decision, Limits, Question, Verdicts
from trigger_engine._engine.evaluation import FINAL_STATUSES, Output, Prepared, Queued, recorded_steps
from trigger_engine._engine.index import EVENT, TICK
from trigger_engine._engine.joins import ConditionWaiting
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._engine.validity import REACHED, STATUS_TYPES, Validity
from trigger_engine._model.entries import (
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
    """The fold of one log. Positions must increase from call to call.

    Attributes:
        evaluated: everything up to this position is evaluated, by this matcher or by record.
        recorded: `upto` of the newest valid `Judged` read.
        read_upto: the newest position read.
        declared: True once a leader has declared triggers. The first declaration of the log must be known before
            anything is evaluated.
    """

    def __init__(self, limits: Limits, *, track_keys: bool) -> None:
        """`track_keys`: the log may store an entry id twice, so the matcher has to recognize repeated ids."""
        self.evaluated: Position = 0
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
        self._adopt(CompiledTriggers(limits))
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
    def unevaluated(self) -> bool:
        """True if `evaluate` has something to do."""
        return bool(self._queue) or self._newest_unqueued > self.evaluated

    @property
    def terms(self) -> dict[str, Position]:
        """The current term of each lease name."""
        return dict(self._validity.terms)

    @property
    def open_invocations(self) -> int:
        """The number of invocations that have not ended."""
        return len(self._validity.open)

    @property
    def backlog(self) -> int:
        """The number of invocations that wait to start (REGISTERED or RETRY)."""
        return self._validity.waiting

    def active_triggers(self) -> list[ActiveTrigger]:
        """The content of each slot after everything read, including suspended triggers."""
        return list(self._declarations_after_queue().slots.values())

    def cron_conditions(self) -> list[ActiveCron]:
        """The active schedules after everything read, each once, including those of suspended triggers."""
        return list(self._declarations_after_queue().crons(self._last_ticks))

    def waiting(self, trigger_id: str) -> tuple[ConditionWaiting, ...]:
        """What an AND trigger has collected for each condition; empty if it is not active or never waits."""
        state = self._triggers.states.get(trigger_id)
        return () if state is None or state.join is None else state.join.waiting(state.conditions)

    def read(self, position: Position, entry: AnyEntry) -> str | None:
        """Folds the next entry. Returns the reason if it is void and changes nothing, else None."""
        reader = self._readers.get(type(entry))
        reason = reader(position, entry) if reader else self._validity.read(position, entry)
        self.read_upto = position
        return reason

    def declare_first(self, entry: TriggersDeclared) -> None:
        """Applies the first valid declaration of the log before it is read, if it covers the entries before it."""
        if entry.from_start and not self.declared:
            self._triggers.apply(0, entry)
            self.declared = True
            self._declared_first = entry.id
            self._prepared = None
            self._settle()

    def questions(self) -> list[Question]:
        """The questions for callables about the unevaluated entries, up to the next change of the active triggers."""
        self._prepared = evaluation.prepare(self._queue, self._triggers.index, self.read_upto)
        return [
            Question(candidate.id, position, entry, candidate.callables)
            for (position, entry, _), candidates in self._prepared.matches
            for candidate in candidates
            if candidate.callables
        ]

    def evaluate(self, verdicts: Verdicts) -> Decision:
        """Evaluates the entries that the last call of `questions` covered. Missing verdicts count as False.

        Without such a call it evaluates the entries that `questions` would cover now.
        """
        prepared = self._prepared or evaluation.prepare(self._queue, self._triggers.index, self.read_upto)
        skipped = self.evaluated < self._newest_unqueued <= prepared.upto
        decision = evaluation.evaluate(prepared, self._triggers, verdicts, external=skipped)
        if prepared.size == len(self._queue):
            self._queue.clear()
        for _ in range(min(prepared.size, len(self._queue))):
            self._queue.popleft()
        self.evaluated = prepared.upto
        self._prepared = None
        self._settle()
        return decision

    def snapshot(self) -> bytes:
        """The state after everything read, as bytes for `restore`.

        The decisions that `evaluate` returned are part of it. Take a snapshot only when they are recorded or have no
        outputs.
        """
        entries = self._triggers.held()
        entries.update((position, entry) for position, entry, _ in self._queue)
        entries.update(self._outputs)
        declarations = self._triggers.declarations
        return checkpoint.encode_snapshot(
            checkpoint.Snapshot(
                evaluated=self.evaluated,
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
        """A matcher that continues where the snapshot was taken. Raises SerializationError."""
        snapshot = checkpoint.decode_snapshot(data)
        entries = checkpoint.decode_entries(snapshot.entries)
        matcher = cls(limits, track_keys=track_keys)
        matcher.evaluated, matcher.recorded = snapshot.evaluated, snapshot.recorded
        matcher.read_upto, matcher._newest_unqueued = snapshot.read_upto, snapshot.newest_unqueued
        matcher.declared, matcher._declared_first = snapshot.declared, snapshot.declared_first
        matcher._validity = Validity(snapshot.validity, track_keys=track_keys)
        matcher._last_ticks = snapshot.last_ticks
        matcher._queue.extend((at, entries[at][0], statuses) for at, statuses in snapshot.queue)
        matcher._changes = sum(statuses is None for _, _, statuses in matcher._queue)
        matcher._outputs = {at: cast(Output, entries[at][0]) for at in snapshot.outputs}
        matcher._adopt(CompiledTriggers(limits, snapshot.triggers, snapshot.cron_since))
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
        if entry.upto > self.evaluated:
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
            if statuses in FINAL_STATUSES:
                self._triggers.end(cast(InvocationEntry, entry).invocation_id)
        self.evaluated = judged.upto
        self._prepared = None
        self._settle()

    def _settle(self) -> None:
        """Applies the changes of the active triggers that no unevaluated entry precedes.

        While a change is still queued, all entries after it are queued too, because it may change what they meet. The
        same holds before the first declaration, which may cover earlier entries.
        """
        while self._queue and self._queue[0][2] is None:
            position, entry, _ = self._queue.popleft()
            self._apply(position, entry)
        self._skips = self.declared and not self._changes

    def _apply(self, position: Position, entry: AnyEntry) -> None:
        self._triggers.apply(position, cast(DeclarationEntry, entry))
        self._changes -= 1

    def _declarations_after_queue(self) -> ActiveDeclarations:
        if not self._changes:
            return self._triggers.declarations
        declarations = self._triggers.declarations.copy()
        for position, entry, statuses in self._queue:
            if statuses is None:
                declarations.apply(position, cast(DeclarationEntry, entry))
        return declarations

    def _adopt(self, triggers: CompiledTriggers) -> None:
        self._triggers = triggers
        self._events = triggers.index.tables[EVENT]
        self._ticks = triggers.index.tables[TICK]
        self._skips = self.declared and not self._changes
