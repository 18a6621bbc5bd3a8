"""Queries for declared triggers."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import (
    CallableFilter,
    Condition,
    CronCondition,
    EqualsFilter,
    EventCondition,
    ExceptionCondition,
    Filter,
    Provider,
    ResultCondition,
    StaticArguments,
    StatusCondition,
)
from trigger_engine._readmodel.projection.projection_state import ACTIVE, SUSPENDED, decode_definition
from trigger_engine._readmodel.queries.read_snapshot import Decode, ReadSnapshot, optional_datetime, to_datetime
from trigger_engine._readmodel.records import (
    ConditionRecord,
    FilterRecord,
    Page,
    ProviderRecord,
    TriggerRecord,
    TriggerState,
)
from trigger_engine._readmodel.store.rows import TriggerRow


def triggers(
    snapshot: ReadSnapshot, *, task_id: str | None, state: TriggerState | None, trigger_id: str | None = None
) -> Page[TriggerRecord]:
    """Returns all triggers that match the filters, most recently declared first."""
    columns = ", ".join(TriggerRow.__struct_fields__)
    rows = [
        TriggerRow(*row)
        for row in snapshot.rows(
            f"""SELECT {columns} FROM triggers WHERE state = ifnull(?, state) AND trigger_id = ifnull(?, trigger_id)
            ORDER BY position DESC, slot DESC""",
            (state, trigger_id),
        )
    ]
    waiting: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for of, condition_id, complete, every in snapshot.rows(
        "SELECT trigger_id, condition_id, count(settled_at), count(*) FROM kept WHERE waiting "
        "GROUP BY trigger_id, condition_id"
    ):
        waiting[of][condition_id] = (complete, every - complete)
    records = (_record(snapshot, row, waiting[row.trigger_id]) for row in rows)
    return Page(tuple(record for record in records if task_id in (None, record.task_id)))


def trigger_of_condition(snapshot: ReadSnapshot, condition_id: str) -> TriggerRecord | None:
    """Returns the most recently declared trigger that has a condition with this id, or None."""
    every = triggers(snapshot, task_id=None, state=None)
    return next((one for one in every if any(c.condition_id == condition_id for c in one.conditions)), None)


def _record(snapshot: ReadSnapshot, row: TriggerRow, waiting: dict[str, tuple[int, int]]) -> TriggerRecord:
    trigger = decode_definition(row.definition)
    ids = tuple(dict.fromkeys(condition.id for condition in trigger.conditions))
    waits = trigger.logic == "and" and len(ids) > 1 and row.state in (ACTIVE, SUSPENDED)
    return TriggerRecord(
        trigger_id=row.trigger_id,
        slot=row.slot,
        task_id=trigger.task_id,
        logic=trigger.logic,
        queue=trigger.queue,
        conditions=tuple(condition_record(condition, snapshot.decode) for condition in trigger.conditions),
        providers=tuple(_provider(provider, snapshot.decode) for provider in trigger.providers),
        declared_at=to_datetime(row.declared_time),
        state=row.state,  # type: ignore[arg-type]
        state_since=to_datetime(row.state_time),
        runs=row.runs,
        rejected=row.rejected,
        last_fired=optional_datetime(row.last_fired),
        last_run_id=row.last_run_id,
        waiting={condition_id: waiting.get(condition_id, (0, 0))[0] for condition_id in ids} if waits else {},
        missing=tuple(one for one in ids if waiting.get(one, (0, 0))[0] == 0) if waits else (),
        partial={condition_id: partial for condition_id, (_, partial) in waiting.items() if partial and waits},
        position=row.position,
    )


def condition_record(condition: Condition, decode: Decode) -> ConditionRecord:
    """Returns a declared condition as a record."""
    kind = str(condition.__struct_config__.tag)
    if isinstance(condition, CronCondition):
        return ConditionRecord(
            condition_id=condition.id,
            kind="cron",
            expression=condition.expression,
            timezone=condition.timezone,
            catch_up=condition.catch_up,
            catch_up_window=condition.catch_up_window,
        )
    if isinstance(condition, EventCondition):
        filters = _filters(decode, payload=condition.payload_filter)
        return ConditionRecord(
            condition_id=condition.id, kind="event", event_code=condition.event_code, filters=filters
        )
    statuses = condition.statuses if isinstance(condition, StatusCondition) else ()
    return ConditionRecord(
        condition_id=condition.id,
        kind=kind,  # type: ignore[arg-type]
        task_id=condition.task_id,
        statuses=tuple(InvocationStatus(status) for status in statuses),
        exception_types=condition.exception_types if isinstance(condition, ExceptionCondition) else (),
        filters=_filters(
            decode,
            arguments=condition.call_arguments,
            result=condition.result_filter if isinstance(condition, ResultCondition) else None,
        ),
    )


def _filters(
    decode: Decode, *, payload: Filter | None = None, arguments: Filter | None = None, result: Filter | None = None
) -> tuple[FilterRecord, ...]:
    found: list[FilterRecord] = []
    if payload is not None:
        found.append(msgspec.structs.replace(_filter(payload, decode), of="payload"))
    if arguments is not None:
        found.append(msgspec.structs.replace(_filter(arguments, decode), of="arguments"))
    if result is not None:
        found.append(msgspec.structs.replace(_filter(result, decode), of="result"))
    return tuple(found)


def _filter(filter_: Filter, decode: Decode) -> FilterRecord:
    if isinstance(filter_, CallableFilter):
        return FilterRecord(of="payload", kind="callable", name=filter_.name)
    value = decode(bytes(filter_.value))
    return FilterRecord(of="payload", kind="equals" if isinstance(filter_, EqualsFilter) else "mapping", value=value)


def _provider(provider: Provider, decode: Decode) -> ProviderRecord:
    if isinstance(provider, StaticArguments):
        return ProviderRecord(context="static", value=decode(bytes(provider.value)))
    return ProviderRecord(context=provider.context, name=provider.name)
