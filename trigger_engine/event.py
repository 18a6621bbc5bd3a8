"""A user event on its way into the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trigger_engine.core import ids
from trigger_engine.current import CurrentInvocation
from trigger_engine.entries.facts import EventEmitted
from trigger_engine.errors import SerializationError
from trigger_engine.log.fresh import fresh_id
from trigger_engine.values import encode_payload


class Event(NamedTuple):
    """What `emit_events` takes: a code, a payload, and optionally an idempotency key."""

    event_code: str
    payload: Mapping[str, Any] | None = None
    idempotency_key: str | None = None


EventLike = Event | tuple[str, Mapping[str, Any] | None] | tuple[str, Mapping[str, Any] | None, str | None]


def event_entries(
    events: Sequence[EventLike], *, app_id: str, now: float, max_bytes: int, emitter: CurrentInvocation | None
) -> list[EventEmitted]:
    """The entries of some events, all checked and encoded before any is stored.

    Raises SerializationError, PayloadTooLarge.
    """
    return [_entry(Event(*event), app_id, now, max_bytes, emitter) for event in events]


def _entry(event: Event, app_id: str, now: float, max_bytes: int, emitter: CurrentInvocation | None) -> EventEmitted:
    payload, key = event.payload, event.idempotency_key
    code: object = event.event_code
    if not isinstance(code, str) or not code:
        raise SerializationError(f"event code {code!r}: give a non-empty string, such as 'order.paid'")
    raw = encode_payload(payload, event_code=code, max_bytes=max_bytes)
    if key is not None:
        event_id = ids.keyed_event_id(app_id, code, key)
    elif emitter is not None:
        event_id = ids.emitted_event_id(
            emitter.invocation_id, emitter.attempt, emitter.next_ordinal(), code, bytes(raw)
        )
    else:
        event_id = fresh_id()
    return EventEmitted(
        id=event_id,
        time=now,
        cause=emitter.invocation_id if emitter else None,
        depth=emitter.depth if emitter else 0,
        event_code=code,
        payload=raw,
        emitter_task_id=emitter.task_id if emitter else None,
        emitter_invocation_id=emitter.invocation_id if emitter else None,
        keyed=key is not None or emitter is not None,
    )
