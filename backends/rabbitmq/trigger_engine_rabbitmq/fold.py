"""Folds the log's stream. Every process folds all of it by the same rules, and gets the same state."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from trigger_engine.backend import (
    WAITING,
    Checkpoint,
    Claims,
    Invocation,
    MemoryStore,
    Outcome,
    Position,
    Started,
    compare_claims,
    start_entry,
)
from trigger_engine.errors import LogReplaced
from trigger_engine_rabbitmq.messages import (
    Append,
    Barrier,
    Chunks,
    Clear,
    Message,
    Saved,
    SnapshotBegun,
    SnapshotChunk,
    Trim,
    decode_parts,
)
from trigger_engine_rabbitmq.snapshots import Copy, copy_of, decode_snapshot

WRITERS_KEPT = 10_000
"""How many writers' numbers are remembered, the newest: no writer resends a message after so many others wrote."""

FoldResult = list[Outcome] | int | bool | LogReplaced | Copy | None
"""The result of a message."""

_chunks_encoder = msgspec.msgpack.Encoder()
_chunks_decoder = msgspec.msgpack.Decoder(Chunks)


class Numbers:
    """The highest number of each writer, to drop resent messages."""

    def __init__(self, highest: Iterable[tuple[str, int]] = ()) -> None:
        self._highest = dict(highest)

    def is_new(self, message: Message) -> bool:
        """Records the message; False when this or a later message of its writer was folded before."""
        highest = self._highest.pop(message.writer, 0)
        self._highest[message.writer] = max(highest, message.number)
        if len(self._highest) > WRITERS_KEPT:
            del self._highest[next(iter(self._highest))]
        return message.number > highest

    def of(self, writer: str) -> int:
        """The highest number of a writer, 0 when it is not remembered."""
        return self._highest.get(writer, 0)

    def all(self) -> list[tuple[str, int]]:
        """Writers and their highest numbers, in the order of their last messages."""
        return list(self._highest.items())


class LogFold(MemoryStore):
    """The memory log's store, changed only by messages."""

    def __init__(self, location: str) -> None:
        super().__init__()
        self._location = location
        self.snapshots_wanted: set[str] = set()
        """The keys of the snapshots that this process writes."""
        self.begin()

    def begin(self) -> None:
        """Starts over: the stream was replaced."""
        self.clear("")
        self.contents.location = self._location
        self.contents.trimmed = self.contents.log_state.tail = 0
        self._numbers = Numbers()

    def fold(self, message: Message, is_live: bool) -> FoldResult:
        """Folds the next message. The result is None for a resent message."""
        if not self.contents.log_id:
            self.contents.log_id = message.candidate
        if not self._numbers.is_new(message):
            return None
        match message.content:
            case Append() as content:
                return self.append_checked(decode_parts(content))
            case Trim(before, keys_before, limit):
                try:
                    return self.trim(before, keys_before=keys_before, limit=limit)
                except LogReplaced as exc:
                    return exc
            case Clear(log_id):
                self.clear(log_id)
            case Saved(name, term, cursor, chunks):
                return self.save_checkpoint(name, Checkpoint(term, cursor, _chunks_encoder.encode(chunks)))
            case SnapshotBegun(key) if key in self.snapshots_wanted:
                return copy_of(self.contents, self._numbers.all())
            case _:
                assert isinstance(message.content, (Barrier, SnapshotBegun, SnapshotChunk)), message.content
        return None

    def resume(self, snapshot: bytes) -> Numbers:
        """Continues from a snapshot. Raises SerializationError when it is damaged or of a newer version."""
        contents, numbers = decode_snapshot(snapshot, self._location)
        with self.lock:
            self.contents = contents
            self._numbers = Numbers(numbers)
            for registered_at in contents.rows:
                self._requeue(registered_at)
            self._notify(queue=True)
        return self._numbers

    def choose(
        self, runner_id: str, *, tasks: Collection[str], queues: Collection[str], limit: int, now: float
    ) -> dict[Position, Started]:
        """Start entries for due work, by position of the registration. Takes them from the queue until `put_back`."""
        found = map(self.contents.invocation, self.contents.queue.take(now, tasks, queues, limit))
        return {
            each.registered_at: start_entry(each.registration, each.state, runner_id=runner_id, now=now)
            for each in found
        }

    def put_back(self, registered_at: Position) -> None:
        """Returns a chosen invocation to the queue if it still waits."""
        state = self.contents.state_at(registered_at)
        if state is not None and state.status in WAITING:
            self._requeue(registered_at)

    def held(self, runner_id: str, holding: Collection[str], chosen: Collection[str]) -> Claims:
        """The runner's claims: `started` are those in `chosen`; the others may be stranded or revoked."""
        contents = self.contents
        places = [at for at, holder in contents.held.items() if holder == runner_id]
        by_claim = {contents.invocation(at).state.claim_id: at for at in places}
        new = by_claim.keys() & set(chosen)
        stranded, revoked = compare_claims(by_claim.keys() - new, holding)
        return Claims(
            started=self._invocations(by_claim[each] for each in new),
            stranded=self._invocations(by_claim[each] for each in stranded),
            revoked=revoked,
        )

    def unknown(self, tasks: Collection[str], queues: Collection[str], now: float) -> frozenset[str]:
        """Tasks outside `tasks` for which due work waits."""
        return self.contents.queue.unknown(now, tasks, queues)

    def checkpoint(self, name: str) -> tuple[Checkpoint, Chunks] | None:
        """The newest checkpoint, without its data, and where its data is."""
        found = self.load_checkpoint(name)
        return None if found is None else (found, _chunks_decoder.decode(found.data))

    def _invocations(self, places: Iterable[Position]) -> list[Invocation]:
        return [self.contents.invocation(at) for at in sorted(places)]
