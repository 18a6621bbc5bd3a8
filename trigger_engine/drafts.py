"""Conditions and argument providers as a TriggerBuilder holds them: checked (draft_checks.py), not yet encoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from trigger_engine import condition_ids
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.entries.definitions import (
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
from trigger_engine.signature import TaskSignature
from trigger_engine.user_functions import Function, code_hash, function_name
from trigger_engine.values import Codec

if TYPE_CHECKING:
    from trigger_engine.core.schedule import CronSchedule

CatchUp = Literal["latest", "all", "skip"]
Logic = Literal["and", "or"]


class TaskLike(Protocol):
    """What conditions need to know of a task object."""

    @property
    def task_id(self) -> str: ...
    @property
    def app(self) -> object: ...
    @property
    def signature(self) -> TaskSignature: ...


TaskReference = TaskLike | str


@dataclass(frozen=True, slots=True)
class Scope:
    """Where drafts become definitions: the app's codec, and the functions met so far by their names."""

    where: str
    codec: Codec
    functions: dict[str, Function] = field(default_factory=dict)

    def encode(self, value: Any, *, what: str, canonical: bool = True) -> msgspec.Raw:
        """The encoded form of a value in a declaration. Raises DeclarationError."""
        try:
            return self.codec.encode(value, what=f"{self.where}: {what}", canonical=canonical)
        except SerializationError as exc:
            raise DeclarationError(str(exc)) from exc

    def name(self, function: Function) -> str:
        """The name of a function, remembered. Raises DeclarationError when another function has it."""
        name = function_name(function)
        if self.functions.setdefault(name, function) is not function:
            raise DeclarationError(f"{self.where}: two functions are named {name}: rename one of them")
        return name


@dataclass(frozen=True, slots=True)
class MappingDraft:
    """A filter that names what must be there."""

    value: Mapping[Any, Any]

    def __repr__(self) -> str:
        return repr(self.value)

    def define(self, scope: Scope, what: str) -> Filter:
        """The filter as the log keeps it."""
        return MappingFilter(value=scope.encode(self.value, what=what))


@dataclass(frozen=True, slots=True)
class EqualsDraft:
    """A filter that names the value."""

    value: Any

    def __repr__(self) -> str:
        return repr(self.value)

    def define(self, scope: Scope, what: str) -> Filter:
        """The filter as the log keeps it."""
        return EqualsFilter(value=scope.encode(self.value, what=what))


@dataclass(frozen=True, slots=True)
class CallableDraft:
    """A filter that a function decides."""

    function: Function

    def __repr__(self) -> str:
        return self.function.__qualname__

    def define(self, scope: Scope, what: str) -> Filter:
        """The filter as the log keeps it; `what` is not needed, a function has been checked."""
        return CallableFilter(name=scope.name(self.function), code=code_hash(self.function))


FilterDraft = MappingDraft | EqualsDraft | CallableDraft


@dataclass(frozen=True, slots=True)
class CronDraft:
    """A scheduled time."""

    schedule: CronSchedule
    catch_up: CatchUp
    window: timedelta

    def __repr__(self) -> str:
        shown = {"timezone": self.schedule.timezone, "catch_up": self.catch_up, "catch_up_window": self.window}
        usual = {
            "timezone": "UTC",
            "catch_up": condition_ids.DEFAULT_CATCH_UP,
            "catch_up_window": condition_ids.DEFAULT_CATCH_UP_WINDOW,
        }
        options = {name: value for name, value in shown.items() if value != usual[name]}
        return written("on_cron", self.schedule.expression, **options)

    def define(self, scope: Scope) -> Condition:
        """The condition as the log keeps it."""
        schedule, seconds = self.schedule, self.window.total_seconds()
        return CronCondition(
            id=condition_ids.cron_id(schedule.expression, schedule.timezone, catch_up=self.catch_up, window=seconds),
            expression=schedule.expression,
            timezone=schedule.timezone,
            catch_up=self.catch_up,
            catch_up_window=seconds,
        )


@dataclass(frozen=True, slots=True)
class EventDraft:
    """A user event."""

    event_code: str
    payload_filter: FilterDraft | None

    def __repr__(self) -> str:
        return written("on_event", self.event_code, **_given(payload_filter=self.payload_filter))

    def define(self, scope: Scope) -> Condition:
        """The condition as the log keeps it."""
        payload_filter = _defined(self.payload_filter, scope, f"payload filter of event {self.event_code!r}")
        return EventCondition(
            id=condition_ids.event_id(self.event_code, payload_filter),
            event_code=self.event_code,
            payload_filter=payload_filter,
        )


@dataclass(frozen=True, slots=True)
class TaskDraft(ABC):
    """Something that an invocation of a task does."""

    task: TaskReference
    call_arguments: FilterDraft | None

    @property
    def task_id(self) -> str:
        """The id of the task that is watched."""
        return self.task if isinstance(self.task, str) else self.task.task_id

    @abstractmethod
    def define(self, scope: Scope) -> Condition:
        """The condition as the log keeps it."""

    def _arguments(self, scope: Scope) -> Filter | None:
        return _defined(self.call_arguments, scope, f"call_arguments of task {self.task_id}")

    def _written(self, method: str, *arguments: object) -> str:
        return written(method, self.task_id, *arguments, **_given(call_arguments=self.call_arguments))


@dataclass(frozen=True, slots=True, repr=False)
class StatusDraft(TaskDraft):
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
        return self._written("on_status", [status.name for status in self.statuses])


@dataclass(frozen=True, slots=True, repr=False)
class AnyResultDraft(TaskDraft):
    """An invocation ends with a result or an exception."""

    def define(self, scope: Scope) -> Condition:
        call_arguments = self._arguments(scope)
        return AnyResultCondition(
            id=condition_ids.any_result_id(self.task_id, call_arguments),
            task_id=self.task_id,
            call_arguments=call_arguments,
        )

    def __repr__(self) -> str:
        return self._written("on_any_result")


@dataclass(frozen=True, slots=True, repr=False)
class ResultDraft(TaskDraft):
    """An invocation succeeds with a result."""

    result_filter: FilterDraft

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
        return self._written("on_result", self.result_filter)


@dataclass(frozen=True, slots=True, repr=False)
class ExceptionDraft(TaskDraft):
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
        return self._written("on_exception", *([list(self.names)] if self.names else []))


ConditionDraft = CronDraft | EventDraft | TaskDraft


@dataclass(frozen=True, slots=True)
class StaticDraft:
    """Fixed arguments."""

    values: Mapping[str, Any]

    def __repr__(self) -> str:
        return written("with_args_static", self.values)

    def define(self, scope: Scope) -> Provider:
        """The provider as the log keeps it; what is sorted for the id keeps its order for the task."""
        return StaticArguments(value=scope.encode(self.values, what="with_args_static", canonical=False))

    def identity(self, scope: Scope) -> tuple[str | bytes, ...]:
        """What the trigger's id is derived from."""
        return "static", bytes(scope.encode(self.values, what="with_args_static"))


@dataclass(frozen=True, slots=True)
class ProvidedDraft:
    """Arguments that a function makes of a context."""

    context: ContextKind
    function: Function

    @property
    def method(self) -> str:
        """The builder's method that adds it."""
        return provider_method(self.context)

    def __repr__(self) -> str:
        return f"{self.method}({self.function.__qualname__})"

    def define(self, scope: Scope) -> Provider:
        """The provider as the log keeps it."""
        return ProvidedArguments(context=self.context, name=scope.name(self.function), code=code_hash(self.function))

    def identity(self, scope: Scope) -> tuple[str | bytes, ...]:
        """What the trigger's id is derived from: not the code, so that a mended function keeps the trigger."""
        return "provided", self.context, scope.name(self.function)


ProviderDraft = StaticDraft | ProvidedDraft


def provider_method(context: ContextKind) -> str:
    """The builder's method for providers of a context."""
    return "with_args_from_trigger_context" if context == "trigger" else f"with_args_from_{context}"


def written(method: str, *arguments: object, **options: object) -> str:
    """A call as it would be written."""
    given = [repr(argument) for argument in arguments] + [f"{name}={value!r}" for name, value in options.items()]
    return f"{method}({', '.join(given)})"


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _defined(draft: FilterDraft | None, scope: Scope, what: str) -> Filter | None:
    return None if draft is None else draft.define(scope, what)
