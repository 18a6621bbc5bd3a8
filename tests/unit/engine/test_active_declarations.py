"""ActiveDeclarations: the active triggers of the slots, and since when they are active."""

from __future__ import annotations

import pytest

from tests.unit.engine.declaring import on_cron, on_event, trigger
from tests.unit.engine.recorded_log import Log
from trigger_engine._engine.active_declarations import ActiveDeclarations, DeclarationEntry
from trigger_engine._model.definitions import TriggerDefinition

A = trigger(on_event("a"), slot="0")
B = trigger(on_event("b"), slot="0")
A_MOVED = trigger(on_event("a"), slot="1")
HOURLY = trigger(on_cron("0 * * * *"), slot="0")
HOURLY_TOO = trigger(on_cron("0 * * * *"), on_event("a"), slot="0")
ASIDE = trigger(on_cron("0 * * * *"), slot="2")


def folded(log: Log, declarations: ActiveDeclarations | None = None) -> ActiveDeclarations:
    declarations = declarations or ActiveDeclarations()
    for position, entry in log.entries:
        if isinstance(entry, DeclarationEntry):
            declarations.apply(position, entry)
    return declarations


def active_triggers(log: Log) -> list[tuple[str, str, float, bool]]:
    """Slot, trigger, since when, suspended."""
    contents = folded(log).slots.values()
    return [(c.trigger.slot[-1], c.trigger.id, c.since, c.suspended) for c in contents]


def test_new_content_of_a_slot_replaces_the_old() -> None:
    log = Log()
    log.declare(A)
    log.declare(B)
    assert active_triggers(log) == [("0", B.id, 1.0, False)]


def test_same_trigger_declared_again_keeps_its_start() -> None:
    log = Log()
    log.declare(A)
    log.declare(A)
    assert active_triggers(log) == [("0", A.id, 0.0, False)]
    assert folded(log).slots[A.slot].declared_at == 10


@pytest.mark.parametrize("second", [(B, A_MOVED), (A_MOVED, B)])
def test_trigger_that_moves_to_another_slot_in_one_declaration_stays_active(
    second: tuple[TriggerDefinition, ...],
) -> None:
    log = Log()
    log.declare(A)
    log.declare(*second)
    assert sorted(active_triggers(log)) == [("0", B.id, 1.0, False), ("1", A.id, 0.0, False)]


def test_trigger_that_was_removed_starts_again() -> None:
    log = Log()
    log.declare(A)
    log.declare(B)
    log.declare(A)
    assert active_triggers(log) == [("0", A.id, 2.0, False)]


def test_trigger_in_two_slots_is_removed_when_both_are_replaced() -> None:
    log = Log()
    log.declare(A, A_MOVED)
    log.change("retire", A)
    assert active_triggers(log) == [("1", A.id, 0.0, False)]
    assert [content.trigger.slot for content in folded(log).of(A.id)] == [A_MOVED.slot]
    log.change("retire", A_MOVED)
    assert active_triggers(log) == []
    assert folded(log).of(A.id) == []


def test_trigger_is_suspended_and_resumed_per_slot() -> None:
    log = Log()
    log.declare(A, A_MOVED)
    log.change("suspend", A)
    assert active_triggers(log) == [("0", A.id, 0.0, True), ("1", A.id, 0.0, False)]
    log.change("resume", A)
    assert active_triggers(log) == [("0", A.id, 0.0, False), ("1", A.id, 0.0, False)]


def test_suspended_trigger_that_is_declared_again_is_active() -> None:
    log = Log()
    log.declare(A)
    log.change("suspend", A)
    log.declare(A)
    assert active_triggers(log) == [("0", A.id, 0.0, False)]


@pytest.mark.parametrize("kind", ["suspend", "resume", "retire"])
def test_change_of_a_trigger_that_the_slot_does_not_hold_is_ignored(kind: str) -> None:
    log = Log()
    log.declare(A)
    before = active_triggers(log)
    log.change(kind, B)
    log.change(kind, A_MOVED)
    assert active_triggers(log) == before


def test_apply_returns_the_triggers_that_may_have_changed() -> None:
    log = Log()
    declarations = ActiveDeclarations()
    log.declare(A)
    log.declare(B, A_MOVED)
    log.change("suspend", A)
    log.change("suspend", B)
    found = [declarations.apply(at, entry) for at, entry in log.entries if isinstance(entry, DeclarationEntry)]
    assert found == [[A.id], [A.id, B.id], [], [B.id]]


def test_schedule_is_active_while_any_trigger_has_it() -> None:
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


def test_schedule_that_was_removed_starts_again_without_its_older_ticks() -> None:
    log = Log()
    log.declare(HOURLY)
    log.change("retire", HOURLY)
    log.time = 10_000.0
    log.declare(HOURLY)
    [cron] = folded(log).crons({"cron:0 * * * *": 3600.0})
    assert (cron.last_tick, cron.since) == (None, 10_000.0)


def test_copy_is_independent() -> None:
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
