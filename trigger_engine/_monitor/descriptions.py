"""Describes conditions, triggers and providers in words."""

from __future__ import annotations

from trigger_engine._monitor.formatting import cut, short_task
from trigger_engine._readmodel.json_text import json_text
from trigger_engine._readmodel.records import ConditionRecord, FilterRecord, ProviderRecord, TriggerRecord

_CONTEXTS = {
    "event": "the event",
    "status": "the status",
    "result": "the result",
    "exception": "the exception",
    "cron": "the scheduled time",
    "trigger": "everything that met the trigger",
}


def describe_condition(condition: ConditionRecord) -> str:
    """Describes what a condition waits for: `event user.login, where the payload has {"role":"admin"}`."""
    return ", ".join([_source(condition), *map(_filter, condition.filters)])


def describe_provider(provider: ProviderRecord) -> str:
    """Describes where arguments come from."""
    if provider.name is None:
        return f"fixed: {cut(json_text(provider.value), 300)}"
    return f"{provider.name}, from {_CONTEXTS.get(provider.context, provider.context)}"


def describe_trigger(trigger: TriggerRecord) -> str:
    """Describes when a trigger fires: its conditions, joined by their logic."""
    joined = " or " if trigger.logic == "or" else " and "
    return joined.join(describe_condition(one) for one in trigger.conditions)


def _source(condition: ConditionRecord) -> str:
    task = short_task(condition.task_id or "")
    match condition.kind:
        case "cron":
            return f"schedule {condition.expression} ({condition.timezone})"
        case "event":
            return f"event {condition.event_code}"
        case "status":
            return f"{task} is {' or '.join(condition.statuses)}"
        case "result":
            return f"{task} succeeds"
        case "any-result":
            return f"{task} succeeds or fails"
        case "exception":
            types = " or ".join(condition.exception_types)
            return f"{task} fails" + (f" with {types}" if types else "")


def _filter(filter_: FilterRecord) -> str:
    if filter_.kind == "callable":
        return f"where {filter_.name} accepts the {filter_.of}"
    value = cut(json_text(filter_.value), 120)
    return f"where the {filter_.of} {'is' if filter_.kind == 'equals' else 'has'} {value}"
