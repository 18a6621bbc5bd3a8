"""Validity: which entries are void, and why."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings

from tests.unit.engine.declaring import raw
from tests.unit.engine.oracle import valid_entries
from tests.unit.engine.recorded_log import CHANGES, Log
from tests.unit.engine.strategies import Script, apply, scripts
from trigger_engine._engine.lifecycle import MOVES, InvocationStatus
from trigger_engine._engine.validity import REACHED, STATUS_TYPES, Validity, ValidityState
from trigger_engine._model.entries import (
    AnyEntry,
    BacklogExceeded,
    ChainEnded,
    CronTicked,
    FilterFailed,
    Judged,
    LeaderElected,
    LeaderEntry,
    TriggerFired,
    TriggerRejected,
    TriggersDeclared,
)


def reasons(log: Log, *, track_keys: bool = True) -> list[str | None]:
    validity = Validity(track_keys=track_keys)
    return [validity.read(position, entry) for position, entry in log.entries]


EXAMPLES: dict[str, Any] = {
    "participants": (),
    "triggers": (),
    "arguments": raw({}),
    "scheduled_for": 60.0,
    "upto": 0,
    "waiting": 1,
    "limit": 1,
}


def leader_entry(kind: type[Any], term: int, **facts: Any) -> Any:
    values: dict[str, Any] = {"id": f"{kind.__name__} of {term}", "time": 0.0, "term": term}
    for name in msgspec.structs.fields(kind):
        if name.required and name.name not in values:
            values[name.name] = EXAMPLES.get(name.name, "x")
    values["invocation_id"] = f"invocation of {kind.__name__}"
    known = {field.name for field in msgspec.structs.fields(kind)}
    return kind(**{key: value for key, value in {**values, **facts}.items() if key in known})


@pytest.mark.parametrize("kind", get_args(LeaderEntry))
def test_entry_of_a_leader_is_void_unless_its_term_is_current(kind: type[Any]) -> None:
    log = Log()
    log.append(leader_entry(kind, 10, id="before"))
    first = log.elect()
    log.append(leader_entry(kind, first, id="in the first term", invocation_id="one"))
    second = log.elect()
    log.append(leader_entry(kind, first, id="late", invocation_id="two"))
    log.append(leader_entry(kind, second, id="in the second term", invocation_id="three"))
    log.append(leader_entry(kind, second + 1, id="in no term", invocation_id="four"))
    void = [reason is not None for reason in reasons(log)]
    assert void == [True, False, False, False, True, False, True]


def test_every_entry_type_is_read() -> None:
    validity = Validity(track_keys=True)
    assert set(validity._readers) == set(get_args(AnyEntry))


def test_each_lease_name_has_its_own_term() -> None:
    log = Log()
    match = log.elect("match")
    cron = log.elect("cron")
    log.append(leader_entry(Judged, match))
    log.append(leader_entry(FilterFailed, cron))
    assert reasons(log) == [None] * 4
    validity = Validity(track_keys=True)
    for position, entry in log.entries:
        validity.read(position, entry)
    assert validity.terms == {"match": match, "cron": cron}


def test_open_invocation_cannot_be_registered_again() -> None:
    log = Log()
    log.call("m.f", key="k")
    call = log.call("m.f", key="k")
    call.start()
    call.succeed()
    log.call("m.f", key="k")
    assert reasons(log) == [
        None, "the invocation is already registered", None, None, "an entry with this id stands before it"
    ]  # fmt: skip


def test_trigger_run_registers_its_invocation() -> None:
    log = Log()
    term = log.elect()
    fired = leader_entry(TriggerFired, term)
    log.append(fired)
    log.append(leader_entry(TriggerFired, term, id="again"))
    log.calls()[0].start()
    assert reasons(log) == [None, None, "the invocation is already registered", None]


def test_status_entries_of_unknown_and_ended_invocations_are_void() -> None:
    log = Log()
    call = log.call("m.f")
    stranger = Log().call("m.f")
    stranger.log = log
    stranger.id = "unknown"
    stranger.start()
    call.cancel()
    call.cancel()
    ended = "the invocation is unknown or has ended"
    assert reasons(log) == [None, ended, None, ended]


def test_first_claim_in_the_log_wins() -> None:
    log = Log()
    call = log.call("m.f")
    call.start()
    call.append("started", claim_id="late", attempt=1)
    call.append("succeeded", claim_id="late", result=raw(1))
    call.succeed(2)
    found = reasons(log)
    assert found[1] is None
    assert found[2] == "no move from running by Started"
    assert found[3] == "another claim holds it"
    assert found[4] is None


@pytest.mark.parametrize("track_keys", [True, False])
def test_repeated_entry_counts_once_in_a_log_that_stores_duplicates(track_keys: bool) -> None:
    log = Log()
    term = log.elect()
    elected = log.entries[0][1]
    for _ in range(2):
        log.event("a", key="k")
        log.tick("cron:* * * * *", 60.0)
    log.event("a")
    log.append(elected)
    repeated = "an entry with this id stands before it" if track_keys else None
    assert reasons(log, track_keys=track_keys) == [None, None, None, repeated, repeated, None, repeated]
    validity = Validity(track_keys=track_keys)
    for position, entry in log.entries:
        validity.read(position, entry)
    assert validity.terms["match"] == (term if track_keys else log.tail)


def test_retention_removes_keys() -> None:
    log = Log()
    log.event("a", key="old")
    log.event("a", key="new")
    log.retain(keys_before=1.0)
    log.event("a", key="old")
    log.event("a", key="new")
    assert [reason is None for reason in reasons(log)] == [True, True, True, True, False]


def test_void_entry_does_not_use_its_key() -> None:
    log = Log()
    log.tick("cron:* * * * *", 60.0, term=5)
    log.elect()
    log.tick("cron:* * * * *", 60.0)
    assert [reason is None for reason in reasons(log)] == [False, True, True]


def test_waiting_invocations_are_counted() -> None:
    log = Log()
    validity = Validity(track_keys=True)
    counts = []
    first, second = log.call("m.f"), log.call("m.f")
    first.start()
    first.retry()
    second.claim()
    second.hand_back()
    second.cancel()
    first.start()
    first.fail()
    for position, entry in log.entries:
        validity.read(position, entry)
        counts.append((validity.waiting, len(validity.open)))
    assert counts == [(1, 1), (2, 2), (1, 2), (2, 2), (1, 2), (2, 2), (1, 1), (0, 1), (0, 0)]


def test_every_move_has_the_statuses_that_it_reaches() -> None:
    assert set(REACHED) == set(MOVES)
    assert all(type(status) is str for statuses in REACHED.values() for status in statuses)
    assert {kind for _, kind in REACHED} == set(STATUS_TYPES)
    assert REACHED[InvocationStatus.RETRY, STATUS_TYPES[1]] == ("pending", "running")


@settings(max_examples=60)
@given(scripts(max_size=40))
def test_validity_agrees_with_the_oracle_and_survives_encoding(script: Script) -> None:
    log = Log()
    log.elect()
    log.declare(*script.first)
    for step in script.steps:
        apply(step, log)
    valid = dict(valid_entries(log.entries, track_keys=True))
    validity = Validity(track_keys=True)
    for position, entry in log.entries:
        assert (validity.read(position, entry) is None) is (position in valid)
        data = msgspec.msgpack.encode(validity.state())
        restored = Validity(msgspec.msgpack.decode(data, type=ValidityState), track_keys=True)
        assert (restored.state(), restored.waiting) == (validity.state(), validity.waiting)
        validity = restored


def test_void_entry_changes_nothing() -> None:
    log = Log()
    term = log.elect()
    log.elect()
    stale: list[Any] = [CHANGES["retire"], TriggersDeclared, TriggerRejected, ChainEnded, BacklogExceeded, CronTicked]
    validity = Validity(track_keys=True)
    for position, entry in log.entries:
        validity.read(position, entry)
    before = validity.state()
    for kind in (*stale, TriggerFired):
        assert validity.read(100, leader_entry(kind, term)) == f"term {term} is not current"
    repeated = log.entries[-1][1]
    assert isinstance(repeated, LeaderElected)
    assert validity.read(110, repeated) == "an entry with this id stands before it"
    assert validity.state() == before
