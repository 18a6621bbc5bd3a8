"""Checkpoints: their contents, and errors of unreadable ones."""

from __future__ import annotations

import pytest

from tests.unit.engine.declaring import on_cron, on_event, on_status, trigger
from tests.unit.engine.recorded_log import Log
from trigger_engine._engine.checkpoint import VERSION, decode_snapshot
from trigger_engine._engine.decision import Limits
from trigger_engine._engine.matcher import Matcher
from trigger_engine.errors import SerializationError

CRON = on_cron("@daily")
JOIN = trigger(on_event("a"), on_event("b"), logic="and", slot="0")
GROUP = trigger(on_status("m.f", "pending"), on_status("m.f", "retry"), CRON, logic="and", slot="1")


def matcher_of_everything() -> tuple[Log, Matcher]:
    log = Log()
    log.elect()
    log.declare(JOIN, GROUP, from_start=True)
    log.event("a", key="k")
    log.call("m.f").start()
    log.tick(CRON.id, 60.0)
    matcher = Matcher(Limits(), track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    matcher.evaluate({})
    for code in ("a", "b"):
        log.event(code)
    log.declare(trigger(on_event("b"), slot="2"))
    for position, entry in log.entries[6:]:
        matcher.read(position, entry)
    return log, matcher


def test_checkpoint_holds_everything_that_a_fold_needs() -> None:
    _, matcher = matcher_of_everything()
    restored = Matcher.restore(matcher.snapshot(), Limits(), track_keys=True)
    assert (restored.evaluated, restored.read_upto, restored.recorded) == (60, 90, 0)
    assert restored.declared
    assert restored.unevaluated
    assert restored.terms == {"match": 10}
    assert (restored.open_invocations, restored.backlog) == (1, 0)
    assert restored.active_triggers() == matcher.active_triggers()
    assert restored.cron_conditions() == matcher.cron_conditions()
    assert restored.cron_conditions()[0].last_tick == 60.0
    for trigger_id in (JOIN.id, GROUP.id):
        assert restored.waiting(trigger_id) == matcher.waiting(trigger_id)
    first, second = matcher.evaluate({}), restored.evaluate({})
    assert first == second
    assert len(first.firings) == 1
    assert (first.upto, matcher.unevaluated, restored.unevaluated) == (80, False, False)


def test_checkpoint_holds_an_entry_once_for_all_triggers() -> None:
    log = Log()
    log.elect()
    log.declare(*(trigger(on_event("a"), on_event(f"b{n}"), logic="and", slot=str(n)) for n in range(20)))
    log.event("a", {"k": "x" * 1000})
    matcher = Matcher(Limits(), track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    matcher.evaluate({})
    snapshot = decode_snapshot(matcher.snapshot())
    assert len(snapshot.joins) == 20
    assert [position for position, _ in snapshot.entries] == [30]


def test_limits_may_be_lowered_after_a_checkpoint() -> None:
    log = Log()
    log.elect()
    log.declare(JOIN)
    for _ in range(4):
        log.event("a")
    matcher = Matcher(Limits(), track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    matcher.evaluate({})
    restored = Matcher.restore(matcher.snapshot(), Limits(max_contributions=1), track_keys=True)
    assert [(waiting.kept, waiting.dropped) for waiting in restored.waiting(JOIN.id)] == [(1, 3), (0, 0)]


def test_keys_are_not_kept_for_a_log_that_refuses_duplicates() -> None:
    log, matcher = matcher_of_everything()
    again = next(entry for _, entry in log.entries if entry.id == "event-key-k")
    assert Matcher.restore(matcher.snapshot(), Limits(), track_keys=True).read(100, again) is not None
    assert Matcher.restore(matcher.snapshot(), Limits(), track_keys=False).read(100, again) is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "version none"),
        (bytes([VERSION + 1]) + b"\x90", f"version {VERSION + 1}, but this package reads version {VERSION}"),
        (bytes([VERSION]), "cannot be decoded"),
        (bytes([VERSION]) + b"\x90", "cannot be decoded"),
        (bytes([VERSION]) + b"\xa2\xff\xfe", "cannot be decoded"),
    ],
)
def test_unreadable_checkpoint_raises_an_error_with_the_fix(data: bytes, message: str) -> None:
    with pytest.raises(SerializationError, match=message) as raised:
        Matcher.restore(data, Limits(), track_keys=True)
    assert "restore the log from a backup" in str(raised.value)
