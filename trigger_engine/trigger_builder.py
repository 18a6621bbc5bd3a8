"""`TriggerBuilder`: what starts a task, written as a chain of calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from trigger_engine.condition_ids import DEFAULT_CATCH_UP_WINDOW
from trigger_engine.core.contexts import (
    CronContext,
    EventContext,
    ExceptionContext,
    ResultContext,
    StatusContext,
    TriggerContext,
)
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.declaration import Declared, Target, declare_trigger
from trigger_engine.draft_checks import (
    ExceptionTypes,
    MappingOrFunction,
    Statuses,
    checked_exception_names,
    checked_logic,
    checked_statuses,
    checked_task,
    cron_draft,
    event_draft,
    mapping_or_function,
    provided_draft,
    result_filter_draft,
    static_draft,
)
from trigger_engine.drafts import (
    AnyResultDraft,
    CatchUp,
    ConditionDraft,
    ExceptionDraft,
    FilterDraft,
    Logic,
    ProviderDraft,
    ResultDraft,
    StatusDraft,
    TaskReference,
    written,
)
from trigger_engine.entries.definitions import ContextKind
from trigger_engine.values import Codec

Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class TriggerBuilder:
    """One trigger: conditions, how they combine, and the arguments of the task that they start.

    Each method returns a new builder. Filters and providers are named functions at module level, sync and pure; a
    filter gets the payload, the arguments or the result and says whether it is met, a provider gets a context and
    returns arguments by name. Tasks are given as task objects or as ids. Methods raise DeclarationError.
    """

    _conditions: tuple[ConditionDraft, ...] = ()
    _providers: tuple[ProviderDraft, ...] = ()
    _logic: Logic = "and"

    def on_cron(
        self,
        expression: str,
        *,
        timezone: str = "UTC",
        catch_up: CatchUp = "latest",
        catch_up_window: timedelta = DEFAULT_CATCH_UP_WINDOW,
    ) -> TriggerBuilder:
        """Met at each time of a schedule: five fields, six with the seconds first, or `@hourly` and the like.

        `timezone`: an IANA name. `catch_up`: what becomes of times that passed while no runner was alive: "latest" (one
        of them), "all" or "skip", of those within `catch_up_window`.
        """
        return self._with_condition(cron_draft(expression, timezone, catch_up, catch_up_window))

    def on_event(self, event_code: str, payload_filter: MappingOrFunction = None) -> TriggerBuilder:
        """Met by an event with this code, whose payload has what a mapping names, or for which a function says true."""
        return self._with_condition(event_draft(event_code, payload_filter))

    def on_status(
        self,
        task: TaskReference,
        statuses: Statuses = InvocationStatus.SUCCESS,
        call_arguments: MappingOrFunction = None,
    ) -> TriggerBuilder:
        """Met when an invocation of the task reaches one of the statuses: members, or names in any case."""
        watched, arguments = _watched("on_status", task, call_arguments)
        return self._with_condition(StatusDraft(watched, arguments, checked_statuses(statuses, "on_status")))

    def on_any_result(self, task: TaskReference, call_arguments: MappingOrFunction = None) -> TriggerBuilder:
        """Met when an invocation of the task succeeds or fails; `ctx.exception_type` is None where it succeeded."""
        return self._with_condition(AnyResultDraft(*_watched("on_any_result", task, call_arguments)))

    def on_result(
        self, task: TaskReference, filter_result: Any, call_arguments: MappingOrFunction = None
    ) -> TriggerBuilder:
        """Met when an invocation of the task succeeds with a result that passes.

        `filter_result`: a mapping of what must be equal in it, a function, or any other value that it must equal.
        """
        watched, arguments = _watched("on_result", task, call_arguments)
        result_filter = result_filter_draft(filter_result, written("on_result", _id(watched)))
        return self._with_condition(ResultDraft(watched, arguments, result_filter))

    def on_exception(
        self,
        task: TaskReference,
        exception_types: ExceptionTypes = None,
        call_arguments: MappingOrFunction = None,
    ) -> TriggerBuilder:
        """Met when an invocation of the task ends FAILED, by any exception or by one of the types.

        A type is a class or a class's name; a class stands for its name. As with `except`, a name also matches
        exceptions derived from a class of that name.
        """
        watched, arguments = _watched("on_exception", task, call_arguments)
        names = checked_exception_names(exception_types, "on_exception")
        return self._with_condition(ExceptionDraft(watched, arguments, names))

    def with_logic(self, logic: str) -> TriggerBuilder:
        """`"and"`: fires when every condition has been met; `"or"`: fires whenever one is. The default is "and"."""
        return replace(self, _logic=checked_logic(logic))

    def with_args_static(self, arguments: Arguments) -> TriggerBuilder:
        """Fixed arguments. Several providers are merged in the order in which they are written."""
        return replace(self, _providers=(*self._providers, static_draft(arguments)))

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
        """Arguments from everything that made the trigger fire."""
        return self._with_provider("trigger", provider)

    def declare(self, target: Target, *, slot: str, codec: Codec, app: object) -> Declared:
        """The trigger on a task of an app, with every check that needs them.

        `slot`: `<task id>#<place in the list>`. Raises DeclarationError.
        """
        return declare_trigger(
            self._conditions, self._providers, self._logic, target=target, slot=slot, codec=codec, app=app
        )

    def __repr__(self) -> str:
        logic = [] if self._logic == "and" else [written("with_logic", self._logic)]
        calls = [repr(draft) for draft in (*self._conditions, *self._providers)]
        return ".".join(["TriggerBuilder()", *calls, *logic])

    def _with_condition(self, condition: ConditionDraft) -> TriggerBuilder:
        return replace(self, _conditions=(*self._conditions, condition))

    def _with_provider(self, context: ContextKind, provider: Callable[[Any], Arguments]) -> TriggerBuilder:
        return replace(self, _providers=(*self._providers, provided_draft(context, provider)))


def _watched(
    method: str, task: TaskReference, call_arguments: MappingOrFunction
) -> tuple[TaskReference, FilterDraft | None]:
    watched = checked_task(task, method)
    where = written(method, _id(watched))
    return watched, mapping_or_function(call_arguments, where, "call_arguments", "arguments")


def _id(task: TaskReference) -> str:
    return task if isinstance(task, str) else task.task_id
