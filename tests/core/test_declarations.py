"""Declarations: slots, what is in force in them, and since when."""

from __future__ import annotations

import pytest

from tests.core.declaring import on_cron, on_event, trigger
from tests.core.recorded_log import Log
from trigger_engine.core.declarations import DeclarationEntry, Declarations
from trigger_engine.entries.definitions import TriggerDefinition

A = trigger(on_event("a"), slot="0")
B = trigger(on_event("b"), slot="0")
A_MOVED = trigger(on_event("a"), slot="1")
HOURLY = trigger(on_cron("0 * * * *"), slot="0")
HOURLY_TOO = trigger(on_cron("0 * * * *"), on_event("a"), slot="0")
ASIDE = trigger(on_cron("0 * * * *"), slot="2")


def folded(log: Log, declarations: Declarations | None = None) -> Declarations:
    declarations = declarations or Declarations()
    for position, entry in log.entries:
        if isinstance(entry, DeclarationEntry):
            declarations.apply(position, entry)
    return declarations


def in_force(log: Log) -> list[tuple[str, str, float, bool]]:
    """Slot, trigger, since when, suspended."""
    contents = folded(log).slots.values()
    return [(c.trigger.slot[-1], c.trigger.id, c.since, c.suspended) for c in contents]


def test_new_content_of_a_slot_replaces_the_old() -> None:
    log = Log()
    log.declare(A)
    log.declare(B)
    assert in_force(log) == [("0", B.id, 1.0, False)]


def test_the_same_trigger_declared_again_stays_in_force_since_it_came() -> None:
    log = Log()
    log.declare(A)
    log.declare(A)
    assert in_force(log) == [("0", A.id, 0.0, False)]
    assert folded(log).slots[A.slot].declared_at == 10


@pytest.mark.parametrize("second", [(B, A_MOVED), (A_MOVED, B)])
def test_a_trigger_that_moves_to_another_slot_in_one_declaration_stays_in_force(
    second: tuple[TriggerDefinition, ...],
) -> None:
    log = Log()
    log.declare(A)
    log.declare(*second)
    assert sorted(in_force(log)) == [("0", B.id, 1.0, False), ("1", A.id, 0.0, False)]


def test_a_trigger_that_was_gone_comes_anew() -> None:
    log = Log()
    log.declare(A)
    log.declare(B)
    log.declare(A)
    assert in_force(log) == [("0", A.id, 2.0, False)]


def test_a_trigger_in_two_slots_is_gone_when_both_have_other_content() -> None:
    log = Log()
    log.declare(A, A_MOVED)
    log.change("retire", A)
    assert in_force(log) == [("1", A.id, 0.0, False)]
    assert [content.trigger.slot for content in folded(log).of(A.id)] == [A_MOVED.slot]
    log.change("retire", A_MOVED)
    assert in_force(log) == []
    assert folded(log).of(A.id) == []


def test_a_trigger_is_suspended_and_resumed_slot_by_slot() -> None:
    log = Log()
    log.declare(A, A_MOVED)
    log.change("suspend", A)
    assert in_force(log) == [("0", A.id, 0.0, True), ("1", A.id, 0.0, False)]
    log.change("resume", A)
    assert in_force(log) == [("0", A.id, 0.0, False), ("1", A.id, 0.0, False)]


def test_a_suspended_trigger_declared_again_goes_on() -> None:
    log = Log()
    log.declare(A)
    log.change("suspend", A)
    log.declare(A)
    assert in_force(log) == [("0", A.id, 0.0, False)]


@pytest.mark.parametrize("kind", ["suspend", "resume", "retire"])
def test_a_change_of_what_a_slot_does_not_hold_changes_nothing(kind: str) -> None:
    log = Log()
    log.declare(A)
    before = in_force(log)
    log.change(kind, B)
    log.change(kind, A_MOVED)
    assert in_force(log) == before


def test_it_says_which_triggers_may_have_changed() -> None:
    log = Log()
    declarations = Declarations()
    log.declare(A)
    log.declare(B, A_MOVED)
    log.change("suspend", A)
    log.change("suspend", B)
    found = [declarations.apply(at, entry) for at, entry in log.entries if isinstance(entry, DeclarationEntry)]
    assert found == [[A.id], [A.id, B.id], [], [B.id]]


def test_a_schedule_is_in_force_while_any_trigger_has_it() -> None:
    log = Log()
    log.declare(HOURLY)
    log.declare(HOURLY_TOO)
    [cron] = folded(log).crons({})
    assert (cron.condition, cron.last_tick, cron.since) == (on_cron("0 * * * *"), None, 0.0)
    log.declare(ASIDE)
    log.change("retire", HOURLY_TOO)
    log.change("suspend", ASIDE)
    [cron] = folded(log).crons({"cron:0 * * * *": 3600.0})
    assert (cron.last_tick, cron.since) == (3600.0, 0.0)
    log.change("retire", ASIDE)
    assert list(folded(log).crons({})) == []
    assert folded(log).cron_since == {}


def test_a_schedule_that_was_gone_starts_anew_and_forgets_its_older_ticks() -> None:
    log = Log()
    log.declare(HOURLY)
    log.change("retire", HOURLY)
    log.time = 10_000.0
    log.declare(HOURLY)
    [cron] = folded(log).crons({"cron:0 * * * *": 3600.0})
    assert (cron.last_tick, cron.since) == (None, 10_000.0)


def test_a_copy_is_independent() -> None:
    log = Log()
    log.declare(A, ASIDE)
    declarations = folded(log)
    copied = declarations.copy()
    other = Log()
    other.declare(B)
    other.change("retire", ASIDE)
    folded(other, copied)
    assert [content.trigger.id for content in declarations.slots.values()] == [A.id, ASIDE.id]
    assert [content.trigger.id for content in copied.slots.values()] == [B.id]
    assert (len(list(declarations.crons({}))), len(list(copied.crons({})))) == (1, 0)
