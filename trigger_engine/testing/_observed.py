"""The observations of a TestEngine, folded from its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from trigger_engine._app.app import TriggerEngine
from trigger_engine._model.entries import (
    AnyEntry,
    Cancelled,
    Failed,
    Participant,
    StatusEntry,
    Succeeded,
    TriggerFired,
    TriggerRejected,
)
from trigger_engine.errors import TaskFailed


@dataclass(frozen=True, slots=True)
class FiredRun:
    """A trigger run that started an invocation.

    Attributes: the ids `run_id`, `trigger_id`, `task_id`, `invocation_id`; `arguments` by parameter name;
    `participants`, the entries that met the conditions.
    """

    run_id: str
    trigger_id: str
    task_id: str
    invocation_id: str
    arguments: Mapping[str, Any]
    participants: tuple[Participant, ...]


@dataclass(frozen=True, slots=True)
class RejectedRun:
    """A trigger run that started nothing because its arguments could not be made. `error`: the reason, as text."""

    run_id: str
    trigger_id: str
    task_id: str
    error: str
    participants: tuple[Participant, ...]


class Observed:
    """Everything read from a test's log so far, in log order."""

    def __init__(self, app: TriggerEngine) -> None:
        self._app = app
        self.finished: list[StatusEntry] = []
        self.runs: list[FiredRun] = []
        self.rejected: list[RejectedRun] = []
        self.failures: list[TaskFailed] = []

    def take(self, entry: AnyEntry) -> None:
        """Adds one entry."""
        if isinstance(entry, (Succeeded, Failed, Cancelled)):
            self.finished.append(entry)
        if isinstance(entry, Failed):
            self.failures.append(_failure(entry))
        elif isinstance(entry, TriggerFired):
            arguments = self.arguments(entry.task_id, entry.arguments)
            self.runs.append(
                FiredRun(entry.id, entry.trigger_id, entry.task_id, entry.invocation_id, arguments, entry.participants)
            )
        elif isinstance(entry, TriggerRejected):
            self.rejected.append(
                RejectedRun(entry.id, entry.trigger_id, entry.task_id, entry.error, entry.participants)
            )

    def arguments(self, task_id: str, raw: msgspec.Raw) -> dict[str, Any]:
        """Decodes a task's arguments."""
        return self._app._internals.registry.task(task_id).signature.decode_arguments(raw)


def _failure(entry: Failed) -> TaskFailed:
    return TaskFailed(
        invocation_id=entry.invocation_id,
        task_id=entry.task_id,
        exception_type=entry.exception.type,
        exception_message=entry.exception.message,
        traceback=entry.exception.traceback,
    )
