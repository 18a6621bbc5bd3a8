"""Conditions, triggers and providers in words."""

from __future__ import annotations

from trigger_engine.history import ConditionRecord, FilterRecord, ProviderRecord, TriggerRecord
from trigger_engine.history.json_text import json_text
from trigger_engine.monitor.formatting import cut, short_task

_CONTEXTS = {
    "event": "the event",
    "status": "the status",
    "result": "the result",
    "exception": "the exception",
    "cron": "the scheduled time",
    "trigger": "all that met the trigger",
}


def condition_words(condition: ConditionRecord) -> str:
    """What a condition waits for, as a sentence part: `event user.login, where payload has {"role":"admin"}`."""
    return ", ".join([_source(condition), *map(_filter, condition.filters)])


def provider_words(provider: ProviderRecord) -> str:
    """Where arguments come from."""
    if provider.name is None:
        return f"fixed: {cut(json_text(provider.value), 300)}"
    return f"{provider.name}, from {_CONTEXTS.get(provider.context, provider.context)}"


def trigger_words(trigger: TriggerRecord) -> str:
    """When a trigger fires: its conditions, joined by their logic."""
    joined = " or " if trigger.logic == "or" else " and "
    return joined.join(condition_words(one) for one in trigger.conditions)


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
        return f"where {filter_.name} says yes to the {filter_.of}"
    value = cut(json_text(filter_.value), 120)
    return f"where the {filter_.of} {'is' if filter_.kind == 'equals' else 'has'} {value}"
