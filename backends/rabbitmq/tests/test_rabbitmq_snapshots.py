"""A log that is read from its middle: snapshots replace dropped messages."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trigger_engine_rabbitmq.fold import LogFold
from trigger_engine_rabbitmq.log_stream import LogStream
from trigger_engine_rabbitmq.messages import (
    Barrier,
    Chunks,
    Clear,
    Content,
    Message,
    Saved,
    SnapshotBegun,
    SnapshotChunk,
    Trim,
    encode_message,
    encode_parts,
)
from trigger_engine_rabbitmq.snapshots import copy_of
from trigger_engine_rabbitmq.stream import StreamReplaced

from trigger_engine.backend import AnyEntry, start_entry
from trigger_engine.errors import BackendUnavailable, ConfigError
from trigger_engine.testing.conformance._sample_entries import (
    elected,
    evaluated,
    event,
    fired,
    registration,
    retried,
    succeeded,
)


class Written:
    """A stream of messages, written by one process."""

    def __init__(self) -> None:
        self.fold = LogFold("here")
        self.stream = LogStream("shop.log", {}, fold=self.fold, hint=lambda: 0)
        self.bodies: list[bytes] = []
        self._numbers = itertools.count(1)

    def write(self, content: Content) -> None:
        self.receive(encode_message(Message("writer", next(self._numbers), "log", content)))

    def receive(self, body: bytes) -> None:
        self.bodies.append(body)
        self.stream.receive(len(self.bodies) - 1, body)

    def snapshot(self, key: str = "s1", *, chunk_bytes: int = 1000, is_torn: bool = False) -> int:
        """Writes a snapshot, or all but its last chunk, and returns its offset."""
        place = len(self.bodies)
        self.write(SnapshotBegun(key))
        data = data_of(self.fold)
        starts = range(0, len(data), chunk_bytes)
        for number, start in enumerate(starts[:-1] if is_torn else starts):
            self.write(SnapshotChunk(key, place, number, len(starts), data[start : start + chunk_bytes]))
        return place


def data_of(fold: LogFold) -> bytes:
    return copy_of(fold.contents, fold._numbers.all()).encode()


def read_from(bodies: list[bytes], first: int, *, hint: int = 0) -> tuple[LogFold, LogStream]:
    """A process that has read everything from an offset on."""
    fold = LogFold("here")
    stream = LogStream("shop.log", {}, fold=fold, hint=lambda: hint)
    for offset, body in enumerate(bodies[first:], first):
        stream.receive(offset, body)
    return fold, stream


Step = tuple[str, int, Any]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("register"), st.integers(0, 2), st.sampled_from([None, 5.0])),
        st.tuples(st.just("fire"), st.integers(1, 3), st.integers(0, 3)),
        st.tuples(st.sampled_from(["elect", "clear"]), st.none(), st.none()),
        st.tuples(st.sampled_from(["start", "retry", "succeed"]), st.integers(0, 3), st.none()),
        st.tuples(st.just("trim"), st.integers(0, 20), st.sampled_from([0.0, 1e12])),
        st.tuples(st.just("save"), st.integers(1, 3), st.integers(0, 20)),
        st.tuples(st.just("snapshot"), st.integers(1, 20), st.booleans()),
        st.tuples(st.just("resend"), st.integers(0, 99), st.none()),
    ),
    max_size=40,
)


def take(log: Written, step: Step, count: int) -> None:
    kind, number, value = step
    fold = log.fold
    match kind:
        case "event":
            entry = event(f"keyed-{number}", keyed=True) if value else event(f"event-{count}")
            log.write(encode_parts([(entry,)]))
        case "register":
            log.write(encode_parts([(registration(f"i{number}", not_before=value),)]))
        case "fire":
            log.write(encode_parts([(fired(f"r{value}", number), evaluated(f"j{count}", number))]))
        case "elect":
            log.write(encode_parts([(elected(f"l{count}"),)]))
        case "clear":
            log.write(Clear(f"log-{count}"))
        case "trim":
            log.write(Trim(fold.tail(), value, number))
        case "save":
            at = max(min(value, fold.tail().position), fold.contents.trimmed)
            log.write(Saved("match", number, fold.contents.cursor(at), Chunks("k", 0, 1)))
        case "snapshot":
            log.snapshot(f"s{count}", chunk_bytes=50 * number, is_torn=value)
        case "resend":
            log.receive(log.bodies[number % len(log.bodies)])
        case _:
            settle(log, step, count)


def settle(log: Written, step: Step, count: int) -> None:
    kind, number, _ = step
    found = [each for each in map(log.fold.invocation, sorted(log.fold.contents.log_state.states)) if each is not None]
    if not found:
        return
    each = found[number % len(found)]
    match kind:
        case "start":
            entry: AnyEntry = start_entry(each.registration, each.state, runner_id="runner-1", now=float(count))
        case "retry":
            entry = retried(each, 9.0)
        case _:
            entry = succeeded(each)
    log.write(encode_parts([(entry,)]))


@given(STEPS, STEPS, st.data())
@settings(max_examples=300)
def test_joining_at_a_snapshot_gives_the_same_state_as_reading_everything(
    before: list[Step], after: list[Step], data: st.DataObject
) -> None:
    log = Written()
    log.write(encode_parts([(elected("l"),)]))
    log.write(encode_parts([(registration("i9"),)]))
    for count, step in enumerate(before):
        take(log, step, count)
    place = log.snapshot("it", chunk_bytes=200)
    for count, step in enumerate(after, len(before)):
        take(log, step, count)

    fold, stream = read_from(log.bodies, data.draw(st.integers(2, place)))

    assert data_of(fold) == data_of(log.fold)
    assert place <= stream.snapshots.newest == log.stream.snapshots.newest
    assert stream.snapshots.size == log.stream.snapshots.size
    assert stream.snapshots.bytes_since == log.stream.snapshots.bytes_since
    tasks = {each.task_id for each, _ in fold.contents.rows.values()}
    for now in (0.0, 100.0):
        assert fold.contents.queue.next_due() == log.fold.contents.queue.next_due()
        due, due_there = (each.contents.queue.take(now, tasks, [], 100) for each in (fold, log.fold))
        assert due == due_there


def test_a_log_without_beginning_and_snapshot_is_refused() -> None:
    log = Written()
    log.write(encode_parts([(event("a"),)]))
    log.write(encode_parts([(event("b"),)]))
    log.snapshot(is_torn=True)
    with pytest.raises(ConfigError, match=r"shop\.log has lost its first messages.*remove the policy"):
        read_to_its_end(log.bodies, 2)


def test_a_wrong_hint_is_not_followed_again() -> None:
    log = Written()
    for number in range(5):
        log.write(encode_parts([(event(f"e{number}"),)]))
    with pytest.raises(StreamReplaced, match="no snapshot where one was expected"):
        read_to_its_end(log.bodies, 3, hint=3)


def test_messages_after_a_gap_are_read_only_if_nothing_before_it_was_dropped() -> None:
    log = Written()
    for number in range(9):
        log.write(encode_parts([(event(f"e{number}"),)]))
    offsets = [0, 1, 3, 4, 9]
    fold = LogFold("here")
    stream = LogStream("shop.log", {}, fold=fold, hint=lambda: 0)
    for offset, body in zip(offsets[:4], log.bodies, strict=False):
        stream.receive(offset, body)
    with pytest.raises(StreamReplaced, match="may have dropped messages"):
        stream.receive(9, log.bodies[4])

    in_loop(stream.reconnect)
    stream.receive(4, log.bodies[3])
    stream.receive(9, log.bodies[4])
    assert [each.id for each in fold.contents.entries] == [f"e{number}" for number in range(5)]

    with pytest.raises(StreamReplaced, match="may have dropped messages"):
        stream.receive(12, log.bodies[6])
    in_loop(stream.reconnect)
    with pytest.raises(StreamReplaced, match="was replaced"):
        stream.receive(12, log.bodies[6])
    assert not fold.contents.entries


async def test_a_call_before_the_joined_snapshot_fails_with_a_lost_outcome() -> None:
    log = Written()
    fold = LogFold("here")
    stream = LogStream("shop.log", {}, fold=fold, hint=lambda: 0)
    _, early = stream.write(encode_parts([(event("early"),)]))
    _, late = stream.write(encode_parts([(event("late"),)]))
    sent = [unsent[1] for _ in range(2) if (unsent := stream.unsent()) is not None]
    log.write(Barrier())
    log.receive(sent[0])
    place = log.snapshot()
    log.receive(sent[1])

    for offset, body in enumerate(log.bodies[place:], place):
        stream.receive(offset, body)

    with pytest.raises(BackendUnavailable, match="outcome of this call was lost"):
        await early
    assert [type(outcome).__name__ for outcome in await late] == ["Accepted"]
    assert [each.id for each in fold.contents.entries] == ["early", "late"]


def read_to_its_end(bodies: list[bytes], first: int, *, hint: int = 0) -> None:
    """Reads like a connection: up to its own barrier."""

    stream = LogStream("shop.log", {}, fold=LogFold("here"), hint=lambda: hint)
    in_loop(stream.reconnect)
    unsent = stream.unsent()
    assert unsent is not None
    for offset, body in enumerate([*bodies[first:], unsent[1]], first):
        stream.receive(offset, body)


def in_loop(call: Callable[[], object]) -> None:
    async def called() -> None:
        call()

    asyncio.run(called())
