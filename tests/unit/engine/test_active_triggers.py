"""Which triggers are active for which entries. Every log is also checked with the oracle."""

from __future__ import annotations

import pytest

from tests.unit.engine.declaring import on_cron, on_event, on_status, trigger
from tests.unit.engine.leading import evaluated, fired, read
from tests.unit.engine.recorded_log import Log, log_for, log_with
from trigger_engine._engine.decision import Limits
from trigger_engine._engine.matcher import Matcher
from trigger_engine._model.definitions import TriggerDefinition

ONE, TWO = trigger(on_event("a"), slot="0"), trigger(on_event("b"), slot="0")
AND = trigger(on_event("a"), on_event("b"), logic="and", slot="1")
AND_MOVED = trigger(on_event("a"), on_event("b"), logic="and", slot="2")
RUNNING_AND_SUCCESS = (on_status("m.f", "running"), on_status("m.f", "success"))
MINUTELY = on_cron("* * * * *")


def test_first_declaration_covers_the_log_from_its_start() -> None:
    log = Log()
    early = log.event("a")
    log.elect()
    log.declare(trigger(on_event("a")), from_start=True)
    late = log.event("a")
    assert fired(log) == [(early,), (late,)]


@pytest.mark.parametrize("from_start", [False, True])
def test_later_declaration_covers_only_the_entries_after_it(from_start: bool) -> None:
    log = log_with()
    log.event("a")
    log.declare(trigger(on_event("a")), from_start=from_start)
    late = log.event("a")
    assert fired(log) == [(late,)]


def test_first_declaration_may_cover_only_the_entries_after_it() -> None:
    log = Log()
    log.event("a")
    log.elect()
    log.declare(trigger(on_event("a")))
    late = log.event("a")
    assert fired(log) == [(late,)]


@pytest.mark.parametrize("known", [False, True])
def test_suspension_before_the_first_declaration_is_ignored(known: bool) -> None:
    log = Log()
    log.event("x")
    log.elect()
    log.change("suspend", ONE)
    log.declare(ONE, from_start=True)
    event = log.event("a")
    assert fired(log) == [(event,)]
    matcher = Matcher(Limits(), track_keys=True)
    if known:
        matcher.declare_first(log.entries[3][1])  # type: ignore[arg-type]
    for position, entry in log.entries:
        matcher.read(position, entry)
    assert [firing.cause for firing in matcher.evaluate({}).firings] == [event]


def test_void_declaration_declares_nothing() -> None:
    log = Log()
    log.declare(trigger(on_event("a")), from_start=True, term=5)
    log.elect()
    log.event("a")
    assert fired(log) == []


def test_new_content_of_a_slot_counts_from_its_position() -> None:
    log = log_with(ONE)
    first = log.event("a")
    log.declare(TWO)
    log.event("a")
    second = log.event("b")
    assert fired(log) == [(first,), (second,)]


@pytest.mark.parametrize(
    "declarations",
    [(AND,), (AND_MOVED,), (AND_MOVED, trigger(on_event("b"), slot="1")), (ONE, AND)],
    ids=["again", "in another slot too", "moved", "with others"],
)
def test_contributions_stay_while_the_trigger_is_active_in_any_slot(
    declarations: tuple[TriggerDefinition, ...],
) -> None:
    log = log_with(AND)
    first = log.event("a")
    log.declare(*declarations)
    second = log.event("b")
    assert (first, second) in fired(log)


@pytest.mark.parametrize("how", ["retire", "replace"])
def test_contributions_are_removed_with_the_trigger(how: str) -> None:
    log = log_with(AND)
    log.event("a")
    if how == "retire":
        log.change("retire", AND)
    else:
        log.declare(trigger(on_event("c"), slot="1"))
    log.declare(AND)
    log.event("b")
    assert fired(log) == []


def test_partial_groups_are_removed_with_the_trigger() -> None:
    group = trigger(*RUNNING_AND_SUCCESS, logic="and", slot="0")
    log = log_with(group)
    call = log.call("m.f")
    call.start()
    log.change("retire", group)
    matcher = read(log)
    matcher.evaluate({})
    assert not matcher._triggers._open_groups
    log.declare(group)
    call.succeed()
    assert fired(log) == []


def test_suspended_trigger_evaluates_nothing_and_keeps_its_contributions() -> None:
    log = log_with(AND, ONE)
    first = log.event("a")
    log.change("suspend", AND)
    missed = log.event("b")
    log.change("resume", AND)
    second = log.event("b")
    runs = fired(log)
    assert (first, second) in runs
    assert all(missed not in run for run in runs)


def test_trigger_suspended_in_one_of_its_slots_stays_active() -> None:
    log = log_with(AND, AND_MOVED)
    log.change("suspend", AND)
    log.event("a")
    log.event("b")
    [firing] = evaluated(log)[-1].firings
    assert firing.slot == AND_MOVED.slot


def test_run_names_the_first_slot_that_is_not_suspended() -> None:
    log = log_with(AND_MOVED, AND)
    log.event("a")
    log.event("b")
    [firing] = evaluated(log)[-1].firings
    assert firing.slot == AND.slot


def test_retired_trigger_never_fires() -> None:
    log = log_with(ONE)
    log.change("retire", ONE)
    log.event("a")
    assert fired(log) == []
    assert read(log).active_triggers() == []


def test_active_triggers_are_those_after_the_newest_entry_read() -> None:
    log = log_with(ONE)
    log.event("a")
    log.declare(TWO, AND)
    log.change("suspend", AND)
    matcher = read(log)
    assert matcher.unevaluated
    assert [(c.trigger.id, c.suspended, c.declared_at) for c in matcher.active_triggers()] == [
        (TWO.id, False, 40), (AND.id, True, 40),
    ]  # fmt: skip


def test_first_declaration_may_be_known_before_it_is_read() -> None:
    log = log_with(ONE)
    first = log.entries[1][1]
    event = log.event("a")
    matcher = Matcher(Limits(), track_keys=True)
    matcher.declare_first(first)  # type: ignore[arg-type]
    assert matcher.declared
    for position, entry in log.entries:
        matcher.read(position, entry)
    assert [firing.cause for firing in matcher.evaluate({}).firings] == [event]
    assert matcher.active_triggers()[0].declared_at == 0


def test_active_schedules_have_their_newest_tick() -> None:
    log = log_for(MINUTELY)
    assert list(read(log).cron_conditions()) == [(MINUTELY, None, 1.0)]
    log.tick(MINUTELY.id, 120.0)
    log.tick(MINUTELY.id, 60.0)
    log.tick(MINUTELY.id, 180.0, term=5)
    assert list(read(log).cron_conditions()) == [(MINUTELY, 60.0, 1.0)]
