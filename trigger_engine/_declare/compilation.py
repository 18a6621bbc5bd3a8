"""Compiles a builder to a declared trigger: definitions for the log, functions for the runner, and all checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trigger_engine._declare.condition_ids import trigger_id
from trigger_engine._declare.signature import TaskSignature
from trigger_engine._declare.specs import (
    ConditionSpec,
    Logic,
    ProvidedSpec,
    ProviderSpec,
    Scope,
    StaticSpec,
    TaskSpec,
    provider_method,
)
from trigger_engine._declare.values import Codec
from trigger_engine._engine.filters import decode
from trigger_engine._engine.lifecycle import FINAL, InvocationStatus
from trigger_engine._model.definitions import (
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
from trigger_engine._suggestions import did_you_mean
from trigger_engine.errors import DeclarationError

SUPPLIES: dict[type[Condition], frozenset[ContextKind]] = {
    CronCondition: frozenset({"cron"}),
    EventCondition: frozenset({"event"}),
    StatusCondition: frozenset({"status"}),
    ResultCondition: frozenset({"result", "status"}),
    AnyResultCondition: frozenset({"result", "status"}),
    ExceptionCondition: frozenset({"exception", "status"}),
}
"""The contexts that a condition supplies each time it is met."""

_SUPPLIERS = {
    "event": "on_event",
    "status": "on_status, on_result, on_any_result or on_exception",
    "result": "on_result or on_any_result",
    "exception": "on_exception",
    "cron": "on_cron",
}


class TargetSettings(Protocol):
    """The settings of a task that its triggers use."""

    @property
    def queue(self) -> str: ...


class Target(Protocol):
    """The task that a trigger starts."""

    @property
    def task_id(self) -> str: ...
    @property
    def signature(self) -> TaskSignature: ...
    @property
    def settings(self) -> TargetSettings: ...


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared trigger. `callables`: its user functions by name; `referenced_tasks`: ids of the tasks it watches."""

    definition: TriggerDefinition
    callables: Mapping[str, Callable[..., Any]]
    referenced_tasks: frozenset[str]


def declare_trigger(
    conditions: Sequence[ConditionSpec],
    providers: Sequence[ProviderSpec],
    logic: Logic,
    *,
    target: Target,
    slot: str,
    codec: Codec,
    registry: object,
) -> Declared:
    """Compiles a trigger. Raises DeclarationError with the slot (`<task id>#<index in the list>`) and the fix."""
    scope = Scope(f"trigger {slot}", codec)
    if not conditions:
        raise DeclarationError(f"{scope.where}: has no condition: add one, such as .on_event('order.paid')")
    _check_registry(conditions, registry, scope.where)
    defined = {condition.id: condition for condition in (_defined(spec, scope) for spec in conditions)}
    if logic == "and":
        _check_reachable(list(defined.values()), scope.where)
    for provider in providers:
        if isinstance(provider, ProvidedSpec):
            _check_supplied(provider.context, list(defined.values()), logic, scope.where)
    _check_arguments(providers, target, scope.where)
    provider_definitions = tuple(provider.define(scope) for provider in providers)
    definition = TriggerDefinition(
        id=trigger_id(target.task_id, logic, tuple(defined), tuple(p.identity(scope) for p in providers)),
        slot=slot,
        task_id=target.task_id,
        logic=logic,
        conditions=tuple(defined.values()),
        providers=provider_definitions,
        queue=target.settings.queue,
    )
    watched = frozenset(task_id for task_id in map(condition_task, definition.conditions) if task_id is not None)
    return Declared(definition, scope.functions, watched)


def check_call_arguments(condition: Condition, signature: TaskSignature, where: str) -> None:
    """Raises DeclarationError for a call argument that the watched task does not have. `where`: the trigger."""
    wanted = None if isinstance(condition, CronCondition | EventCondition) else condition.call_arguments
    if isinstance(wanted, MappingFilter):
        _, unknown = signature.missing_and_unknown(decode(wanted.value))
        for name in unknown:
            raise DeclarationError(
                f"{where}: {condition.id} can never be met: its call_arguments have {name!r}, "
                f"{_not_taken(name, signature)}"
            )


def _defined(spec: ConditionSpec, scope: Scope) -> Condition:
    condition = spec.define(scope)
    if isinstance(spec, TaskSpec) and not isinstance(spec.task, str):
        check_call_arguments(condition, spec.task.signature, scope.where)
    return condition


def _not_taken(name: str, signature: TaskSignature) -> str:
    hint = did_you_mean(name, signature.names)
    takes = f"it takes {', '.join(signature.names)}" if signature.names else "it takes no arguments"
    return f"which {signature.task_id} does not take{hint or ':'} {takes}"


def _check_registry(conditions: Sequence[ConditionSpec], registry: object, where: str) -> None:
    for spec in conditions:
        if isinstance(spec, TaskSpec) and not isinstance(spec.task, str) and spec.task.registry is not registry:
            raise DeclarationError(
                f"{where}: {spec!r} watches a task of another app, but the log of an app holds only its own tasks: "
                "declare both tasks with one app, or emit an event of this app in the other task"
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
            condition_ids = " and ".join(condition.id for condition in group)
            raise DeclarationError(
                f"{where}: no single invocation of {task_id} can meet {condition_ids}, so the trigger can never fire: "
                "use with_logic('or'), or two triggers in a list"
            )


def _check_supplied(context: ContextKind, conditions: Sequence[Condition], logic: Logic, where: str) -> None:
    if context == "trigger":
        return
    lacking = [condition for condition in conditions if context not in SUPPLIES[type(condition)]]
    method = provider_method(context)
    if len(lacking) == len(conditions):
        raise DeclarationError(
            f"{where}: {method} needs a condition that supplies its context: add {_SUPPLIERS[context]}, "
            "or use with_args_from_trigger_context"
        )
    if logic == "or" and lacking:
        raise DeclarationError(
            f"{where}: {method} cannot be used, because the trigger also fires on {lacking[0].id} alone, "
            f"which has no {context} context: use two triggers in a list, each with its own provider, "
            "or with_args_from_trigger_context"
        )


def _check_arguments(providers: Sequence[ProviderSpec], target: Target, where: str) -> None:
    signature = target.signature
    static: dict[str, Any] = {}
    for provider in providers:
        if isinstance(provider, StaticSpec):
            static.update(provider.values)
            _check_static(provider.values, target, where)
    missing, _ = signature.missing_and_unknown(static)
    if missing and not any(isinstance(provider, ProvidedSpec) for provider in providers):
        raise DeclarationError(
            f"{where}: nothing supplies {', '.join(missing)}, which {target.task_id} requires: "
            "add with_args_static or a with_args_from_… provider, or give the parameter a default"
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
