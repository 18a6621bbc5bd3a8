"""Sample entries, as the engine writes them."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from trigger_engine._engine.lifecycle import status_entry
from trigger_engine._model.entries import (
    EMPTY_MAP,
    Cancelled,
    CronTicked,
    EventEmitted,
    ExceptionFacts,
    Failed,
    HandedBack,
    InvocationRegistered,
    Judged,
    LeaderElected,
    Participant,
    Position,
    Recovered,
    Retried,
    StatusEntry,
    Succeeded,
    TriggerFired,
)
from trigger_engine._model.ids import run_invocation_id
from trigger_engine.backend._contract import Invocation, RunnerFacts

S = TypeVar("S", bound=StatusEntry)

TIME = 1_800_000_000.0
TASK = "tasks.work"
ERROR = ExceptionFacts("ValueError", "no", ("Exception", "BaseException"), "Traceback …")


def raw(value: Any) -> msgspec.Raw:
    """A value encoded as msgpack."""
    return msgspec.Raw(msgspec.msgpack.encode(value))


def event(entry_id: str, payload: Any = None, *, keyed: bool = False, time: float = TIME) -> EventEmitted:
    """A user event."""
    return EventEmitted(
        id=entry_id, time=time, event_code="user.login", payload=raw(payload or {"n": entry_id}), keyed=keyed
    )


def registration(
    invocation_id: str,
    *,
    task_id: str = TASK,
    queue: str = "default",
    not_before: float | None = None,
    keyed: bool = False,
    time: float = TIME,
) -> InvocationRegistered:
    """A task call."""
    return InvocationRegistered(
        id=invocation_id,
        time=time,
        invocation_id=invocation_id,
        task_id=task_id,
        arguments=raw({"x": invocation_id}),
        queue=queue,
        not_before=not_before,
        keyed=keyed,
    )


def elected(entry_id: str, *, name: str = "match", runner_id: str = "runner-1") -> LeaderElected:
    """The first entry of a leader."""
    return LeaderElected(id=entry_id, time=TIME, name=name, runner_id=runner_id)


def evaluated(entry_id: str, term: Position, upto: Position = 1) -> Judged:
    """The progress of a leader."""
    return Judged(id=entry_id, time=TIME, term=term, upto=upto)


def ticked(entry_id: str, term: Position) -> CronTicked:
    """A tick of a schedule."""
    return CronTicked(id=entry_id, time=TIME, term=term, condition_id="cron", scheduled_for=TIME)


def fired(run_id: str, term: Position, *, task_id: str = TASK) -> TriggerFired:
    """A trigger run."""
    return TriggerFired(
        id=run_id,
        time=TIME,
        depth=1,
        invocation_id=run_invocation_id(run_id),
        task_id=task_id,
        arguments=EMPTY_MAP,
        term=term,
        trigger_id="trigger-1",
        slot=f"{task_id}#0",
        participants=(Participant("condition-1", "event-1"),),
    )


def settled(kind: type[S], invocation: Invocation, **news: Any) -> S:
    """A status entry by the holder of the invocation's claim."""
    return status_entry(kind, invocation.registration, invocation.state, now=TIME, cause=invocation.latest.id, **news)


def succeeded(invocation: Invocation, result: Any = "done") -> Succeeded:
    """The invocation succeeded."""
    return settled(Succeeded, invocation, result=raw(result))


def failed(invocation: Invocation) -> Failed:
    """The invocation failed for good."""
    return settled(Failed, invocation, exception=ERROR)


def retried(invocation: Invocation, not_before: float) -> Retried:
    """The invocation gets another attempt."""
    return settled(Retried, invocation, exception=ERROR, not_before=not_before)


def recovered(invocation: Invocation) -> Recovered:
    """The invocation is recovered from a lost runner."""
    return settled(Recovered, invocation)


def handed_back(invocation: Invocation) -> HandedBack:
    """The invocation is handed back by a stopping runner."""
    return settled(HandedBack, invocation)


def cancelled(invocation: Invocation) -> Cancelled:
    """The invocation is cancelled."""
    return settled(Cancelled, invocation)


def runner_facts(runner_id: str = "runner-1", *, version: str = "1") -> RunnerFacts:
    """The facts that a runner reports."""
    return RunnerFacts(
        runner_id=runner_id,
        host="host-1",
        pid=17,
        started_at=TIME,
        code_time=TIME - 5,
        version=version,
        tasks=(TASK,),
        triggers=(("tasks.work#0", "trigger-1"),),
        queues=("default",),
        concurrency=8,
    )
