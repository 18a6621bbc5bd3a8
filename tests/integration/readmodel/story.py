"""Builds entries, one second apart, for logs whose whole content is written by a test."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from tests.integration.readmodel.stored_log import StoredLog
from trigger_engine._engine.lifecycle import InvocationState, status_entry
from trigger_engine._model import ids
from trigger_engine._model.definitions import (
    Condition,
    CronCondition,
    EventCondition,
    StatusCondition,
    TriggerDefinition,
)
from trigger_engine._model.entries import (
    AnyEntry,
    Cancelled,
    ContributionKept,
    CronTicked,
    EventEmitted,
    ExceptionFacts,
    Failed,
    InvocationRegistered,
    Judged,
    LeaderElected,
    Participant,
    Recovered,
    RetentionApplied,
    Retried,
    Started,
    Succeeded,
    TriggerFired,
    TriggerRejected,
    TriggersDeclared,
)

BEGIN = 1_000_000.0


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


def at(seconds: float) -> datetime:
    """Returns the time `seconds` after the story began."""
    return datetime.fromtimestamp(BEGIN + seconds, UTC)


def on_event(code: str) -> EventCondition:
    return EventCondition(id=f"event:{code}", event_code=code, payload_filter=None)


def on_status(task_id: str, *statuses: str) -> StatusCondition:
    return StatusCondition(
        id=f"status:{task_id}[{','.join(statuses)}]", task_id=task_id, statuses=statuses, call_arguments=None
    )


def on_cron(expression: str) -> CronCondition:
    return CronCondition(
        id=f"cron:{expression}", expression=expression, timezone="UTC", catch_up="latest", catch_up_window=60.0
    )


def trigger(name: str, *conditions: Condition, logic: Any = "and") -> TriggerDefinition:
    return TriggerDefinition(
        id=f"{name}:1", slot=f"{name}#0", task_id=name, logic=logic, conditions=conditions, providers=()
    )


class Story:
    """Adds entries to a log. Each method returns the entry's id."""

    def __init__(self, log: StoredLog) -> None:
        self.log = log
        self.time = BEGIN
        self.term = 0

    def add(self, entry: AnyEntry) -> str:
        self.log.add(entry)
        self.time += 1
        return entry.id

    def event(
        self, code: str = "a", payload: Any = None, *, event_id: str = "", time: float | None = None, **facts: Any
    ) -> str:
        return self.add(
            EventEmitted(
                id=event_id or f"event-{self.log.last + 1}",
                time=self.time if time is None else time,
                event_code=code,
                payload=raw({} if payload is None else payload),
                **facts,
            )
        )

    def lead(self, runner_id: str = "runner") -> int:
        self.add(LeaderElected(id=f"elected-{self.log.last + 1}", time=self.time, name="match", runner_id=runner_id))
        self.term = self.log.last
        return self.term

    def declare(self, *triggers: TriggerDefinition, from_start: bool = False) -> None:
        self.add(
            TriggersDeclared(
                id=f"declared-{self.log.last + 1}",
                time=self.time,
                term=self.term,
                triggers=triggers,
                from_start=from_start,
            )
        )

    def leader_entry(self, kind: Any, **facts: Any) -> str:
        return self.add(kind(id=f"{kind.__name__}-{self.log.last + 1}", time=self.time, term=self.term, **facts))

    def tick(self, condition_id: str, scheduled_for: float) -> str:
        return self.add(
            CronTicked(
                id=f"{condition_id}@{scheduled_for}",
                time=self.time,
                term=self.term,
                condition_id=condition_id,
                scheduled_for=scheduled_for,
            )
        )

    def fire(
        self, definition: TriggerDefinition, met: Mapping[str, str], *, arguments: Any = None, **facts: Any
    ) -> str:
        """Fires a trigger; `met`: the entry id by condition id. Returns the run's id."""
        run_id = ids.run_id(definition.id, met.values())
        return self.add(
            TriggerFired(
                id=run_id,
                time=self.time,
                cause=list(met.values())[-1],
                depth=1,
                invocation_id=ids.run_invocation_id(run_id),
                task_id=definition.task_id,
                arguments=raw(arguments or {}),
                term=self.term,
                trigger_id=definition.id,
                slot=definition.slot,
                participants=tuple(Participant(condition, entry) for condition, entry in met.items()),
                **facts,
            )
        )

    def reject(self, definition: TriggerDefinition, met: Mapping[str, str], error: str) -> str:
        return self.add(
            TriggerRejected(
                id=ids.run_id(definition.id, met.values()),
                time=self.time,
                cause=list(met.values())[-1],
                term=self.term,
                trigger_id=definition.id,
                slot=definition.slot,
                task_id=definition.task_id,
                participants=tuple(Participant(condition, entry) for condition, entry in met.items()),
                error=error,
            )
        )

    def evaluate(self, *kept: tuple[TriggerDefinition, str, str]) -> None:
        """Records everything so far as evaluated. `kept`: tuples of trigger, condition id and entry id."""
        self.leader_entry(
            Judged,
            upto=self.log.last,
            kept=tuple(ContributionKept(definition.id, condition, entry) for definition, condition, entry in kept),
        )

    def register(self, task_id: str = "task", arguments: Any = None, **facts: Any) -> str:
        invocation_id = facts.pop("id", f"invocation-{self.log.last + 1}")
        return self.add(
            InvocationRegistered(
                id=invocation_id,
                time=self.time,
                invocation_id=invocation_id,
                task_id=task_id,
                arguments=raw(arguments or {}),
                **facts,
            )
        )

    def move(
        self, kind: Any, invocation_id: str, *, claim: str = "", attempt: int = 1, runner: str = "runner", **news: Any
    ) -> str:
        """Adds a status entry of any kind for a registered invocation."""
        registration = self.log.registration(invocation_id)
        state = InvocationState(attempt=attempt, claim_id=claim or f"{invocation_id}/{attempt}", runner_id=runner)
        return self.add(status_entry(kind, registration, state, now=self.time, cause="", **news))

    def start(self, invocation_id: str, **facts: Any) -> str:
        return self.move(Started, invocation_id, **facts)

    def succeed(self, invocation_id: str, result: Any = None, **facts: Any) -> str:
        return self.move(Succeeded, invocation_id, result=raw(result), **facts)

    def fail(self, invocation_id: str, kind: str = "ValueError", message: str = "no", **facts: Any) -> str:
        exception = ExceptionFacts(kind, message, (), "the traceback")
        return self.move(Failed, invocation_id, exception=exception, **facts)

    def retry(self, invocation_id: str, message: str = "not yet", **facts: Any) -> str:
        exception = ExceptionFacts("OSError", message, (), "the traceback")
        return self.move(Retried, invocation_id, exception=exception, not_before=self.time + 10, **facts)

    def cancel(self, invocation_id: str, **facts: Any) -> str:
        return self.move(Cancelled, invocation_id, **facts)

    def recover(self, invocation_id: str, **facts: Any) -> str:
        return self.move(Recovered, invocation_id, **facts)

    def run(self, invocation_id: str, result: Any = None) -> str:
        """Starts an invocation and lets it succeed. Returns the id of its last entry."""
        self.start(invocation_id)
        return self.succeed(invocation_id, result)

    def retain(self, before: int, *, keys_before: float = 0.0) -> None:
        self.add(
            RetentionApplied(
                id=f"retention-{self.log.last + 1}", time=self.time, before=before, keys_before=keys_before
            )
        )


def invocation_of(run_id: str) -> str:
    return ids.run_invocation_id(run_id)
