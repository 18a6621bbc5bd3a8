"""Contexts: what argument providers receive about the entries that fired a trigger.

Contexts take keyword arguments only, and every field has a default, so a unit test of a provider sets only the fields
that it needs. Times are timezone-aware, in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import (
    AnyResultCondition,
    Condition,
    CronCondition,
    EventCondition,
    ExceptionCondition,
    ResultCondition,
    StatusCondition,
)
from trigger_engine._model.entries import (
    AnyEntry,
    Cancelled,
    Claimed,
    CronTicked,
    EventEmitted,
    Failed,
    HandedBack,
    InvocationEntry,
    InvocationRegistered,
    Recovered,
    Retried,
    Started,
    Succeeded,
    TriggerFired,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CallArguments(msgspec.Struct, frozen=True):
    """The arguments of an invocation, bound to the signature of its task. `kwargs`: all arguments by name."""

    kwargs: Mapping[str, Any] = {}


class EventContext(msgspec.Struct, frozen=True, kw_only=True):
    """A user event. The emitter fields are set if the event was emitted inside a task."""

    event_id: str = ""
    event_code: str = ""
    payload: Mapping[str, Any] = {}
    emitter_task_id: str | None = None
    emitter_invocation_id: str | None = None
    timestamp: datetime = EPOCH


class StatusContext(msgspec.Struct, frozen=True, kw_only=True):
    """A status that an invocation reached."""

    invocation_id: str = ""
    task_id: str = ""
    arguments: CallArguments = CallArguments()
    status: InvocationStatus = InvocationStatus.SUCCESS
    timestamp: datetime = EPOCH


class ResultContext(StatusContext, frozen=True, kw_only=True):
    """The end of an invocation. `exception_type` and `exception_message` are None if it succeeded."""

    result: Any = None
    exception_type: str | None = None
    exception_message: str | None = None


class ExceptionContext(StatusContext, frozen=True, kw_only=True):
    """The exception that ended an invocation. `exception_type`: the name of its class."""

    status: InvocationStatus = InvocationStatus.FAILED
    exception_type: str = ""
    exception_message: str = ""


class CronContext(msgspec.Struct, frozen=True, kw_only=True):
    """A scheduled time. `timestamp`: when the tick was recorded; `last_execution`: the previous scheduled time."""

    timestamp: datetime = EPOCH
    scheduled_for: datetime = EPOCH
    last_execution: datetime | None = None


Context = EventContext | StatusContext | ResultContext | ExceptionContext | CronContext
C = TypeVar("C", bound=Context)


class TriggerContext(msgspec.Struct, frozen=True, kw_only=True):
    """All contributions that fired a trigger. `contexts`: one for each contribution, oldest first."""

    contexts: tuple[Context, ...] = ()

    @property
    def event(self) -> EventContext | None:
        """The newest event."""
        return self._newest(EventContext)

    @property
    def status(self) -> StatusContext | None:
        """The newest status, result or exception."""
        return self._newest(StatusContext)

    @property
    def result(self) -> ResultContext | None:
        """The newest result."""
        return self._newest(ResultContext)

    @property
    def exception(self) -> ExceptionContext | None:
        """The newest exception."""
        return self._newest(ExceptionContext)

    @property
    def cron(self) -> CronContext | None:
        """The newest scheduled time."""
        return self._newest(CronContext)

    def _newest(self, kind: type[C]) -> C | None:
        return next((context for context in reversed(self.contexts) if isinstance(context, kind)), None)


DecodeArguments = Callable[[str, msgspec.Raw], Mapping[str, Any]]
"""Decodes the arguments of an invocation; called with the task id."""

DecodeResult = Callable[[str, msgspec.Raw], Any]
"""Decodes a result; called with the task id."""

_decode_payload = msgspec.msgpack.Decoder(dict[str, Any]).decode

_STATUSES: dict[type[InvocationEntry], InvocationStatus] = {
    InvocationRegistered: InvocationStatus.REGISTERED,
    TriggerFired: InvocationStatus.REGISTERED,
    Recovered: InvocationStatus.REGISTERED,
    HandedBack: InvocationStatus.REGISTERED,
    Claimed: InvocationStatus.PENDING,
    Started: InvocationStatus.RUNNING,
    Retried: InvocationStatus.RETRY,
    Succeeded: InvocationStatus.SUCCESS,
    Failed: InvocationStatus.FAILED,
    Cancelled: InvocationStatus.CANCELLED,
}


def context_of(
    condition: Condition,
    entry: AnyEntry,
    *,
    decode_arguments: DecodeArguments,
    decode_result: DecodeResult,
    status: InvocationStatus | None = None,
) -> Context:
    """The context of an entry that met a condition.

    `status`: the status that met the condition, for an entry that stands for several; by default the entry's own.
    Raises TypeError for an entry that cannot meet the condition, and whatever the decoding functions raise.
    """
    match condition, entry:
        case EventCondition(), EventEmitted():
            return EventContext(
                event_id=entry.id,
                event_code=entry.event_code,
                payload=_decode_payload(entry.payload),
                emitter_task_id=entry.emitter_task_id,
                emitter_invocation_id=entry.emitter_invocation_id,
                timestamp=_instant(entry.time),
            )
        case CronCondition(), CronTicked(last_execution=last):
            return CronContext(
                timestamp=_instant(entry.time),
                scheduled_for=_instant(entry.scheduled_for),
                last_execution=None if last is None else _instant(last),
            )
        case StatusCondition() | AnyResultCondition() | ResultCondition() | ExceptionCondition(), InvocationEntry():
            return _of_invocation(condition, entry, decode_arguments, decode_result, status)
    raise _cannot_meet(condition, entry)


def _of_invocation(
    condition: Condition,
    entry: InvocationEntry,
    decode_arguments: DecodeArguments,
    decode_result: DecodeResult,
    status: InvocationStatus | None,
) -> Context:
    common: dict[str, Any] = {
        "invocation_id": entry.invocation_id,
        "task_id": entry.task_id,
        "arguments": CallArguments(decode_arguments(entry.task_id, entry.arguments)),
        "status": status or _STATUSES[type(entry)],
        "timestamp": _instant(entry.time),
    }
    match condition, entry:
        case StatusCondition(), _:
            return StatusContext(**common)
        case ResultCondition() | AnyResultCondition(), Succeeded():
            return ResultContext(**common, result=decode_result(entry.task_id, entry.result))
        case AnyResultCondition(), Failed(exception=exception):
            return ResultContext(**common, exception_type=exception.type, exception_message=exception.message)
        case ExceptionCondition(), Failed(exception=exception):
            return ExceptionContext(**common, exception_type=exception.type, exception_message=exception.message)
    raise _cannot_meet(condition, entry)


def _cannot_meet(condition: Condition, entry: object) -> TypeError:
    return TypeError(f"{type(entry).__name__} cannot meet {condition.id}")


def _instant(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)
