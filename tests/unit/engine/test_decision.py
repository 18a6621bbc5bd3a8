"""The entries that record a decision."""

from __future__ import annotations

import pytest

from tests.unit.engine.declaring import on_event, raw, trigger
from tests.unit.engine.recorded_log import Log
from trigger_engine._engine.decision import Decision, FilterError, Limits, compose
from trigger_engine._engine.matcher import Matcher
from trigger_engine._model.entries import (
    ChainEnded,
    ContributionKept,
    FilterFailed,
    Judged,
    Participant,
    TriggerFired,
    TriggerRejected,
)
from trigger_engine._model.ids import run_id, run_invocation_id

RUN = trigger(on_event("a"), slot="0", queue="slow")
DEEP = trigger(on_event("deep"), slot="1")
WAITS = trigger(on_event("b"), on_event("c"), logic="and", slot="2")
ASKS = trigger(on_event("a", "?f"), slot="3")


def decision_of_everything() -> tuple[Decision, list[str]]:
    log = Log()
    log.elect()
    log.declare(RUN, DEEP, WAITS, ASKS, from_start=True)
    events = [log.event("a", depth=2), log.event("a"), log.event("b"), log.event("deep", depth=3)]
    matcher = Matcher(Limits(max_chain_length=3), track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    error = FilterError("m.f", "too slow")
    return matcher.evaluate({(30, ASKS.conditions[0].id): error}), events


def test_recorded_entries_are_runs_rejections_failures_ended_chains_and_judged_in_this_order() -> None:
    decision, events = decision_of_everything()
    runs = [run_id(RUN.id, [event]) for event in events[:2]]
    part = compose(decision, {runs[0]: "no such argument", runs[1]: raw({"x": 1})}, term=10, now=99.0)
    assert [type(entry) for entry in part] == [TriggerFired, TriggerRejected, FilterFailed, ChainEnded, Judged]
    fired, rejected, failed, ended, evaluated = part
    assert fired == TriggerFired(
        id=runs[1], time=99.0, cause=events[1], depth=1, invocation_id=run_invocation_id(runs[1]), task_id="m.target",
        arguments=raw({"x": 1}), term=10, trigger_id=RUN.id, slot=RUN.slot, queue="slow",
        participants=(Participant(on_event("a").id, events[1]),),
    )  # fmt: skip
    assert rejected == TriggerRejected(
        id=runs[0], time=99.0, cause=events[0], depth=3, term=10, trigger_id=RUN.id, slot=RUN.slot, task_id="m.target",
        participants=(Participant(on_event("a").id, events[0]),), error="no such argument",
    )  # fmt: skip
    assert failed == FilterFailed(
        id=failed.id, time=99.0, cause=events[0], term=10, condition_id=ASKS.conditions[0].id, entry_id=events[0],
        filter="m.f", error="too slow",
    )  # fmt: skip
    assert ended == ChainEnded(
        id=ended.id, time=99.0, cause=events[3], depth=4, term=10, trigger_id=DEEP.id, slot=DEEP.slot,
        entry_id=events[3],
    )  # fmt: skip
    kept = (ContributionKept(WAITS.id, on_event("b").id, events[2]),)
    assert evaluated == Judged(id=evaluated.id, time=99.0, term=10, upto=60, kept=kept)


def test_entry_ids_do_not_depend_on_the_leader_that_writes_them() -> None:
    decision, events = decision_of_everything()
    arguments = {run_id(RUN.id, [event]): raw({}) for event in events[:2]}
    first = compose(decision, arguments, term=10, now=1.0)
    second = compose(decision, arguments, term=20, now=2.0)
    assert [entry.id for entry in first][:-1] == [entry.id for entry in second][:-1]
    assert first[-1].id != second[-1].id
    assert len({entry.id for entry in first}) == len(first)


def test_run_without_arguments_raises_key_error() -> None:
    decision, _ = decision_of_everything()
    with pytest.raises(KeyError):
        compose(decision, {}, term=10, now=0.0)
