"""Parts of the audit: equality, unique ids on disk, and bounded memory."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.audit.list_log import ListLog
from tests.unit.engine import oracle
from tests.unit.engine.declaring import raw
from trigger_engine._audit.auditing import audit
from trigger_engine._audit.equality import holds, same
from trigger_engine._audit.report import Findings
from trigger_engine._audit.uniqueness import Uniqueness
from trigger_engine._engine.filters import passes
from trigger_engine._model.definitions import EqualsFilter, EventCondition, MappingFilter, TriggerDefinition
from trigger_engine._model.entries import (
    EMPTY_MAP,
    AnyEntry,
    EventEmitted,
    Judged,
    LeaderElected,
    Participant,
    Started,
    Succeeded,
    TriggerFired,
    TriggersDeclared,
    TriggerSuspended,
)
from trigger_engine._model.ids import derive, run_id, run_invocation_id, status_entry_id
from trigger_engine.backend._contract import Batch, Cursor

SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 2, float("nan"), "1", "a", b"a", ""])
KEYS = st.sampled_from(["a", "b", 1, True, 0])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@given(VALUES, VALUES)
def test_equality_agrees_with_the_matcher_and_the_oracle(value: Any, wanted: Any) -> None:
    value, wanted = (msgspec.msgpack.decode(msgspec.msgpack.encode(one)) for one in (value, wanted))
    assert same(value, wanted) == oracle.same(value, wanted) == passes(EqualsFilter(value=raw(wanted)), value)
    assert holds(value, wanted) == oracle.holds(value, wanted) == passes(MappingFilter(value=raw(wanted)), value)


@pytest.mark.parametrize("in_memory", [1, 3, 100])
def test_duplicate_ids_are_found_in_memory_and_on_disk(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Uniqueness, "IN_MEMORY", in_memory)
    findings = Findings(10)
    with Uniqueness(findings) as ids:
        for position, entry_id in enumerate(["b", "a", "ü\n", "c", "a", "ü\n", "a", "aa"], start=1):
            ids.add(position, entry_id)
        ids.finish()
    assert sorted((one.position, one.entry_id, one.found) for one in findings.violations) == [
        (5, "a", "the id of the entry at 2"),
        (6, "ü\n", "the id of the entry at 3"),
        (7, "a", "the id of the entry at 2"),
    ]
    assert findings.checked["unique ids"] == 8


class EndlessLog:
    """A log of any length, generated while it is read: an event, its run, the decision, a start, an end."""

    refuses_void = True
    dense_positions = True

    def __init__(self, rounds: int) -> None:
        self.last = 2 + 5 * rounds

    async def start(self) -> Cursor:
        return Cursor("endless", 0)

    async def tail(self) -> Cursor:
        return Cursor("endless", self.last)

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        last = min(after.position + limit, self.last)
        found = [(position, _entry(position)) for position in range(after.position + 1, last + 1)]
        return Batch(found, Cursor("endless", last))


CONDITION = EventCondition(id="condition", event_code="code", payload_filter=None)
TRIGGER = TriggerDefinition(
    id="trigger", slot="task#0", task_id="task", logic="or", conditions=(CONDITION,), providers=()
)


def _entry(position: int) -> AnyEntry:
    if position == 1:
        return LeaderElected(id="elected", time=0.0, name="match", runner_id="runner")
    if position == 2:
        return TriggersDeclared(id="declared", time=0.0, term=1, triggers=(TRIGGER,), from_start=True)
    at = (position - 3) // 5 * 5 + 3
    return next(entry for place, entry in enumerate(_round(at)) if place == position - at)


def _round(at: int) -> Iterator[AnyEntry]:
    yield EventEmitted(id=f"event-{at}", time=0.0, event_code="code", payload=EMPTY_MAP)
    run = run_id("trigger", [f"event-{at}"])
    call: dict[str, Any] = {"invocation_id": run_invocation_id(run), "task_id": "task", "arguments": EMPTY_MAP}
    participants = (Participant("condition", f"event-{at}"),)
    yield TriggerFired(
        id=run, time=0.0, cause=f"event-{at}", depth=1, term=1, trigger_id="trigger", slot="task#0",
        participants=participants, **call,
    )  # fmt: skip
    yield Judged(id=derive("judged", 1, at), time=0.0, term=1, upto=at)
    move: dict[str, Any] = {**call, "time": 0.0, "depth": 1, "attempt": 1, "claim_id": f"claim-{at}", "runner_id": "r"}
    yield Started(id=status_entry_id("started", "", f"claim-{at}"), **move)
    yield Succeeded(id=status_entry_id("succeeded", "", f"claim-{at}"), result=raw(None), **move)


@pytest.mark.parametrize("evaluated", [True, False])
async def test_entries_ignored_by_a_suspended_trigger_are_checked(*, evaluated: bool) -> None:
    suspended = TriggerSuspended(id="suspended", time=0.0, term=1, trigger_id="trigger", slot="task#0")
    event = EventEmitted(id="event", time=0.0, event_code="code", payload=EMPTY_MAP)
    log = ListLog([(1, _entry(1)), (2, _entry(2)), (3, suspended), (4, event)])
    if evaluated:
        log.entries.append((5, Judged(id=derive("judged", 1, 4), time=0.0, term=1, upto=4)))
    report = await audit(log)
    assert report.outcomes == {"suspended": 1}
    assert report.checked["entries × triggers"] == 1


async def _peak(rounds: int) -> int:
    tracemalloc.start()
    try:
        report = await audit(EndlessLog(rounds))
        assert report.violations == ()
        assert report.outcomes == {"fired": rounds}
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Uniqueness, "IN_MEMORY", 1_000)
    await _peak(10)
    assert await _peak(4_000) < 2 * await _peak(1_000)
