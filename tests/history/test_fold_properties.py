"""The fold over random logs: split as you like it is the same, and it agrees with the matcher."""

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

from tests.core.leading import Leader
from tests.core.oracle import valid_entries
from tests.core.recorded_log import Log
from tests.core.strategies import Script, apply
from trigger_engine.core.judgement import Limits
from trigger_engine.core.matcher import Matcher
from trigger_engine.entries.facts import AnyEntry, Position, RetentionApplied
from trigger_engine.history.folder import Folder
from trigger_engine.history.reading import Reading
from trigger_engine.history.retention import Caps
from trigger_engine.history.store import Store
from trigger_engine.history.trigger_queries import triggers
from trigger_engine.log.contract import Batch, Bookmark

LIMITS = Limits(max_chain_length=4, max_contributions=2)
SEEDS = st.integers(0, 2**32)
Entries = Sequence[tuple[Position, AnyEntry]]


def told(seed: int, size: int) -> Log:
    """A log in which leaders judge now and then, and are replaced."""
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


def fold(opened: Store, entries: Entries, splits: Sequence[int] = (), *, caps: Caps | None = None) -> None:
    """Folds in batches that end at `splits`, each by a folder that knows only the store."""
    at = Bookmark("log", 0, "")
    bounds = [0, *sorted({split for split in splits if 0 < split < len(entries)}), len(entries)]
    for number, (first, end) in enumerate(pairwise(bounds)):
        folder = Folder(opened, caps or Caps(), LIMITS.max_contributions)
        if number == 0:
            assert folder.begin(at, None, None)
        part = list(entries[first:end])
        to = Bookmark("log", part[-1][0], part[-1][1].id) if part else at
        assert folder.apply(at, Batch(part, to))
        at = to


def dump(opened: Store) -> dict[str, list[Any]]:
    connection = opened.connection
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr) for name in names}


def reading(connection: sqlite3.Connection, opened: Store) -> Reading:
    progress = opened.progress()
    assert progress is not None
    return Reading(connection, progress, msgspec.msgpack.decode)


@given(SEEDS, st.integers(0, 60), st.lists(st.integers(0, 150), max_size=8))
def test_a_fold_in_any_split_is_the_same_as_one_at_once(seed: int, size: int, splits: list[int]) -> None:
    entries = told(seed, size).entries
    with store() as at_once, store() as in_parts:
        fold(at_once, entries)
        fold(in_parts, entries, splits)
        assert dump(at_once) == dump(in_parts)


@given(SEEDS, st.integers(0, 40))
def test_a_fold_entry_by_entry_is_the_same_as_one_at_once(seed: int, size: int) -> None:
    entries = told(seed, size).entries
    with store() as at_once, store() as one_by_one:
        fold(at_once, entries)
        fold(one_by_one, entries, range(len(entries)))
        assert dump(at_once) == dump(one_by_one)


@given(SEEDS, st.integers(0, 40), st.lists(st.integers(0, 150), max_size=8), st.integers(0, 1))
def test_retention_in_any_split_is_the_same(seed: int, size: int, splits: list[int], share: int) -> None:
    entries = told(seed, size).entries
    before = entries[len(entries) // (2 + share)][0]
    entries.insert(len(entries) * 3 // 4, (entries[len(entries) * 3 // 4][0] - 5, _retention(before)))
    with store() as at_once, store() as in_parts:
        fold(at_once, entries)
        fold(in_parts, entries, splits)
        assert dump(at_once) == dump(in_parts)


def _retention(before: Position) -> RetentionApplied:
    return RetentionApplied(id="retention", time=1.0, before=before, keys_before=0.0)


@given(SEEDS, st.integers(0, 60))
def test_the_void_entries_are_those_that_count_for_no_other_fold(seed: int, size: int) -> None:
    entries = told(seed, size).entries
    valid = {position for position, _ in valid_entries(entries, track_keys=True)}
    with store() as opened:
        fold(opened, entries)
        void = dict(opened.connection.execute("SELECT position, reason FROM void").fetchall())
    repeated = {position for position, reason in void.items() if reason == "an entry with this id stands before it"}
    expected = {position for position, _ in entries} - valid
    assert void.keys() - repeated == expected - repeated
    assert all(not _is_first(position, entries) for position in repeated - expected)


def _is_first(position: Position, entries: Entries) -> bool:
    (entry,) = (entry for at, entry in entries if at == position)
    return all(earlier.id != entry.id for at, earlier in entries if at < position)


@given(SEEDS, st.integers(0, 60))
def test_what_waits_is_what_the_matcher_has_collected(seed: int, size: int) -> None:
    log = told(seed, size)
    valid = valid_entries(log.entries, track_keys=True)
    # An id that comes again once its key has lapsed counts for the matcher, which has forgotten it, and not in the log.
    assume(len({entry.id for _, entry in valid}) == len(valid))
    matcher = Matcher(LIMITS, track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    with store() as opened:
        fold(opened, log.entries)
        records = triggers(reading(opened.connection, opened), task_id=None, state=None)
    in_force = {content.trigger.id for content in matcher.in_force()}
    assert {record.trigger_id for record in records if record.state in ("in force", "suspended")} == in_force
    for record in records:
        found = {one.condition_id: (one.kept, one.partial) for one in matcher.waiting(record.trigger_id)}
        shown = {one: (count, record.partial.get(one, 0)) for one, count in record.waiting.items()}
        # A trigger declared last is not compiled before that is judged.
        assert shown == found or (not found and set(shown.values()) == {(0, 0)}), record.trigger_id


@given(SEEDS, st.integers(0, 40), st.integers(1, 5), st.integers(1, 5))
def test_caps_keep_the_newest(seed: int, size: int, events: int, runs: int) -> None:
    entries = told(seed, size).entries
    with store() as capped, store() as whole:
        fold(capped, entries, range(0, len(entries), 7), caps=Caps(events=events, trigger_runs=runs))
        fold(whole, entries)
        for table, cap in (("events", events), ("runs", runs)):
            every = whole.connection.execute(f"SELECT position FROM {table} ORDER BY position").fetchall()
            kept = capped.connection.execute(f"SELECT position FROM {table} ORDER BY position").fetchall()
            assert kept == every[-cap:]
