"""Task calls on their way into the log."""

from __future__ import annotations

from typing import Any

import msgspec

from trigger_engine.core import ids
from trigger_engine.current import CurrentInvocation
from trigger_engine.entries.facts import InvocationRegistered, TriggerFired
from trigger_engine.errors import PayloadTooLarge
from trigger_engine.log.fresh import fresh_id
from trigger_engine.task import CallOptions, Task


def called_entry(
    task: Task[Any, Any],
    arguments: msgspec.Raw,
    options: CallOptions,
    *,
    now: float,
    max_bytes: int,
    caller: CurrentInvocation | None,
) -> InvocationRegistered:
    """The registration of one task call. Raises PayloadTooLarge."""
    size = len(bytes(arguments))
    if size > max_bytes:
        raise PayloadTooLarge(
            f"task {task.task_id}: its arguments take {size:,} bytes encoded, the limit is {max_bytes:,} "
            "(max_payload_bytes): store the data elsewhere and pass a reference"
        )
    if options.idempotency_key is not None:
        invocation_id = ids.keyed_invocation_id(task.app.app_id, task.task_id, options.idempotency_key)
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
    """The registration of a new invocation with the task and arguments of an old one."""
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
