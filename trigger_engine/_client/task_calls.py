"""Turning task calls into log entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from trigger_engine._client.current import CurrentInvocation
from trigger_engine._declare.task_definition import TaskDefinition, check_name, seconds
from trigger_engine._model import ids
from trigger_engine._model.entries import InvocationRegistered, TriggerFired
from trigger_engine.backend._ids import fresh_id
from trigger_engine.errors import DeclarationError, PayloadTooLarge

_LONGEST_DELAY = timedelta(days=36500).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How one call is enqueued. `delay`: seconds."""

    delay: float | None = None
    idempotency_key: str | None = None
    queue: str | None = None

    def given(self) -> dict[str, Any]:
        """The options that are not None, by name."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


def make_call_options(
    task_id: str, *, delay: timedelta | float | None, idempotency_key: str | None, queue: str | None
) -> CallOptions:
    """Checks the options of one call. Raises DeclarationError, which names the task and the option."""
    wait = None if delay is None else seconds(delay)
    if delay is not None and (wait is None or not abs(wait) <= _LONGEST_DELAY):
        raise DeclarationError(f"task {task_id}: delay is {delay!r}: give seconds or a timedelta, at most 100 years")
    if idempotency_key is not None:
        check_name(task_id, "idempotency_key", idempotency_key)
    if queue is not None:
        check_name(task_id, "queue", queue)
    return CallOptions(delay=wait, idempotency_key=idempotency_key, queue=queue)


def called_entry(
    task: TaskDefinition,
    arguments: msgspec.Raw,
    options: CallOptions,
    *,
    app_id: str,
    now: float,
    max_bytes: int,
    caller: CurrentInvocation | None,
) -> InvocationRegistered:
    """The registration of one task call. `now`: seconds since 1970. Raises PayloadTooLarge."""
    size = len(bytes(arguments))
    if size > max_bytes:
        raise PayloadTooLarge(
            f"task {task.task_id}: its arguments take {size:,} bytes encoded, the limit is {max_bytes:,} "
            "(max_payload_bytes): store the data elsewhere and pass a reference"
        )
    if options.idempotency_key is not None:
        invocation_id = ids.keyed_invocation_id(app_id, task.task_id, options.idempotency_key)
    elif caller is not None:
        ordinal = caller.next_ordinal()
        invocation_id = ids.called_invocation_id(
            caller.invocation_id, caller.attempt, ordinal, task.task_id, bytes(arguments)
        )
    else:
        invocation_id = fresh_id()
    return InvocationRegistered(
        id=invocation_id,
        time=now,
        cause=caller.invocation_id if caller else None,
        depth=caller.depth if caller else 0,
        invocation_id=invocation_id,
        task_id=task.task_id,
        arguments=arguments,
        queue=options.queue or task.settings.queue,
        not_before=None if options.delay is None else now + options.delay,
        keyed=options.idempotency_key is not None or caller is not None,
        parent_invocation_id=caller.invocation_id if caller else None,
    )


def rerun_entry(registration: InvocationRegistered | TriggerFired, *, now: float) -> InvocationRegistered:
    """The registration of a new invocation with the task and arguments of an earlier one."""
    invocation_id = fresh_id()
    return InvocationRegistered(
        id=invocation_id,
        time=now,
        cause=registration.invocation_id,
        depth=registration.depth,
        invocation_id=invocation_id,
        task_id=registration.task_id,
        arguments=registration.arguments,
        queue=registration.queue,
        rerun_of=registration.invocation_id,
    )
