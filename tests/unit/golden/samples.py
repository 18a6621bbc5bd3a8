"""One entry of every kind with every field set. The bytes in entries.json must always decode to these."""

from __future__ import annotations

from typing import Any

import msgspec

from trigger_engine._model import definitions as d
from trigger_engine._model import entries as f
from trigger_engine._model.entries import AnyEntry


def raw(value: Any) -> msgspec.Raw:
    """The msgpack of a value."""
    return msgspec.Raw(msgspec.msgpack.encode(value))


ERROR = f.ExceptionFacts(
    type="ValueError",
    message="not ünique",
    bases=("Exception", "BaseException", "object"),
    traceback='Traceback (most recent call last):\n  File "tasks.py", line 3\nValueError: not ünique\n',
)
PARTICIPANTS = (f.Participant("cron:*/5 * * * *", "tick-1"), f.Participant("event:user.login", "event-1"))
CALLABLE = d.CallableFilter(name="tasks.is_admin", code="c0ffee")
MAPPING = d.MappingFilter(value=raw({"role": "admin", "deep": {"n": [1, 2.5, None]}}))
EQUALS = d.EqualsFilter(value=raw([1, "two"]))

DEFINITION = d.TriggerDefinition(
    id="trigger-1",
    slot="tasks.notify#0",
    task_id="tasks.notify",
    logic="and",
    conditions=(
        d.CronCondition(
            id="cron:*/5 * * * *",
            expression="*/5 * * * *",
            timezone="Europe/Berlin",
            catch_up="latest",
            catch_up_window=86400.0,
        ),
        d.EventCondition(id="event:user.login", event_code="user.login", payload_filter=MAPPING),
        d.EventCondition(id="event:user.logout", event_code="user.logout", payload_filter=None),
        d.StatusCondition(
            id="status:tasks.load", task_id="tasks.load", statuses=("success", "retry"), call_arguments=CALLABLE
        ),
        d.ResultCondition(id="result:tasks.load", task_id="tasks.load", result_filter=EQUALS, call_arguments=None),
        d.AnyResultCondition(id="any:tasks.load", task_id="tasks.load", call_arguments=MAPPING),
        d.ExceptionCondition(
            id="exception:tasks.load", task_id="tasks.load", exception_types=("OSError",), call_arguments=None
        ),
    ),
    providers=(
        d.StaticArguments(value=raw({"level": "info"})),
        d.ProvidedArguments(context="event", name="tasks.from_event", code="beef"),
    ),
    queue="slow",
)

_ENTRY: dict[str, Any] = {"time": 1_800_000_000.25, "cause": "cause-1", "depth": 3}
_INVOCATION: dict[str, Any] = {
    **_ENTRY,
    "invocation_id": "invocation-1",
    "task_id": "tasks.notify",
    "arguments": raw({"level": "info", "n": 1}),
}
_STATUS: dict[str, Any] = {**_INVOCATION, "attempt": 2, "claim_id": "claim-1", "runner_id": "runner-1"}
_TRIGGER: dict[str, Any] = {**_ENTRY, "term": 7, "trigger_id": "trigger-1", "slot": "tasks.notify#0"}

SAMPLES: dict[str, AnyEntry] = {
    "event": f.EventEmitted(
        id="event-1",
        **_ENTRY,
        event_code="user.login",
        payload=raw({"user": "42", "tags": ["a", "b"], "score": -1.5, "blob": b"\x00\x01"}),
        emitter_task_id="tasks.load",
        emitter_invocation_id="invocation-0",
        keyed=True,
    ),
    "tick": f.CronTicked(
        id="cron:*/5 * * * *@1800000000",
        **_ENTRY,
        term=7,
        condition_id="cron:*/5 * * * *",
        scheduled_for=1_800_000_000.0,
        last_execution=1_799_999_700.0,
    ),
    "registered": f.InvocationRegistered(
        id="invocation-1",
        **_INVOCATION,
        queue="slow",
        not_before=1_800_000_300.5,
        keyed=True,
        rerun_of="invocation-0",
        parent_invocation_id="invocation-00",
    ),
    "fired": f.TriggerFired(
        id="run-1",
        **_INVOCATION,
        term=7,
        trigger_id="trigger-1",
        slot="tasks.notify#0",
        participants=PARTICIPANTS,
        queue="slow",
        dropped=2,
    ),
    "rejected": f.TriggerRejected(
        id="run-2", **_TRIGGER, task_id="tasks.notify", participants=PARTICIPANTS, error="no 'level'", dropped=2
    ),
    "claimed": f.Claimed(id="claim-1:claimed", **_STATUS),
    "started": f.Started(id="claim-1:started", **_STATUS),
    "succeeded": f.Succeeded(id="claim-1:succeeded", **_STATUS, result=raw({"status": "completed"})),
    "failed": f.Failed(id="claim-1:failed", **_STATUS, exception=ERROR),
    "retried": f.Retried(id="claim-1:retried", **_STATUS, exception=ERROR, not_before=1_800_000_001.5),
    "cancelled": f.Cancelled(id="invocation-1:cancelled", **{**_STATUS, "claim_id": "", "runner_id": None}),
    "recovered": f.Recovered(id="claim-1:recovered", **_STATUS),
    "handed-back": f.HandedBack(id="claim-1:handed-back", **_STATUS),
    "elected": f.LeaderElected(id="leader-1", **_ENTRY, name="match", runner_id="runner-1"),
    "declared": f.TriggersDeclared(id="declared-1", **_ENTRY, term=7, triggers=(DEFINITION,), from_start=True),
    "suspended": f.TriggerSuspended(id="suspended-1", **_TRIGGER),
    "resumed": f.TriggerResumed(id="resumed-1", **_TRIGGER),
    "retired": f.TriggerRetired(id="retired-1", **_TRIGGER),
    "judged": f.Judged(
        id="judged-1",
        **_ENTRY,
        term=7,
        upto=41,
        kept=(f.ContributionKept("trigger-1", "event:user.login", "event-1"),),
    ),
    "filter-failed": f.FilterFailed(
        id="filter-failed-1",
        **_ENTRY,
        term=7,
        condition_id="status:tasks.load",
        entry_id="event-1",
        filter="tasks.is_admin",
        error="KeyError: 'role'",
    ),
    "chain-ended": f.ChainEnded(id="chain-ended-1", **_TRIGGER, entry_id="event-1"),
    "backlog": f.BacklogExceeded(id="backlog-1", **_ENTRY, term=7, waiting=100_001, limit=100_000),
    "retention": f.RetentionApplied(id="retention-1", **_ENTRY, before=40, keys_before=1_790_000_000.0),
}
