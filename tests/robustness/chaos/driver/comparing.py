"""The audit, the oracle and the history on what a run has left: all must tell the same story."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tests.robustness.chaos.driver.archive import Archive
from tests.robustness.chaos.driver.checks import Items
from tests.robustness.chaos.driver.findings import Findings
from tests.unit.engine.oracle import runs_of
from trigger_engine import TriggerEngine
from trigger_engine._audit.auditing import audit
from trigger_engine._audit.join_state import AuditLimits
from trigger_engine._audit.report import AuditReport
from trigger_engine._audit.user_code import UserCode
from trigger_engine._engine.decision import Limits
from trigger_engine._model.definitions import Condition, CronCondition, EventCondition, TriggerDefinition
from trigger_engine._model.entries import (
    AnyEntry,
    CronTicked,
    EventEmitted,
    FilterFailed,
    InvocationEntry,
    Position,
    TriggerFired,
    TriggerRejected,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import Page

R = TypeVar("R")
_ROWS = 1_000
_PART = 60
"""About how many entries the oracle, which looks at all that came before each, is given at a time."""

Callables = Mapping[str, Callable[..., Any]]


async def check_audits(app: TriggerEngine, archive: Archive, callables: Callables, findings: Findings) -> None:
    """Requires that the trimmed log and the whole log are consistent, and that every entry is evaluated."""
    code = UserCode(callables)
    whole = await audit(archive, code=code, limits=AuditLimits())
    findings.audited = sum(whole.entries.values())
    for name, report in (("the log", await audit(app, code=code)), ("the archive", whole)):
        findings.require(report.consistent, f"the audit of {name}: {report.violation_counts} {report.violations[:3]}")
    findings.require(not _unevaluated(whole), f"not evaluated: {whole.outcomes}")


def _unevaluated(report: AuditReport) -> int:
    return sum(count for outcome, count in report.outcomes.items() if "not yet" in outcome)


def check_oracle(items: Items, callables: Callables, findings: Findings) -> None:
    """The naive matcher makes the same runs of each trigger that was ever active, and no others."""
    made: defaultdict[str, set[str]] = defaultdict(set)
    unasked: set[tuple[str, str]] = set()
    triggers: dict[str, TriggerDefinition] = {}
    for _, entry in items:
        if isinstance(entry, (TriggerFired, TriggerRejected)):
            made[entry.trigger_id].add(entry.id)
        elif isinstance(entry, FilterFailed) and "has no function" in entry.error:
            # Only a leader with other code was left: it says so of what came before it could suspend the trigger.
            unasked.add((entry.condition_id, entry.entry_id))
        elif isinstance(entry, TriggersDeclared):
            triggers |= {trigger.id: trigger for trigger in entry.triggers}
    for trigger in triggers.values():
        wanted: set[str] = set()
        for part in _parts(items, trigger):
            runs = runs_of(trigger.id, part, Limits(), lambda name, value: bool(callables[name](value)), set())
            wanted |= {run.run_id for run in runs if not run.ended and unasked.isdisjoint(run.participants)}
        more, missing = made[trigger.id] - wanted, wanted - made[trigger.id]
        findings.require(
            not more and not missing,
            f"{trigger.id}: by the oracle {len(missing)} runs are missing and {len(more)} are too many",
        )


def _parts(items: Items, trigger: TriggerDefinition) -> Iterator[list[tuple[Position, AnyEntry]]]:
    """What concerns a trigger; where no sources must come together, split by source, for the oracle is slow."""
    origins = {_origin(condition) for condition in trigger.conditions}
    frame = list(_declaring(items, trigger))
    own = [item for item in items if _origin(item[1]) in origins]
    if trigger.logic == "and" and len(origins) > 1:
        yield _in_order(frame, own)
        return
    by_source: defaultdict[str, list[tuple[Position, AnyEntry]]] = defaultdict(list)
    for item in own:
        by_source[item[1].invocation_id if isinstance(item[1], InvocationEntry) else item[1].id].append(item)
    part: list[tuple[Position, AnyEntry]] = []
    for source in by_source.values():
        part += source
        if len(part) >= _PART:
            yield _in_order(frame, part)
            part = []
    yield _in_order(frame, part)


def _declaring(items: Items, trigger: TriggerDefinition) -> Iterator[tuple[Position, AnyEntry]]:
    """What says when a trigger was active: the first declaration, and whatever concerns its slot."""
    is_first = True
    for position, entry in items:
        if isinstance(entry, TriggersDeclared):
            of_slot = tuple(one for one in entry.triggers if one.slot == trigger.slot)
            if of_slot or is_first:
                yield position, msgspec.structs.replace(entry, triggers=of_slot)
            is_first = False
        elif isinstance(entry, (TriggerSuspended, TriggerResumed, TriggerRetired)) and entry.slot == trigger.slot:
            yield position, entry


def _origin(one: Condition | AnyEntry) -> str:
    """Where what is waited for comes from: a task, an event code or a schedule; empty for the leaders' own entries."""
    if isinstance(one, (EventCondition, EventEmitted)):
        return f"event {one.event_code}"
    if isinstance(one, CronTicked):
        return one.condition_id
    return one.id if isinstance(one, CronCondition) else str(getattr(one, "task_id", ""))


def _in_order(*parts: Items) -> list[tuple[Position, AnyEntry]]:
    return sorted(chain(*parts), key=lambda item: item[0])


_VOID = "void entries"


async def check_histories(app: TriggerEngine, archive: Archive, folder: Path, findings: Findings) -> None:
    """The read model that grew all the while, one folded afresh, and one folded from the archive say the same."""
    grown = await _told(app.history())
    with _cache_folder(folder / "fresh"):
        fresh = await _told(app.history())
    of_archive = History(archive, app_id="archive", location="archive", cache_folder=folder / "archive")
    complete = await _told(of_archive)
    for name, told in (("the one folded afresh", fresh), ("the one of the archive", complete)):
        for what, rows in grown.items():
            differing = sorted(set(map(str, rows)) ^ set(map(str, told[what])))
            if what == _VOID and told is fresh and not archive.refuses_void:
                # That an entry came second does not show where the first one is trimmed.
                differing = sorted(set(map(str, told[what])) - set(map(str, rows)))
            findings.require(not differing, f"history: {what} differ from {name}: {len(differing)}, {differing[:4]}")
    runs = {entry.id for _, entry in archive.items if isinstance(entry, (TriggerFired, TriggerRejected))}
    foreign = {str(run_id) for run_id, *_ in grown["runs"]} - runs
    findings.require(not foreign, f"history: runs that the log does not have: {sorted(foreign)[:3]}")


async def _told(history: History) -> dict[str, list[tuple[object, ...]]]:
    async with history:
        runs = await _all(history.trigger_runs)
        invocations = await _all(history.invocations)
        events = await _all(history.events)
        void = await _all(history.void)
    return {
        "runs": [(run.run_id, run.invocation_id, run.error is None) for run in runs],
        "invocations": [(one.invocation_id, one.status) for one in invocations],
        "events": [(event.event_id, event.event_code, event.trigger_run_ids) for event in events],
        _VOID: [(entry.entry_id,) for entry in void],
    }


async def _all(query: Callable[..., Awaitable[Page[R]]]) -> list[R]:
    found: list[R] = []
    cursor: str | None = None
    while True:
        page = await query(limit=_ROWS, cursor=cursor)
        found += page
        cursor = page.next_cursor
        if cursor is None:
            return found


@contextmanager
def _cache_folder(folder: Path) -> Iterator[None]:
    former = os.environ["XDG_CACHE_HOME"]
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        yield
    finally:
        os.environ["XDG_CACHE_HOME"] = former
