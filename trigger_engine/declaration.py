"""From a builder to a declared trigger: definitions for the log, functions for the runner, and every check between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trigger_engine.condition_ids import trigger_id
from trigger_engine.core.filters import decode
from trigger_engine.core.lifecycle import FINAL, InvocationStatus
from trigger_engine.drafts import (
    ConditionDraft,
    Logic,
    ProvidedDraft,
    ProviderDraft,
    Scope,
    StaticDraft,
    TaskDraft,
    TaskLike,
    provider_method,
)
from trigger_engine.entries.definitions import (
    AnyResultCondition,
    Condition,
    ContextKind,
    CronCondition,
    EventCondition,
    ExceptionCondition,
    MappingFilter,
    ResultCondition,
    StatusCondition,
    TriggerDefinition,
    condition_task,
)
from trigger_engine.errors import DeclarationError
from trigger_engine.signature import TaskSignature
from trigger_engine.suggestions import did_you_mean
from trigger_engine.values import Codec

SUPPLIES: dict[type[Condition], frozenset[ContextKind]] = {
    CronCondition: frozenset({"cron"}),
    EventCondition: frozenset({"event"}),
    StatusCondition: frozenset({"status"}),
    ResultCondition: frozenset({"result", "status"}),
    AnyResultCondition: frozenset({"result", "status"}),
    ExceptionCondition: frozenset({"exception", "status"}),
}
"""The contexts that a condition gives each time it is met."""

_SUPPLIERS = {
    "event": "on_event",
    "status": "on_status, on_result, on_any_result or on_exception",
    "result": "on_result or on_any_result",
    "exception": "on_exception",
    "cron": "on_cron",
}


class TargetSettings(Protocol):
    """What of a task's settings its triggers need."""

    @property
    def queue(self) -> str: ...


class Target(TaskLike, Protocol):
    """The task that a trigger starts."""

    @property
    def settings(self) -> TargetSettings: ...


@dataclass(frozen=True, slots=True)
class Declared:
    """A trigger as its app knows it. `callables`: the user's functions by name; `referenced_tasks`: ids it watches."""

    definition: TriggerDefinition
    callables: Mapping[str, Callable[..., Any]]
    referenced_tasks: frozenset[str]


def declare_trigger(
    conditions: Sequence[ConditionDraft],
    providers: Sequence[ProviderDraft],
    logic: Logic,
    *,
    target: Target,
    slot: str,
    codec: Codec,
    app: object,
) -> Declared:
    """The declared trigger. Raises DeclarationError naming the slot (`<task id>#<place in the list>`) and the mend."""
    scope = Scope(f"trigger {slot}", codec)
    if not conditions:
        raise DeclarationError(f"{scope.where}: has no condition: add one, such as .on_event('order.paid')")
    _check_app(conditions, app, scope.where)
    defined = {condition.id: condition for condition in (_defined(draft, scope) for draft in conditions)}
    if logic == "and":
        _check_reachable(list(defined.values()), scope.where)
    for provider in providers:
        if isinstance(provider, ProvidedDraft):
            _check_supplied(provider.context, list(defined.values()), logic, scope.where)
    _check_arguments(providers, target, scope.where)
    given = tuple(provider.define(scope) for provider in providers)
    definition = TriggerDefinition(
        id=trigger_id(target.task_id, logic, tuple(defined), tuple(p.identity(scope) for p in providers)),
        slot=slot,
        task_id=target.task_id,
        logic=logic,
        conditions=tuple(defined.values()),
        providers=given,
        queue=target.settings.queue,
    )
    watched = frozenset(task_id for task_id in map(condition_task, definition.conditions) if task_id is not None)
    return Declared(definition, scope.functions, watched)


def check_call_arguments(condition: Condition, signature: TaskSignature, where: str) -> None:
    """Raises DeclarationError for a call argument that the watched task does not take. `where`: the trigger."""
    wanted = None if isinstance(condition, CronCondition | EventCondition) else condition.call_arguments
    if isinstance(wanted, MappingFilter):
        _, unknown = signature.missing_and_unknown(decode(wanted.value))
        for name in unknown:
            raise DeclarationError(
                f"{where}: {condition.id} could never be met: its call_arguments have {name!r}, "
                f"{_not_taken(name, signature)}"
            )


def _defined(draft: ConditionDraft, scope: Scope) -> Condition:
    condition = draft.define(scope)
    if isinstance(draft, TaskDraft) and not isinstance(draft.task, str):
        check_call_arguments(condition, draft.task.signature, scope.where)
    return condition


def _not_taken(name: str, signature: TaskSignature) -> str:
    hint = did_you_mean(name, signature.names)
    takes = f"it takes {', '.join(signature.names)}" if signature.names else "it takes no arguments"
    return f"which {signature.task_id} does not take{hint or ':'} {takes}"


def _check_app(conditions: Sequence[ConditionDraft], app: object, where: str) -> None:
    for draft in conditions:
        if isinstance(draft, TaskDraft) and not isinstance(draft.task, str) and draft.task.app is not app:
            raise DeclarationError(
                f"{where}: {draft!r} watches a task of another app: an app's log holds its own tasks only; "
                "declare both tasks with one app, or let the other app's task emit an event of this one"
            )


def _ends(condition: Condition) -> frozenset[InvocationStatus]:
    """The final statuses of an invocation that can meet a condition."""
    if isinstance(condition, StatusCondition):
        statuses = frozenset(map(InvocationStatus, condition.statuses))
        return statuses if statuses.issubset(FINAL) else FINAL
    if isinstance(condition, ResultCondition):
        return frozenset({InvocationStatus.SUCCESS})
    if isinstance(condition, AnyResultCondition):
        return frozenset({InvocationStatus.SUCCESS, InvocationStatus.FAILED})
    return frozenset({InvocationStatus.FAILED})


def _check_reachable(conditions: Sequence[Condition], where: str) -> None:
    groups: dict[str, list[Condition]] = {}
    for condition in conditions:
        if (task_id := condition_task(condition)) is not None:
            groups.setdefault(task_id, []).append(condition)
    for task_id, group in groups.items():
        if not FINAL.intersection(*map(_ends, group)):
            told = " and ".join(condition.id for condition in group)
            raise DeclarationError(
                f"{where}: no single invocation of {task_id} can meet {told}, so the trigger could never fire: "
                "use with_logic('or'), or two triggers in a list"
            )


def _check_supplied(context: ContextKind, conditions: Sequence[Condition], logic: Logic, where: str) -> None:
    if context == "trigger":
        return
    lacking = [condition for condition in conditions if context not in SUPPLIES[type(condition)]]
    method = provider_method(context)
    if len(lacking) == len(conditions):
        raise DeclarationError(
            f"{where}: {method} needs a condition that supplies it: add {_SUPPLIERS[context]}, "
            "or use with_args_from_trigger_context"
        )
    if logic == "or" and lacking:
        raise DeclarationError(
            f"{where}: {method} cannot be used, because the trigger also fires on {lacking[0].id} alone, "
            f"which has no {context} context: use two triggers in a list, each with its own provider, "
            "or with_args_from_trigger_context"
        )


def _check_arguments(providers: Sequence[ProviderDraft], target: Target, where: str) -> None:
    signature = target.signature
    static: dict[str, Any] = {}
    for provider in providers:
        if isinstance(provider, StaticDraft):
            static.update(provider.values)
            _check_static(provider.values, target, where)
    missing, _ = signature.missing_and_unknown(static)
    if missing and not any(isinstance(provider, ProvidedDraft) for provider in providers):
        raise DeclarationError(
            f"{where}: nothing supplies the required {', '.join(missing)} of {target.task_id}: add with_args_static or "
            "a with_args_from_… provider, or give defaults"
        )


def _check_static(values: Mapping[str, Any], target: Target, where: str) -> None:
    _, unknown = target.signature.missing_and_unknown(values)
    for name in unknown:
        raise DeclarationError(f"{where}: with_args_static gives {name!r}, {_not_taken(name, target.signature)}")
    for name, value in values.items():
        if (misfit := target.signature.misfit(name, value)) is not None:
            raise DeclarationError(
                f"{where}: with_args_static does not fit {target.task_id}: {misfit}: give a value of the annotated type"
            )
