"""Checkpoints: what is in them, and what cannot be read."""

from __future__ import annotations

import pytest

from tests.core.declaring import on_cron, on_event, on_status, trigger
from tests.core.recorded_log import Log
from trigger_engine.core.checkpoint import VERSION, decode_snapshot
from trigger_engine.core.judgement import Limits
from trigger_engine.core.matcher import Matcher
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
    matcher.judge({})
    for code in ("a", "b"):
        log.event(code)
    log.declare(trigger(on_event("b"), slot="2"))
    for position, entry in log.entries[6:]:
        matcher.read(position, entry)
    return log, matcher


def test_a_checkpoint_holds_all_that_a_fold_needs() -> None:
    _, matcher = matcher_of_everything()
    restored = Matcher.restore(matcher.snapshot(), Limits(), track_keys=True)
    assert (restored.judged, restored.read_upto, restored.recorded) == (60, 90, 0)
    assert restored.declared
    assert restored.unjudged
    assert restored.terms == {"match": 10}
    assert (restored.open_invocations, restored.backlog) == (1, 0)
    assert restored.in_force() == matcher.in_force()
    assert restored.cron_conditions() == matcher.cron_conditions()
    assert restored.cron_conditions()[0].last_tick == 60.0
    for trigger_id in (JOIN.id, GROUP.id):
        assert restored.waiting(trigger_id) == matcher.waiting(trigger_id)
    first, second = matcher.judge({}), restored.judge({})
    assert first == second
    assert len(first.firings) == 1
    assert (first.upto, matcher.unjudged, restored.unjudged) == (80, False, False)


def test_an_entry_is_stored_once_whoever_waits_with_it() -> None:
    log = Log()
    log.elect()
    log.declare(*(trigger(on_event("a"), on_event(f"b{n}"), logic="and", slot=str(n)) for n in range(20)))
    log.event("a", {"k": "x" * 1000})
    matcher = Matcher(Limits(), track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    matcher.judge({})
    snapshot = decode_snapshot(matcher.snapshot())
    assert len(snapshot.joins) == 20
    assert [position for position, _ in snapshot.entries] == [30]


def test_limits_may_be_lowered_between_a_checkpoint_and_the_next_leader() -> None:
    log = Log()
    log.elect()
    log.declare(JOIN)
    for _ in range(4):
        log.event("a")
    matcher = Matcher(Limits(), track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    matcher.judge({})
    restored = Matcher.restore(matcher.snapshot(), Limits(max_contributions=1), track_keys=True)
    assert [(waiting.kept, waiting.dropped) for waiting in restored.waiting(JOIN.id)] == [(1, 3), (0, 0)]


def test_keys_are_not_kept_for_a_log_that_refuses_duplicates_itself() -> None:
    log, matcher = matcher_of_everything()
    again = next(entry for _, entry in log.entries if entry.id == "event-key-k")
    assert Matcher.restore(matcher.snapshot(), Limits(), track_keys=True).read(100, again) is not None
    assert Matcher.restore(matcher.snapshot(), Limits(), track_keys=False).read(100, again) is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "version none"),
        (bytes([VERSION + 1]) + b"\x90", f"version {VERSION + 1}, this package reads {VERSION}"),
        (bytes([VERSION]), "cannot be read"),
        (bytes([VERSION]) + b"\x90", "cannot be read"),
        (bytes([VERSION]) + b"\xa2\xff\xfe", "cannot be read"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_says_so_and_what_to_do(data: bytes, says: str) -> None:
    with pytest.raises(SerializationError, match=says) as raised:
        Matcher.restore(data, Limits(), track_keys=True)
    assert "restore a backup" in str(raised.value)
