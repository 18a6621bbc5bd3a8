"""Conditions and triggers as data: leaders declare them in the log, and the engine compiles them.

They hold names and encoded values, never functions, so a log can be read without the code that wrote it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Statuses = tuple[str, ...]


class Definition(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag_field="kind", gc=False):
    """A part of a declared trigger. New fields are only added at the end, with defaults."""


class MappingFilter(Definition, frozen=True, kw_only=True, tag="mapping"):
    """Passes when every key of `value` is present and equal, also in nested mappings. `value`: msgpack of a mapping."""

    value: msgspec.Raw


class EqualsFilter(Definition, frozen=True, kw_only=True, tag="equals"):
    """Passes when the encoded forms are equal. `value`: msgpack of any value."""

    value: msgspec.Raw


class CallableFilter(Definition, frozen=True, kw_only=True, tag="callable"):
    """Passes when the named function returns True. `name`: `module.qualname`; `code`: hash of its code, for audits."""

    name: str
    code: str


Filter = MappingFilter | EqualsFilter | CallableFilter


class CronCondition(Definition, frozen=True, kw_only=True, tag="cron"):
    """A scheduled time. `catch_up_window`: seconds."""

    id: str
    expression: str
    timezone: str
    catch_up: Literal["latest", "all", "skip"]
    catch_up_window: float


class EventCondition(Definition, frozen=True, kw_only=True, tag="event"):
    """An event with this code whose payload passes the filter."""

    id: str
    event_code: str
    payload_filter: Filter | None


class StatusCondition(Definition, frozen=True, kw_only=True, tag="status"):
    """An invocation of the task reaches one of the statuses (values of `InvocationStatus`)."""

    id: str
    task_id: str
    statuses: Statuses
    call_arguments: Filter | None


class ResultCondition(Definition, frozen=True, kw_only=True, tag="result"):
    """An invocation of the task ends SUCCESS with a result that passes the filter."""

    id: str
    task_id: str
    result_filter: Filter
    call_arguments: Filter | None


class AnyResultCondition(Definition, frozen=True, kw_only=True, tag="any-result"):
    """An invocation of the task ends SUCCESS or FAILED."""

    id: str
    task_id: str
    call_arguments: Filter | None


class ExceptionCondition(Definition, frozen=True, kw_only=True, tag="exception"):
    """An invocation of the task ends FAILED; `exception_types`: names, empty for any."""

    id: str
    task_id: str
    exception_types: tuple[str, ...]
    call_arguments: Filter | None


TaskCondition = StatusCondition | ResultCondition | AnyResultCondition | ExceptionCondition
Condition = CronCondition | EventCondition | TaskCondition
ContextKind = Literal["event", "status", "result", "exception", "cron", "trigger"]


class StaticArguments(Definition, frozen=True, kw_only=True, tag="static"):
    """Fixed arguments. `value`: msgpack of a mapping."""

    value: msgspec.Raw


class ProvidedArguments(Definition, frozen=True, kw_only=True, tag="provided"):
    """Arguments from a named function. It gets the newest context of kind `context`, or the whole TriggerContext."""

    context: ContextKind
    name: str
    code: str


Provider = StaticArguments | ProvidedArguments


class TriggerDefinition(Definition, frozen=True, kw_only=True, tag="trigger"):
    """A declared trigger. `id` is derived from the content; `slot` is `<task id>#<index in the list>`."""

    id: str
    slot: str
    task_id: str
    logic: Literal["and", "or"]
    conditions: tuple[Condition, ...]
    providers: tuple[Provider, ...]
    queue: str = "default"


def condition_task(condition: Condition) -> str | None:
    """The id of the task that a condition watches; None for cron and event conditions."""
    return None if isinstance(condition, (CronCondition, EventCondition)) else condition.task_id


def callable_names(trigger: TriggerDefinition) -> frozenset[str]:
    """The names of all user functions that evaluating or firing this trigger may call."""
    names = {provider.name for provider in trigger.providers if isinstance(provider, ProvidedArguments)}
    for condition in trigger.conditions:
        names.update(f.name for f in condition_filters(condition) if isinstance(f, CallableFilter))
    return frozenset(names)


def condition_filters(condition: Condition) -> tuple[Filter, ...]:
    """The filters of a condition, in the order in which they are evaluated."""
    if isinstance(condition, CronCondition):
        return ()
    if isinstance(condition, EventCondition):
        found: tuple[Filter | None, ...] = (condition.payload_filter,)
    elif isinstance(condition, ResultCondition):
        found = (condition.call_arguments, condition.result_filter)
    else:
        found = (condition.call_arguments,)
    return tuple(f for f in found if f is not None)
