"""Checks ids that are derived from an entry's content."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

from trigger_engine._audit.report import Findings
from trigger_engine._model import ids
from trigger_engine._model.entries import (
    AnyEntry,
    ChainEnded,
    CronTicked,
    EventEmitted,
    FilterFailed,
    InvocationRegistered,
    Judged,
    Position,
    StatusEntry,
    TriggerFired,
    TriggerRejected,
)

_ORDINALS = 64
_ATTEMPTS = 5


def check_ids(findings: Findings, position: Position, entry: AnyEntry) -> None:
    """Reports an entry whose id or invocation id is not the one derived from its content."""
    expected = _expected_id(entry)
    if expected is not None:
        findings.checked["derived ids"] += 1
        findings.compare("derived ids", position, entry.id, "id", expected=expected, found=entry.id)
    if isinstance(entry, TriggerFired):
        findings.checked["derived ids"] += 1
        invocation_id = ids.run_invocation_id(entry.id)
        found = entry.invocation_id
        findings.compare("derived ids", position, entry.id, "invocation id", expected=invocation_id, found=found)
    elif isinstance(entry, EventEmitted | InvocationRegistered) and entry.keyed:
        if _is_made_inside_a_task(entry):
            findings.checked["derived ids"] += 1
        else:
            findings.unverifiable["ids from idempotency keys or late ordinals"] += 1


def _expected_id(entry: AnyEntry) -> str | None:
    match entry:
        case TriggerFired() | TriggerRejected():
            return ids.run_id(entry.trigger_id, [one.entry_id for one in entry.participants])
        case InvocationRegistered():
            return entry.invocation_id
        case StatusEntry():
            kind = str(type(entry).__struct_config__.tag)
            return ids.status_entry_id(kind, entry.invocation_id, entry.claim_id)
        case CronTicked():
            return f"{entry.condition_id}@{datetime.fromtimestamp(entry.scheduled_for, UTC):%Y-%m-%dT%H:%M:%SZ}"
        case Judged():
            return ids.derive("judged", entry.term, entry.upto)
        case FilterFailed():
            return ids.derive("filter-failed", entry.condition_id, entry.entry_id, entry.filter)
        case ChainEnded():
            return ids.derive("chain-ended", entry.trigger_id, entry.entry_id)
        case _:
            return None


def _is_made_inside_a_task(entry: EventEmitted | InvocationRegistered) -> bool:
    """Returns whether the id belongs to an early emit or call of one of the parent invocation's first attempts."""
    numbers = product(range(1, _ATTEMPTS + 1), range(_ORDINALS))
    if isinstance(entry, EventEmitted):
        parent, code, payload = entry.emitter_invocation_id, entry.event_code, bytes(entry.payload)
        return parent is not None and any(
            ids.emitted_event_id(parent, attempt, ordinal, code, payload) == entry.id for attempt, ordinal in numbers
        )
    caller, task_id, arguments = entry.parent_invocation_id, entry.task_id, bytes(entry.arguments)
    return caller is not None and any(
        ids.called_invocation_id(caller, attempt, ordinal, task_id, arguments) == entry.id
        for attempt, ordinal in numbers
    )
