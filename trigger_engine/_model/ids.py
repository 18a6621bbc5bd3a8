"""Ids derived from content. The same fact has the same id in every process."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_TIME_DIGITS = 12
_time = re.compile(f"[0-9a-f]{{{_TIME_DIGITS}}}").match


def derive(*parts: object) -> str:
    """A hash of the parts, in 32 hex digits; parts are msgpack builtins."""
    return blake2b(_encode(parts), digest_size=16).hexdigest()


def keyed_event_id(app_id: str, event_code: str, key: str) -> str:
    """The id of an event with an idempotency key."""
    return derive("event", app_id, event_code, key)


def emitted_event_id(invocation_id: str, attempt: int, ordinal: int, event_code: str, payload: bytes) -> str:
    """The id of an event emitted inside a task. It stays the same when a lost attempt runs again."""
    return derive("emitted", invocation_id, attempt, ordinal, event_code, payload)


def keyed_invocation_id(app_id: str, task_id: str, key: str) -> str:
    """The id of an invocation with an idempotency key."""
    return derive("invocation", app_id, task_id, key)


def called_invocation_id(invocation_id: str, attempt: int, ordinal: int, task_id: str, arguments: bytes) -> str:
    """The id of an invocation called inside a task. It stays the same when a lost attempt runs again."""
    return derive("called", invocation_id, attempt, ordinal, task_id, arguments)


def run_id(trigger_id: str, entry_ids: Iterable[str]) -> str:
    """The id of a trigger run. It depends on the contributions, not on their order."""
    contributing = sorted(set(entry_ids))
    return _with_time_of(contributing[-1], derive("run", trigger_id, contributing))


def run_invocation_id(trigger_run_id: str) -> str:
    """The id of the invocation that a trigger run registers."""
    return _with_time_of(trigger_run_id, derive("run-invocation", trigger_run_id))


def status_entry_id(kind: str, invocation_id: str, claim_id: str) -> str:
    """The id of a status entry. One claim, or one cancellation, makes each status change at most once."""
    return f"{claim_id or invocation_id}:{kind}"


def _with_time_of(other_id: str, derived: str) -> str:
    """The derived id, starting with the time of another id if it has one, so that an index of ids grows at its end."""
    time = _time(other_id)
    return derived if time is None else time[0] + derived[_TIME_DIGITS:]
