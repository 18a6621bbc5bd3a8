"""Events: what `emit_events` takes, and how it becomes log entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from trigger_engine._client.current import CurrentInvocation
from trigger_engine._declare.values import encode_payload, is_text
from trigger_engine._model import ids
from trigger_engine._model.entries import EventEmitted
from trigger_engine.backend._ids import fresh_id
from trigger_engine.errors import SerializationError


class Event(NamedTuple):
    """An event for `emit_events`: a code, a payload (None means `{}`), and an optional idempotency key."""

    event_code: str
    payload: Mapping[str, Any] | None = None
    idempotency_key: str | None = None


EventLike = Event | tuple[str, Mapping[str, Any] | None] | tuple[str, Mapping[str, Any] | None, str | None]


def event_entries(
    events: Sequence[EventLike], *, app_id: str, now: float, max_bytes: int, emitter: CurrentInvocation | None
) -> list[EventEmitted]:
    """The entries of these events, one each, in order. `now`: seconds since 1970.

    Raises SerializationError, PayloadTooLarge.
    """
    return [_entry(event, app_id, now, max_bytes, emitter) for event in checked_events(events)]


def checked_events(events: Sequence[EventLike]) -> list[Event]:
    """Converts the argument of `emit_events` to `Event`s and checks them. Raises SerializationError."""
    given: object = events
    if type(given) is not list and (isinstance(given, (str, Event)) or not isinstance(given, Iterable)):
        raise SerializationError(f"emit_events takes a list of events, not {given!r}: write [Event(code, payload), …]")
    return [_checked(event) for event in given]


def _checked(given: object) -> Event:
    if not isinstance(given, (tuple, list)) or not 1 <= len(given) <= 3:
        raise SerializationError(f"{given!r} is not an event: give Event(code, payload), or a tuple (code, payload)")
    event = given if type(given) is Event else Event(*given)
    code: object = event.event_code
    if not _is_name(code):
        raise SerializationError(f"event code {code!r}: give a non-empty string, such as 'order.paid'")
    if event.idempotency_key is not None and not _is_name(event.idempotency_key):
        raise SerializationError(
            f"event {code!r}: idempotency key {event.idempotency_key!r}: give a non-empty string, or None"
        )
    return event


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != "" and is_text(value)


def _entry(event: Event, app_id: str, now: float, max_bytes: int, emitter: CurrentInvocation | None) -> EventEmitted:
    code, payload, key = event
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
