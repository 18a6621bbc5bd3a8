"""Ids derived from content: equal in every process, so that the same fact has the same id wherever it is made."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_TIME_DIGITS = 12
_time = re.compile(f"[0-9a-f]{{{_TIME_DIGITS}}}").match


def derive(*parts: object) -> str:
    """32 hex digits that depend on every part; parts are msgpack builtins."""
    return blake2b(_encode(parts), digest_size=16).hexdigest()


def keyed_event_id(app_id: str, event_code: str, key: str) -> str:
    """The id of an event with an idempotency key."""
    return derive("event", app_id, event_code, key)


def emitted_event_id(invocation_id: str, attempt: int, ordinal: int, event_code: str, payload: bytes) -> str:
    """The id of an event emitted inside a task: the same when a lost attempt is run again."""
    return derive("emitted", invocation_id, attempt, ordinal, event_code, payload)


def keyed_invocation_id(app_id: str, task_id: str, key: str) -> str:
    """The id of an invocation with an idempotency key."""
    return derive("invocation", app_id, task_id, key)


def called_invocation_id(invocation_id: str, attempt: int, ordinal: int, task_id: str, arguments: bytes) -> str:
    """The id of a task called inside a task: the same when a lost attempt is run again."""
    return derive("called", invocation_id, attempt, ordinal, task_id, arguments)


def run_id(trigger_id: str, entry_ids: Iterable[str]) -> str:
    """The id of a trigger run: the same for the same contributions, in any order."""
    contributing = sorted(set(entry_ids))
    return _beside(contributing[-1], derive("run", trigger_id, contributing))


def run_invocation_id(trigger_run_id: str) -> str:
    """The id of the invocation that a trigger run registers."""
    return _beside(trigger_run_id, derive("run-invocation", trigger_run_id))


def status_entry_id(kind: str, invocation_id: str, claim_id: str) -> str:
    """The id of a status entry: one claim makes each move at most once, and so does one cancel."""
    return f"{claim_id or invocation_id}:{kind}"


def _beside(other_id: str, derived: str) -> str:
    """An id that begins with the time of another, where that has one: an index of ids grows at its end."""
    time = _time(other_id)
    return derived if time is None else time[0] + derived[_TIME_DIGITS:]
