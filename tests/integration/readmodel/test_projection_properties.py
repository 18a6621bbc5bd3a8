"""The projection of random logs: any split into batches gives the same rows, and it agrees with the matcher."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.engine.leading import Leader
from tests.unit.engine.oracle import valid_entries
from tests.unit.engine.recorded_log import Log
from tests.unit.engine.strategies import Script, apply
from trigger_engine._engine.decision import Limits
from trigger_engine._engine.matcher import Matcher
from trigger_engine._model.entries import AnyEntry, Position, RetentionApplied
from trigger_engine._readmodel.projection.projection import Projection
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.queries.triggers import triggers
from trigger_engine._readmodel.store.row_retention import Caps
from trigger_engine._readmodel.store.row_store import Store
from trigger_engine.backend._contract import Batch, Cursor

LIMITS = Limits(max_chain_length=4, max_contributions=2)
SEEDS = st.integers(0, 2**32)
Entries = Sequence[tuple[Position, AnyEntry]]


def random_log(seed: int, size: int) -> Log:
    """Returns a log in which leaders evaluate from time to time and are replaced."""
    script = Script(seed, size)
    random = Random(seed)
    log = Log()
    leader = Leader(log, LIMITS, script.first)
    for step in script.steps:
        apply(step, log)
        chance = random.random()
        if chance < 0.2:
            leader.cycle()
        elif chance < 0.25:
            leader = Leader(log, LIMITS, script.first)
    leader.finish()
    return log


@contextmanager
def store() -> Iterator[Store]:
    opened = Store(":memory:")
    try:
        yield opened
    finally:
        opened.close()


def project(opened: Store, entries: Entries, splits: Sequence[int] = (), *, caps: Caps | None = None) -> None:
    """Projects in batches that end at `splits`, each with a new `Projection`."""
    at = Cursor("log", 0, "")
    bounds = [0, *sorted({split for split in splits if 0 < split < len(entries)}), len(entries)]
    for number, (first, end) in enumerate(pairwise(bounds)):
        projection = Projection(opened, caps or Caps(), LIMITS.max_contributions)
        if number == 0:
            assert projection.begin(at, None, None)
        part = list(entries[first:end])
        to = Cursor("log", part[-1][0], part[-1][1].id) if part else at
        assert projection.apply(at, Batch(part, to))
        at = to


def dump(opened: Store) -> dict[str, list[Any]]:
    connection = opened.connection
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in names}


def snapshot(connection: sqlite3.Connection, opened: Store) -> ReadSnapshot:
    progress = opened.progress()
    assert progress is not None
    return ReadSnapshot(connection, progress, msgspec.msgpack.decode)


@given(SEEDS, st.integers(0, 60), st.lists(st.integers(0, 150), max_size=8))
def test_projection_in_batches_equals_projection_at_once(seed: int, size: int, splits: list[int]) -> None:
    entries = random_log(seed, size).entries
    with store() as at_once, store() as in_parts:
        project(at_once, entries)
        project(in_parts, entries, splits)
        assert dump(at_once) == dump(in_parts)


@given(SEEDS, st.integers(0, 40))
def test_projection_entry_by_entry_equals_projection_at_once(seed: int, size: int) -> None:
    entries = random_log(seed, size).entries
    with store() as at_once, store() as one_by_one:
        project(at_once, entries)
        project(one_by_one, entries, range(len(entries)))
        assert dump(at_once) == dump(one_by_one)


@given(SEEDS, st.integers(0, 40), st.lists(st.integers(0, 150), max_size=8), st.integers(0, 1))
def test_retention_does_not_depend_on_batches(seed: int, size: int, splits: list[int], share: int) -> None:
    entries = random_log(seed, size).entries
    before = entries[len(entries) // (2 + share)][0]
    entries.insert(len(entries) * 3 // 4, (entries[len(entries) * 3 // 4][0] - 5, _retention(before)))
    with store() as at_once, store() as in_parts:
        project(at_once, entries)
        project(in_parts, entries, splits)
        assert dump(at_once) == dump(in_parts)


def _retention(before: Position) -> RetentionApplied:
    return RetentionApplied(id="retention", time=1.0, before=before, keys_before=0.0)


@given(SEEDS, st.integers(0, 60))
def test_void_entries_agree_with_the_oracle(seed: int, size: int) -> None:
    entries = random_log(seed, size).entries
    valid = {position for position, _ in valid_entries(entries, track_keys=True)}
    with store() as opened:
        project(opened, entries)
        void = dict(opened.connection.execute("SELECT position, reason FROM void").fetchall())
    repeated = {position for position, reason in void.items() if reason == "an earlier entry has the same id"}
    expected = {position for position, _ in entries} - valid
    assert void.keys() - repeated == expected - repeated
    assert all(not _is_first(position, entries) for position in repeated - expected)


def _is_first(position: Position, entries: Entries) -> bool:
    (entry,) = (entry for at, entry in entries if at == position)
    return all(earlier.id != entry.id for at, earlier in entries if at < position)


@given(SEEDS, st.integers(0, 60))
def test_waiting_contributions_agree_with_the_matcher(seed: int, size: int) -> None:
    log = random_log(seed, size)
    valid = valid_entries(log.entries, track_keys=True)
    # An id reused after its key has expired is valid for the matcher, but not for the read model.
    assume(len({entry.id for _, entry in valid}) == len(valid))
    matcher = Matcher(LIMITS, track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    with store() as opened:
        project(opened, log.entries)
        records = triggers(snapshot(opened.connection, opened), task_id=None, state=None)
    active_triggers = {content.trigger.id for content in matcher.active_triggers()}
    assert {record.trigger_id for record in records if record.state in ("active", "suspended")} == active_triggers
    for record in records:
        found = {one.condition_id: (one.kept, one.partial) for one in matcher.waiting(record.trigger_id)}
        shown = {one: (count, record.partial.get(one, 0)) for one, count in record.waiting.items()}
        # A trigger is compiled only once its declaration is evaluated.
        assert shown == found or (not found and set(shown.values()) == {(0, 0)}), record.trigger_id


@given(SEEDS, st.integers(0, 40), st.integers(1, 5), st.integers(1, 5))
def test_caps_keep_the_newest(seed: int, size: int, events: int, runs: int) -> None:
    # A cap forgets ids, so an entry that repeats the id of a removed record would be shown again.
    entries = list({entry.id: (at, entry) for at, entry in reversed(random_log(seed, size).entries)}.values())[::-1]
    with store() as capped, store() as whole:
        project(capped, entries, range(0, len(entries), 7), caps=Caps(events=events, trigger_runs=runs))
        project(whole, entries)
        for table, cap in (("events", events), ("runs", runs)):
            every = whole.connection.execute(f"SELECT position FROM {table} ORDER BY position").fetchall()
            kept = capped.connection.execute(f"SELECT position FROM {table} ORDER BY position").fetchall()
            assert kept == every[-cap:]
