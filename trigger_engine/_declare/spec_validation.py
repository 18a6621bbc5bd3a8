"""Checks the arguments of TriggerBuilder methods. A mistake raises in the method call that makes it, with the fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, get_args

from trigger_engine._declare.specs import (
    CallableSpec,
    CatchUp,
    CronSpec,
    EqualsSpec,
    EventSpec,
    FilterSpec,
    Logic,
    MappingSpec,
    ProvidedSpec,
    StaticSpec,
    TaskReference,
    call_text,
    provider_method,
)
from trigger_engine._declare.user_functions import check_function
from trigger_engine._declare.values import is_text, type_name
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import ContextKind
from trigger_engine._suggestions import did_you_mean
from trigger_engine.errors import DeclarationError

Statuses = InvocationStatus | str | Iterable[InvocationStatus | str]
ExceptionTypes = type[BaseException] | str | Iterable[type[BaseException] | str] | None
MappingOrFunction = Mapping[str, Any] | Callable[[Any], bool] | None


def cron_spec(expression: Any, timezone: Any, catch_up: Any, window: Any) -> CronSpec:
    """Checks a schedule. Raises DeclarationError."""
    from trigger_engine._engine.schedule import CronSchedule, InvalidCron

    try:
        schedule = CronSchedule.parse(expression, timezone)
    except InvalidCron as exc:
        raise DeclarationError(f"on_cron: {exc}") from exc
    if catch_up not in get_args(CatchUp):
        hint = did_you_mean(str(catch_up), get_args(CatchUp))
        raise DeclarationError(f'on_cron: unknown catch_up {catch_up!r}{hint or ":"} give "latest", "all" or "skip"')
    if not isinstance(window, timedelta) or window <= timedelta(0):
        raise DeclarationError(f"on_cron: invalid catch_up_window {window!r}: give a positive timedelta")
    return CronSpec(schedule, catch_up, window)


def event_spec(event_code: Any, payload_filter: Any) -> EventSpec:
    """Checks an event code and a filter. Raises DeclarationError."""
    if not isinstance(event_code, str) or not event_code or not is_text(event_code):
        raise DeclarationError(
            f"on_event: invalid event code {event_code!r}: give a non-empty string, such as 'order.paid'"
        )
    where = call_text("on_event", event_code)
    spec = mapping_or_function(payload_filter, where, "payload_filter", "payload")
    if isinstance(spec, MappingSpec) and (naive := _naive_datetime(spec.value)) is not None:
        raise DeclarationError(
            f"{where}: payload_filter has the naive datetime {naive.isoformat()}, which payloads cannot hold: "
            "give it a timezone, such as tzinfo=UTC"
        )
    return EventSpec(event_code, spec)


def checked_task(task: Any, method: str) -> TaskReference:
    """A task, or the id of one. Raises DeclarationError."""
    if isinstance(task, str):
        if not task.strip() or not is_text(task):
            raise DeclarationError(f"{method}: task id {task!r}: give an id such as 'tasks.source'")
        return task
    if isinstance(getattr(task, "task_id", None), str) and hasattr(task, "registry"):
        return task  # type: ignore[no-any-return]
    if callable(task):
        name = getattr(task, "__qualname__", type(task).__qualname__)
        raise DeclarationError(f"{method}: {name} is not a task: decorate it with @app.task, or give a task's id")
    raise DeclarationError(f"{method}: {task!r} is not a task: give what @app.task returns, or a task's id as a string")


def checked_statuses(statuses: Any, method: str) -> tuple[InvocationStatus, ...]:
    """Checks statuses and returns each once, in the order of `InvocationStatus`. Raises DeclarationError."""
    given = _as_tuple(statuses, f"{method}: statuses", "a status or a list of them")
    found = {_status(status, method) for status in given}
    if not found:
        raise DeclarationError(f"{method}: statuses is empty: give at least one, such as InvocationStatus.SUCCESS")
    return tuple(status for status in InvocationStatus if status in found)


def checked_exception_names(exception_types: Any, method: str) -> tuple[str, ...]:
    """Checks exception types and returns their class names, sorted, each once; empty for any exception.

    Raises DeclarationError.
    """
    if exception_types is None:
        return ()
    given = _as_tuple(exception_types, f"{method}: exception_types", "exception classes or their names")
    names = {_exception_name(exception_type, method) for exception_type in given}
    if not names:
        raise DeclarationError(f"{method}: exception_types is empty: omit it to match any exception")
    return tuple(sorted(names))


def checked_logic(logic: Any) -> Logic:
    """Checks how conditions combine; case is ignored. Raises DeclarationError."""
    for known in get_args(Logic):
        if isinstance(logic, str) and logic.lower() == known:
            return known  # type: ignore[no-any-return]
    raise DeclarationError(f'with_logic: unknown logic {logic!r}: give "and" or "or"')


def mapping_or_function(given: Any, where: str, parameter: str, gets: str) -> FilterSpec | None:
    """Checks a filter on a mapping. Raises DeclarationError."""
    if given is None:
        return None
    if callable(given):
        return CallableSpec(check_function(given, where=f"{where}: {parameter}", gets=gets))
    if not isinstance(given, Mapping):
        raise DeclarationError(
            f"{where}: {parameter} is of type {type_name(type(given))}: "
            "give a mapping of the values that must be equal, or a function"
        )
    if not all(isinstance(key, str) for key in given):
        raise DeclarationError(f"{where}: {parameter} has keys that are not strings: give string keys")
    return MappingSpec(dict(given))


def result_filter_spec(given: Any, where: str) -> FilterSpec:
    """Checks a filter on a result. A value that is neither a function nor a mapping is compared for equality.

    Raises DeclarationError.
    """
    if callable(given):
        return CallableSpec(check_function(given, where=f"{where}: filter_result", gets="result"))
    return MappingSpec(dict(given)) if isinstance(given, Mapping) else EqualsSpec(given)


def static_spec(values: Any) -> StaticSpec:
    """Checks fixed arguments. Raises DeclarationError."""
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise DeclarationError(f"with_args_static: {values!r} is invalid: give a dict of argument names and values")
    return StaticSpec(dict(values))


def provided_spec(context: ContextKind, function: Any) -> ProvidedSpec:
    """Checks a function that provides arguments. Raises DeclarationError."""
    return ProvidedSpec(context, check_function(function, where=provider_method(context), gets="ctx"))


def _naive_datetime(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.utcoffset() is None else None
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return next((found for found in map(_naive_datetime, parts) if found is not None), None)


def _as_tuple(given: Any, what: str, expected: str) -> tuple[Any, ...]:
    if isinstance(given, (str, type)):
        return (given,)
    if not isinstance(given, Iterable):
        raise DeclarationError(f"{what} is {given!r}: give {expected}")
    return tuple(given)


def _status(given: Any, method: str) -> InvocationStatus:
    try:
        return InvocationStatus(given.lower())
    except (AttributeError, ValueError):
        names = [status.name for status in InvocationStatus]
        hint = did_you_mean(given, names) if isinstance(given, str) else ""
        raise DeclarationError(
            f"{method}: unknown status {given!r}{hint or ':'} give one of {', '.join(names)}"
        ) from None


def _exception_name(given: Any, method: str) -> str:
    if isinstance(given, type) and issubclass(given, BaseException):
        return given.__name__
    if isinstance(given, str) and given.isidentifier():
        return given
    if isinstance(given, str) and "." in given:
        raise DeclarationError(
            f"{method}: invalid exception type {given!r}: give the class name without its module, "
            f"{given.rpartition('.')[2]!r}"
        )
    raise DeclarationError(f"{method}: invalid exception type {given!r}: give an exception class or its name")
