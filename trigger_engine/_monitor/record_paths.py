"""The paths of the pages of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from trigger_engine._readmodel.records import (
    EventRecord,
    InvocationRecord,
    RunnerRecord,
    TriggerRecord,
    TriggerRunRecord,
)

_PATHS: Mapping[type, tuple[str, Callable[[Any], str]]] = {
    EventRecord: ("event", lambda record: f"/events/{_part(record.event_id)}"),
    TriggerRunRecord: ("trigger-run", lambda record: f"/trigger-runs/{_part(record.run_id)}"),
    InvocationRecord: ("invocation", lambda record: f"/invocations/{_part(record.invocation_id)}"),
    TriggerRecord: ("trigger", lambda record: f"/triggers/{_part(record.trigger_id)}"),
    RunnerRecord: ("runner", lambda record: f"/#runner-{_part(record.runner_id)}"),
}


def path_of(record: object) -> tuple[str, str] | None:
    """Returns the kind of a record and the path of its page below the monitor's root; None if it has no page."""
    found = _PATHS.get(type(record))
    return None if found is None else (found[0], found[1](record))


def _part(text: str) -> str:
    return quote(text, safe="")
