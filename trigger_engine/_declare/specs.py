"""Conditions and argument providers as a TriggerBuilder holds them: checked by spec_validation, not yet encoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from trigger_engine._declare import condition_ids
from trigger_engine._declare.signature import TaskSignature
from trigger_engine._declare.user_functions import Function, code_hash, function_name
from trigger_engine._declare.values import Codec
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import (
    AnyResultCondition,
    CallableFilter,
    Condition,
    ContextKind,
    CronCondition,
    EqualsFilter,
    EventCondition,
    ExceptionCondition,
    Filter,
    MappingFilter,
    ProvidedArguments,
    Provider,
    ResultCondition,
    StaticArguments,
    StatusCondition,
)
from trigger_engine.errors import DeclarationError, SerializationError

if TYPE_CHECKING:
    from trigger_engine._engine.schedule import CronSchedule

CatchUp = Literal["latest", "all", "skip"]
Logic = Literal["and", "or"]


class TaskLike(Protocol):
    """What conditions use of a task object."""

    @property
    def task_id(self) -> str: ...
    @property
    def registry(self) -> object: ...
    @property
    def signature(self) -> TaskSignature: ...


TaskReference = TaskLike | str


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope in which specs become definitions: the codec of the app, and the functions used so far, by name."""

    where: str
    codec: Codec
    functions: dict[str, Function] = field(default_factory=dict)

    def encode(self, value: Any, *, what: str, canonical: bool = True) -> msgspec.Raw:
        """Encodes a value of a declaration. Raises DeclarationError."""
        try:
            return self.codec.encode(value, what=f"{self.where}: {what}", canonical=canonical)
        except SerializationError as exc:
            raise DeclarationError(str(exc)) from exc

    def name(self, function: Function) -> str:
        """Registers a function and returns its name. Raises DeclarationError if another function has this name."""
        name = function_name(function)
        if self.functions.setdefault(name, function) is not function:
            raise DeclarationError(f"{self.where}: two functions are named {name}: rename one of them")
        return name


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """A filter on a mapping: the items that must be present."""

    value: Mapping[Any, Any]

    def __repr__(self) -> str:
        return repr(self.value)

    def define(self, scope: Scope, what: str) -> Filter:
        """The filter as stored in the log."""
        return MappingFilter(value=scope.encode(self.value, what=what))


@dataclass(frozen=True, slots=True)
class EqualsSpec:
    """A filter that compares with a value."""

    value: Any

    def __repr__(self) -> str:
        return repr(self.value)

    def define(self, scope: Scope, what: str) -> Filter:
        """The filter as stored in the log."""
        return EqualsFilter(value=scope.encode(self.value, what=what))


@dataclass(frozen=True, slots=True)
class CallableSpec:
    """A filter that calls a function."""

    function: Function

    def __repr__(self) -> str:
        return self.function.__qualname__

    def define(self, scope: Scope, what: str) -> Filter:
        """The filter as stored in the log. `what` is unused, because the function is already checked."""
        return CallableFilter(name=scope.name(self.function), code=code_hash(self.function))


FilterSpec = MappingSpec | EqualsSpec | CallableSpec


@dataclass(frozen=True, slots=True)
class CronSpec:
    """A scheduled time."""

    schedule: CronSchedule
    catch_up: CatchUp
    window: timedelta

    def __repr__(self) -> str:
        values = {"timezone": self.schedule.timezone, "catch_up": self.catch_up, "catch_up_window": self.window}
        defaults = {
            "timezone": "UTC",
            "catch_up": condition_ids.DEFAULT_CATCH_UP,
            "catch_up_window": condition_ids.DEFAULT_CATCH_UP_WINDOW,
        }
        options = {name: value for name, value in values.items() if value != defaults[name]}
        return call_text("on_cron", self.schedule.expression, **options)

    def define(self, scope: Scope) -> Condition:
        """The condition as stored in the log."""
        schedule, seconds = self.schedule, self.window.total_seconds()
        return CronCondition(
            id=condition_ids.cron_id(schedule.expression, schedule.timezone, catch_up=self.catch_up, window=seconds),
            expression=schedule.expression,
            timezone=schedule.timezone,
            catch_up=self.catch_up,
            catch_up_window=seconds,
        )


@dataclass(frozen=True, slots=True)
class EventSpec:
    """A user event."""

    event_code: str
    payload_filter: FilterSpec | None

    def __repr__(self) -> str:
        return call_text("on_event", self.event_code, **_given(payload_filter=self.payload_filter))

    def define(self, scope: Scope) -> Condition:
        """The condition as stored in the log."""
        payload_filter = _defined(self.payload_filter, scope, f"payload filter of event {self.event_code!r}")
        return EventCondition(
            id=condition_ids.event_id(self.event_code, payload_filter),
            event_code=self.event_code,
            payload_filter=payload_filter,
        )


@dataclass(frozen=True, slots=True)
class TaskSpec(ABC):
    """A condition on invocations of a task."""

    task: TaskReference
    call_arguments: FilterSpec | None

    @property
    def task_id(self) -> str:
        """The id of the watched task."""
        return self.task if isinstance(self.task, str) else self.task.task_id

    @abstractmethod
    def define(self, scope: Scope) -> Condition:
        """The condition as stored in the log."""

    def _arguments(self, scope: Scope) -> Filter | None:
        return _defined(self.call_arguments, scope, f"call_arguments of task {self.task_id}")

    def _call_text(self, method: str, *arguments: object) -> str:
        return call_text(method, self.task_id, *arguments, **_given(call_arguments=self.call_arguments))


@dataclass(frozen=True, slots=True, repr=False)
class StatusSpec(TaskSpec):
    """An invocation reaches a status."""

    statuses: tuple[InvocationStatus, ...]

    def define(self, scope: Scope) -> Condition:
        call_arguments = self._arguments(scope)
        return StatusCondition(
            id=condition_ids.status_id(self.task_id, self.statuses, call_arguments),
            task_id=self.task_id,
            statuses=tuple(str(status) for status in self.statuses),
            call_arguments=call_arguments,
        )

    def __repr__(self) -> str:
        return self._call_text("on_status", [status.name for status in self.statuses])


@dataclass(frozen=True, slots=True, repr=False)
class AnyResultSpec(TaskSpec):
    """An invocation ends with a result or an exception."""

    def define(self, scope: Scope) -> Condition:
        call_arguments = self._arguments(scope)
        return AnyResultCondition(
            id=condition_ids.any_result_id(self.task_id, call_arguments),
            task_id=self.task_id,
            call_arguments=call_arguments,
        )

    def __repr__(self) -> str:
        return self._call_text("on_any_result")


@dataclass(frozen=True, slots=True, repr=False)
class ResultSpec(TaskSpec):
    """An invocation succeeds with a result."""

    result_filter: FilterSpec

    def define(self, scope: Scope) -> Condition:
        call_arguments = self._arguments(scope)
        result_filter = self.result_filter.define(scope, f"filter_result of task {self.task_id}")
        return ResultCondition(
            id=condition_ids.result_id(self.task_id, result_filter, call_arguments),
            task_id=self.task_id,
            result_filter=result_filter,
            call_arguments=call_arguments,
        )

    def __repr__(self) -> str:
        return self._call_text("on_result", self.result_filter)


@dataclass(frozen=True, slots=True, repr=False)
class ExceptionSpec(TaskSpec):
    """An invocation fails."""

    names: tuple[str, ...]

    def define(self, scope: Scope) -> Condition:
        call_arguments = self._arguments(scope)
        return ExceptionCondition(
            id=condition_ids.exception_id(self.task_id, self.names, call_arguments),
            task_id=self.task_id,
            exception_types=self.names,
            call_arguments=call_arguments,
        )

    def __repr__(self) -> str:
        return self._call_text("on_exception", *([list(self.names)] if self.names else []))


ConditionSpec = CronSpec | EventSpec | TaskSpec


@dataclass(frozen=True, slots=True)
class StaticSpec:
    """Fixed arguments."""

    values: Mapping[str, Any]

    def __repr__(self) -> str:
        return call_text("with_args_static", self.values)

    def define(self, scope: Scope) -> Provider:
        """The provider as stored in the log. Unlike in `identity`, the values keep their order for the task."""
        return StaticArguments(value=scope.encode(self.values, what="with_args_static", canonical=False))

    def identity(self, scope: Scope) -> tuple[str | bytes, ...]:
        """What the trigger id is derived from."""
        return "static", bytes(scope.encode(self.values, what="with_args_static"))


@dataclass(frozen=True, slots=True)
class ProvidedSpec:
    """Arguments that a function builds from a context."""

    context: ContextKind
    function: Function

    @property
    def method(self) -> str:
        """The builder method that adds it."""
        return provider_method(self.context)

    def __repr__(self) -> str:
        return f"{self.method}({self.function.__qualname__})"

    def define(self, scope: Scope) -> Provider:
        """The provider as stored in the log."""
        return ProvidedArguments(context=self.context, name=scope.name(self.function), code=code_hash(self.function))

    def identity(self, scope: Scope) -> tuple[str | bytes, ...]:
        """What the trigger id is derived from. The code is not part of it, so a changed function keeps the trigger."""
        return "provided", self.context, scope.name(self.function)


ProviderSpec = StaticSpec | ProvidedSpec


def provider_method(context: ContextKind) -> str:
    """The builder method for providers of a context."""
    return "with_args_from_trigger_context" if context == "trigger" else f"with_args_from_{context}"


def call_text(method: str, *arguments: object, **options: object) -> str:
    """The source text of a method call."""
    given = [repr(argument) for argument in arguments] + [f"{name}={value!r}" for name, value in options.items()]
    return f"{method}({', '.join(given)})"


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _defined(spec: FilterSpec | None, scope: Scope, what: str) -> Filter | None:
    return None if spec is None else spec.define(scope, what)
