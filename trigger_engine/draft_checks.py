"""Checks of what is written in a TriggerBuilder: every mistake is refused on its own line, with the mend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, get_args

from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.drafts import (
    CallableDraft,
    CatchUp,
    CronDraft,
    EqualsDraft,
    EventDraft,
    FilterDraft,
    Logic,
    MappingDraft,
    ProvidedDraft,
    StaticDraft,
    TaskReference,
    provider_method,
    written,
)
from trigger_engine.entries.definitions import ContextKind
from trigger_engine.errors import DeclarationError
from trigger_engine.suggestions import did_you_mean
from trigger_engine.user_functions import check_function
from trigger_engine.values import is_text, type_name

Statuses = InvocationStatus | str | Iterable[InvocationStatus | str]
ExceptionTypes = type[BaseException] | str | Iterable[type[BaseException] | str] | None
MappingOrFunction = Mapping[str, Any] | Callable[[Any], bool] | None


def cron_draft(expression: Any, timezone: Any, catch_up: Any, window: Any) -> CronDraft:
    """A checked schedule. Raises DeclarationError."""
    from trigger_engine.core.schedule import CronSchedule, InvalidCron

    try:
        schedule = CronSchedule.parse(expression, timezone)
    except InvalidCron as exc:
        raise DeclarationError(f"on_cron: {exc}") from exc
    if catch_up not in get_args(CatchUp):
        hint = did_you_mean(str(catch_up), get_args(CatchUp))
        raise DeclarationError(f'on_cron: catch_up is {catch_up!r}{hint or ":"} give "latest", "all" or "skip"')
    if not isinstance(window, timedelta) or window <= timedelta(0):
        raise DeclarationError(f"on_cron: catch_up_window is {window!r}: give a timedelta above zero")
    return CronDraft(schedule, catch_up, window)


def event_draft(event_code: Any, payload_filter: Any) -> EventDraft:
    """A checked event code and filter. Raises DeclarationError."""
    if not isinstance(event_code, str) or not event_code or not is_text(event_code):
        raise DeclarationError(f"on_event: event code {event_code!r}: give a non-empty string, such as 'order.paid'")
    where = written("on_event", event_code)
    draft = mapping_or_function(payload_filter, where, "payload_filter", "payload")
    if isinstance(draft, MappingDraft) and (naive := _naive_datetime(draft.value)) is not None:
        raise DeclarationError(
            f"{where}: payload_filter has the naive datetime {naive.isoformat()}, which no payload can hold: "
            "give it a timezone, such as tzinfo=UTC"
        )
    return EventDraft(event_code, draft)


def checked_task(task: Any, method: str) -> TaskReference:
    """A task, or the id of one. Raises DeclarationError."""
    if isinstance(task, str):
        if not task.strip() or not is_text(task):
            raise DeclarationError(f"{method}: task id {task!r}: give an id such as 'tasks.source'")
        return task
    if isinstance(getattr(task, "task_id", None), str) and hasattr(task, "app"):
        return task  # type: ignore[no-any-return]
    if callable(task):
        name = getattr(task, "__qualname__", type(task).__qualname__)
        raise DeclarationError(f"{method}: {name} is not a task: decorate it with @app.task, or give a task's id")
    raise DeclarationError(f"{method}: {task!r} is not a task: give what @app.task returns, or a task's id as a string")


def checked_statuses(statuses: Any, method: str) -> tuple[InvocationStatus, ...]:
    """Statuses in the order of their life, each once. Raises DeclarationError with a did-you-mean."""
    given = _one_or_several(statuses, f"{method}: statuses", "a status or a list of them")
    found = {_status(one, method) for one in given}
    if not found:
        raise DeclarationError(f"{method}: statuses is empty: name at least one, such as InvocationStatus.SUCCESS")
    return tuple(status for status in InvocationStatus if status in found)


def checked_exception_names(exception_types: Any, method: str) -> tuple[str, ...]:
    """Class names, sorted, each once; empty for any exception. Raises DeclarationError."""
    if exception_types is None:
        return ()
    given = _one_or_several(exception_types, f"{method}: exception_types", "exception classes or their names")
    names = {_exception_name(one, method) for one in given}
    if not names:
        raise DeclarationError(f"{method}: exception_types is empty: leave it out to match any exception")
    return tuple(sorted(names))


def checked_logic(logic: Any) -> Logic:
    """How conditions combine, given in any case. Raises DeclarationError."""
    for known in get_args(Logic):
        if isinstance(logic, str) and logic.lower() == known:
            return known  # type: ignore[no-any-return]
    raise DeclarationError(f'with_logic: {logic!r}: give "and" or "or"')


def mapping_or_function(given: Any, where: str, parameter: str, gets: str) -> FilterDraft | None:
    """A filter on a mapping. Raises DeclarationError."""
    if given is None:
        return None
    if callable(given):
        return CallableDraft(check_function(given, where=f"{where}: {parameter}", gets=gets))
    if not isinstance(given, Mapping):
        raise DeclarationError(
            f"{where}: {parameter} is of type {type_name(type(given))}: "
            "give a mapping of what must be equal, or a function"
        )
    if not all(isinstance(key, str) for key in given):
        raise DeclarationError(f"{where}: {parameter} has keys that are not strings: give names as keys")
    return MappingDraft(dict(given))


def result_filter_draft(given: Any, where: str) -> FilterDraft:
    """A filter on a result: any value that is neither a function nor a mapping is compared. Raises DeclarationError."""
    if callable(given):
        return CallableDraft(check_function(given, where=f"{where}: filter_result", gets="result"))
    return MappingDraft(dict(given)) if isinstance(given, Mapping) else EqualsDraft(given)


def static_draft(values: Any) -> StaticDraft:
    """Fixed arguments. Raises DeclarationError."""
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise DeclarationError(f"with_args_static: {values!r}: give a dict of argument names and values")
    return StaticDraft(dict(values))


def provided_draft(context: ContextKind, function: Any) -> ProvidedDraft:
    """Arguments made by a function. Raises DeclarationError."""
    return ProvidedDraft(context, check_function(function, where=provider_method(context), gets="ctx"))


def _naive_datetime(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.utcoffset() is None else None
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return next((found for found in map(_naive_datetime, parts) if found is not None), None)


def _one_or_several(given: Any, what: str, wanted: str) -> tuple[Any, ...]:
    if isinstance(given, (str, type)):
        return (given,)
    if not isinstance(given, Iterable):
        raise DeclarationError(f"{what} is {given!r}: give {wanted}")
    return tuple(given)


def _status(given: Any, method: str) -> InvocationStatus:
    try:
        return InvocationStatus(given.lower())
    except (AttributeError, ValueError):
        names = [status.name for status in InvocationStatus]
        hint = did_you_mean(given, names) if isinstance(given, str) else ""
        raise DeclarationError(f"{method}: unknown status {given!r}{hint or ':'} one of {', '.join(names)}") from None


def _exception_name(given: Any, method: str) -> str:
    if isinstance(given, type) and issubclass(given, BaseException):
        return given.__name__
    if isinstance(given, str) and given.isidentifier():
        return given
    if isinstance(given, str) and "." in given:
        raise DeclarationError(
            f"{method}: exception type {given!r}: give the class's own name without its module, "
            f"{given.rpartition('.')[2]!r}"
        )
    raise DeclarationError(f"{method}: exception type {given!r}: give an exception class, or the name of one")
