"""A log in a list. It stores void entries too, and creates entries of every kind."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.unit.engine.declaring import raw, trigger
from trigger_engine._engine.lifecycle import InvocationState, move, next_attempt
from trigger_engine._model.definitions import Condition, TriggerDefinition
from trigger_engine._model.encoding import decode_entry, encode_entry
from trigger_engine._model.entries import (
    AnyEntry,
    Cancelled,
    Claimed,
    CronTicked,
    EventEmitted,
    ExceptionFacts,
    Failed,
    HandedBack,
    InvocationRegistered,
    LeaderElected,
    Position,
    Recovered,
    RetentionApplied,
    Retried,
    Started,
    StatusEntry,
    Succeeded,
    TriggerFired,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)

KINDS: dict[str, type[Any]] = {
    "claimed": Claimed,
    "started": Started,
    "succeeded": Succeeded,
    "failed": Failed,
    "retried": Retried,
    "cancelled": Cancelled,
    "recovered": Recovered,
    "handed-back": HandedBack,
}
CHANGES: dict[str, type[Any]] = {
    "suspend": TriggerSuspended,
    "resume": TriggerResumed,
    "retire": TriggerRetired,
}


class Log:
    """Entries with positions in steps of ten. `time` is the time of the next entry."""

    def __init__(self) -> None:
        self.entries: list[tuple[Position, AnyEntry]] = []
        self.time = 0.0
        self.term: Position = 0

    @property
    def tail(self) -> Position:
        return self.entries[-1][0] if self.entries else 0

    def append(self, entry: AnyEntry) -> Position:
        self.entries.append((self.tail + 10, decode_entry(encode_entry(entry))))
        self.time += 1.0
        return self.tail

    def elect(self, name: str = "match") -> Position:
        elected = LeaderElected(id=f"elected-{len(self.entries)}", time=self.time, name=name, runner_id="runner")
        self.term = self.append(elected)
        return self.term

    def declare(self, *triggers: TriggerDefinition, from_start: bool = False, term: Position | None = None) -> None:
        self.append(
            TriggersDeclared(
                id=f"declared-{len(self.entries)}",
                time=self.time,
                term=self.term if term is None else term,
                triggers=triggers,
                from_start=from_start,
            )
        )

    def change(self, kind: str, changed: TriggerDefinition, term: Position | None = None) -> None:
        self.append(
            CHANGES[kind](
                id=f"{kind}-{len(self.entries)}",
                time=self.time,
                term=self.term if term is None else term,
                trigger_id=changed.id,
                slot=changed.slot,
            )
        )

    def event(self, code: str, payload: Any = None, *, key: str | None = None, depth: int = 0) -> str:
        """Appends an event and returns its id. Two events with the same `key` are the same event."""
        event_id = f"event-{len(self.entries)}" if key is None else f"event-key-{key}"
        body = raw({} if payload is None else payload)
        keyed = key is not None
        self.append(EventEmitted(id=event_id, time=self.time, event_code=code, payload=body, keyed=keyed, depth=depth))
        return event_id

    def tick(self, condition_id: str, scheduled_for: float, *, term: Position | None = None) -> str:
        tick_id = f"{condition_id}@{scheduled_for}"
        at = self.term if term is None else term
        self.append(
            CronTicked(id=tick_id, time=self.time, term=at, condition_id=condition_id, scheduled_for=scheduled_for)
        )
        return tick_id

    def retain(self, keys_before: float) -> None:
        entry_id = f"retention-{len(self.entries)}"
        self.append(RetentionApplied(id=entry_id, time=self.time, before=0, keys_before=keys_before))

    def call(self, task: str, arguments: Any = None, *, key: str | None = None, depth: int = 0) -> Call:
        """Appends a registration."""
        invocation_id = f"invocation-{len(self.entries)}" if key is None else f"invocation-key-{key}"
        body = raw({} if arguments is None else arguments)
        self.append(
            InvocationRegistered(
                id=invocation_id,
                time=self.time,
                invocation_id=invocation_id,
                task_id=task,
                arguments=body,
                keyed=key is not None,
                depth=depth,
            )
        )
        return Call(self, invocation_id, task, body, depth)

    def calls(self) -> list[Call]:
        """Every registered invocation, once, with the state that its own entries lead to; void registrations too."""
        found: dict[str, Call] = {}
        for _, entry in self.entries:
            if isinstance(entry, InvocationRegistered | TriggerFired):
                call = Call(self, entry.invocation_id, entry.task_id, entry.arguments, entry.depth)
                found.setdefault(entry.invocation_id, call)
            elif isinstance(entry, StatusEntry) and entry.invocation_id in found:
                found[entry.invocation_id].follow(entry)
        return list(found.values())


class Call:
    """One invocation. Each method appends an entry, by default with the valid attempt and claim."""

    def __init__(self, log: Log, invocation_id: str, task: str, arguments: msgspec.Raw, depth: int) -> None:
        self.log = log
        self.id = invocation_id
        self.task = task
        self.arguments = arguments
        self.depth = depth
        self.state = InvocationState()

    def follow(self, entry: Any) -> None:
        moved = move(self.state, entry)
        if not isinstance(moved, str):
            self.state = moved

    def append(self, kind: str, **facts: Any) -> str:
        """Appends an entry and returns its id."""
        takes = kind in ("claimed", "started") and not self.state.claim_id
        claim = f"claim-{len(self.log.entries)}" if takes else self.state.claim_id
        attempt = next_attempt(self.state) if takes else self.state.attempt
        values: dict[str, Any] = {
            "id": f"{self.id}:{kind}:{len(self.log.entries)}",
            "time": self.log.time,
            "invocation_id": self.id,
            "task_id": self.task,
            "arguments": self.arguments,
            "depth": self.depth,
            "attempt": attempt,
            "claim_id": "" if kind == "cancelled" else claim,
            "runner_id": "runner",
        }
        if kind == "succeeded":
            values["result"] = raw(None)
        if kind in ("failed", "retried"):
            values["exception"] = ExceptionFacts("Error", "broken", ("Exception",))
        if kind == "retried":
            values["not_before"] = self.log.time
        entry = KINDS[kind](**{**values, **facts})
        self.log.append(entry)
        self.follow(entry)
        return str(entry.id)

    def claim(self) -> str:
        return self.append("claimed")

    def start(self) -> str:
        return self.append("started")

    def succeed(self, result: Any = None) -> str:
        return self.append("succeeded", result=raw(result))

    def fail(self, kind: str = "Error", *bases: str) -> str:
        return self.append("failed", exception=ExceptionFacts(kind, "broken", bases))

    def retry(self) -> str:
        return self.append("retried")

    def cancel(self) -> str:
        return self.append("cancelled")

    def recover(self) -> str:
        return self.append("recovered")

    def hand_back(self) -> str:
        return self.append("handed-back")


def log_with(*triggers: TriggerDefinition) -> Log:
    """A log whose first declaration has these triggers."""
    log = Log()
    log.elect()
    log.declare(*triggers, from_start=True)
    return log


def log_for(*conditions: Condition, logic: str = "or") -> Log:
    """A log with one trigger."""
    return log_with(trigger(*conditions, logic=logic))
