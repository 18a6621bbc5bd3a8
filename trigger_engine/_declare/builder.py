"""`TriggerBuilder`: declares a trigger as a chain of method calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from trigger_engine._declare.compilation import Declared, Target, declare_trigger
from trigger_engine._declare.condition_ids import DEFAULT_CATCH_UP_WINDOW
from trigger_engine._declare.spec_validation import (
    ExceptionTypes,
    MappingOrFunction,
    Statuses,
    checked_exception_names,
    checked_logic,
    checked_statuses,
    checked_task,
    cron_spec,
    event_spec,
    mapping_or_function,
    provided_spec,
    result_filter_spec,
    static_spec,
)
from trigger_engine._declare.specs import (
    AnyResultSpec,
    CatchUp,
    ConditionSpec,
    ExceptionSpec,
    FilterSpec,
    Logic,
    ProviderSpec,
    ResultSpec,
    StatusSpec,
    TaskReference,
    call_text,
)
from trigger_engine._declare.values import Codec
from trigger_engine._engine.contexts import (
    CronContext,
    EventContext,
    ExceptionContext,
    ResultContext,
    StatusContext,
    TriggerContext,
)
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import ContextKind

Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TriggerBuilder:
    """A trigger: conditions, how they combine, and the arguments of the task that they start.

    Each method returns a new builder and raises DeclarationError for invalid arguments. Filters and providers are
    synchronous and pure functions with a name at module level. A filter gets the payload, the arguments or the result
    and returns a bool; a provider gets a context and returns arguments by name. A task is given as an object or an id.
    """

    _conditions: tuple[ConditionSpec, ...] = ()
    _providers: tuple[ProviderSpec, ...] = ()
    _logic: Logic = "and"

    def on_cron(
        self,
        expression: str,
        *,
        timezone: str = "UTC",
        catch_up: CatchUp = "latest",
        catch_up_window: timedelta = DEFAULT_CATCH_UP_WINDOW,
    ) -> TriggerBuilder:
        """Met at each time of a schedule.

        `expression`: five fields, six fields with the seconds first, or a shorthand such as `@hourly`. `timezone`: an
        IANA name. `catch_up`: which of the times that passed while no runner was up still tick: the "latest", "all" or
        none ("skip"). Only times within `catch_up_window` count.
        """
        return self._with_condition(cron_spec(expression, timezone, catch_up, catch_up_window))

    def on_event(self, event_code: str, payload_filter: MappingOrFunction = None) -> TriggerBuilder:
        """Met by an event with this code whose payload passes the filter.

        `payload_filter`: a mapping of the values that must be equal in the payload, or a function.
        """
        return self._with_condition(event_spec(event_code, payload_filter))

    def on_status(
        self,
        task: TaskReference,
        statuses: Statuses = InvocationStatus.SUCCESS,
        call_arguments: MappingOrFunction = None,
    ) -> TriggerBuilder:
        """Met when an invocation of the task reaches one of the statuses.

        `statuses`: members of `InvocationStatus`, or their names in any case. `call_arguments`: a mapping of the values
        that must be equal in the arguments of the invocation, or a function.
        """
        watched, arguments = _watched("on_status", task, call_arguments)
        return self._with_condition(StatusSpec(watched, arguments, checked_statuses(statuses, "on_status")))

    def on_any_result(self, task: TaskReference, call_arguments: MappingOrFunction = None) -> TriggerBuilder:
        """Met when an invocation of the task succeeds or fails. `ctx.exception_type` is None if it succeeded."""
        return self._with_condition(AnyResultSpec(*_watched("on_any_result", task, call_arguments)))

    def on_result(
        self, task: TaskReference, filter_result: Any, call_arguments: MappingOrFunction = None
    ) -> TriggerBuilder:
        """Met when an invocation of the task succeeds with a result that passes the filter.

        `filter_result`: a mapping of the values that must be equal in the result, a function, or any other value, which
        the result must equal.
        """
        watched, arguments = _watched("on_result", task, call_arguments)
        result_filter = result_filter_spec(filter_result, call_text("on_result", _id(watched)))
        return self._with_condition(ResultSpec(watched, arguments, result_filter))

    def on_exception(
        self,
        task: TaskReference,
        exception_types: ExceptionTypes = None,
        call_arguments: MappingOrFunction = None,
    ) -> TriggerBuilder:
        """Met when an invocation of the task ends FAILED, with any exception or with one of the types.

        `exception_types`: exception classes or their names; a class is compared by name. As with `except`, a name also
        matches exceptions derived from a class with that name.
        """
        watched, arguments = _watched("on_exception", task, call_arguments)
        names = checked_exception_names(exception_types, "on_exception")
        return self._with_condition(ExceptionSpec(watched, arguments, names))

    def with_logic(self, logic: str) -> TriggerBuilder:
        """How conditions combine: "and" (the default) fires when all have been met, "or" whenever one is met."""
        return replace(self, _logic=checked_logic(logic))

    def with_args_static(self, arguments: Arguments) -> TriggerBuilder:
        """Fixed arguments. The results of several providers are merged in the order of the calls."""
        return replace(self, _providers=(*self._providers, static_spec(arguments)))

    def with_args_from_event(self, provider: Callable[[EventContext], Arguments]) -> TriggerBuilder:
        """Arguments from the newest event."""
        return self._with_provider("event", provider)

    def with_args_from_status(self, provider: Callable[[StatusContext], Arguments]) -> TriggerBuilder:
        """Arguments from the newest status change, result or exception."""
        return self._with_provider("status", provider)

    def with_args_from_result(self, provider: Callable[[ResultContext], Arguments]) -> TriggerBuilder:
        """Arguments from the newest result."""
        return self._with_provider("result", provider)

    def with_args_from_exception(self, provider: Callable[[ExceptionContext], Arguments]) -> TriggerBuilder:
        """Arguments from the newest exception."""
        return self._with_provider("exception", provider)

    def with_args_from_cron(self, provider: Callable[[CronContext], Arguments]) -> TriggerBuilder:
        """Arguments from the newest scheduled time."""
        return self._with_provider("cron", provider)

    def with_args_from_trigger_context(self, provider: Callable[[TriggerContext], Arguments]) -> TriggerBuilder:
        """Arguments from all contexts that made the trigger fire."""
        return self._with_provider("trigger", provider)

    def declare(self, target: Target, *, slot: str, codec: Codec, registry: object) -> Declared:
        """Declares the trigger on a task, with all checks that need the task.

        `slot`: `<task id>#<index in the list>`. Raises DeclarationError.
        """
        return declare_trigger(
            self._conditions, self._providers, self._logic, target=target, slot=slot, codec=codec, registry=registry
        )

    def __repr__(self) -> str:
        logic = [] if self._logic == "and" else [call_text("with_logic", self._logic)]
        calls = [repr(spec) for spec in (*self._conditions, *self._providers)]
        return ".".join(["TriggerBuilder()", *calls, *logic])

    def _with_condition(self, condition: ConditionSpec) -> TriggerBuilder:
        return replace(self, _conditions=(*self._conditions, condition))

    def _with_provider(self, context: ContextKind, provider: Callable[[Any], Arguments]) -> TriggerBuilder:
        return replace(self, _providers=(*self._providers, provided_spec(context, provider)))


def _watched(
    method: str, task: TaskReference, call_arguments: MappingOrFunction
) -> tuple[TaskReference, FilterSpec | None]:
    watched = checked_task(task, method)
    where = call_text(method, _id(watched))
    return watched, mapping_or_function(call_arguments, where, "call_arguments", "arguments")


def _id(task: TaskReference) -> str:
    return task if isinstance(task, str) else task.task_id
