"""The log's stream: the server drops its oldest messages, and snapshots stand in it for what is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trigger_engine.errors import BackendUnavailable, ConfigError
from trigger_engine_rabbitmq.fold import Numbers
from trigger_engine_rabbitmq.messages import Content, Message, SnapshotBegun, SnapshotChunk
from trigger_engine_rabbitmq.stream import Fold, Stream, StreamReplaced

OVERHEAD_BYTES = 128
"""What a server stores of a message beside its body, at most."""
OUTCOME_IS_GONE = (
    "the server could not be used for so long that the log was shortened meanwhile, and the outcome of this call went "
    "with it: make the same call again"
)


class LogFolding(Fold, Protocol):
    """A fold that can go on from a snapshot."""

    def resume(self, snapshot: bytes) -> Numbers:
        """Takes over a snapshot; returns the writers' numbers in it."""


@dataclass(slots=True)
class _Begun:
    """A snapshot of which some chunks were read. `read`: all bytes up to there."""

    offset: int
    read: int
    chunks: int = 0
    size: int = 0


class Snapshots:
    """The snapshots in a stream, as far as it was read.

    `newest`: the offset for which the newest complete one holds, 0: there is none. `size`: its bytes. What stands in
    the stream from `newest` on must stay there.
    """

    def __init__(self) -> None:
        self.newest = 0
        self.newest_key = ""
        self.size = 0
        self._begun: dict[str, _Begun] = {}
        self._read = 0
        self._read_before_newest = 0

    @property
    def bytes_since(self) -> int:
        """The bytes of all that stands behind `newest`."""
        return self._read - self._read_before_newest

    def place_of(self, key: str) -> int | None:
        """The offset at which a snapshot was begun; None when another one has been completed since, or none was."""
        begun = self._begun.get(key)
        return None if begun is None else begun.offset

    def note(self, offset: int, size: int, content: Content) -> None:
        """The next message of the stream, and the size of its body."""
        self._read += size + OVERHEAD_BYTES
        if isinstance(content, SnapshotBegun):
            # One that was sent twice holds for its first place.
            self._begun.setdefault(content.key, _Begun(offset, self._read))
        elif isinstance(content, SnapshotChunk):
            self._note_chunk(content)

    def _note_chunk(self, chunk: SnapshotChunk) -> None:
        begun = self._begun.get(chunk.key)
        if begun is None or (chunk.begun_at, chunk.number) != (begun.offset, begun.chunks):
            return
        begun.chunks += 1
        begun.size += len(chunk.data)
        if begun.chunks == chunk.count:
            self.newest, self.newest_key, self.size = begun.offset, chunk.key, begun.size
            self._read_before_newest = begun.read
            self._begun = {key: each for key, each in self._begun.items() if each.offset > begun.offset}


@dataclass(slots=True)
class _Joining:
    """A stream that is read from its middle: what was read since the first snapshot that began there."""

    snapshots: Snapshots = field(default_factory=Snapshots)
    messages: list[tuple[int, bytes, Message]] = field(default_factory=list)

    def take(self, offset: int, body: bytes, message: Message) -> bytes | None:
        """The next message; the bytes of a snapshot that it completes."""
        self.snapshots.note(offset, len(body), message.content)
        if self.messages or isinstance(message.content, SnapshotBegun):
            self.messages.append((offset, body, message))
        return self._snapshot() if self.snapshots.newest else None

    def _snapshot(self) -> bytes:
        contents = [message.content for _, _, message in self.messages]
        chunks = {
            each.number: each.data
            for each in contents
            if isinstance(each, SnapshotChunk) and each.key == self.snapshots.newest_key
        }
        return b"".join(chunks[number] for number in range(len(chunks)))


class LogStream(Stream):
    """A stream from which all follows, also what is gone: its fold begins with the first message, or a snapshot.

    `hint` tells the place of a snapshot, or 0; whether there is one shows the stream itself.
    """

    def __init__(self, name: str, arguments: Mapping[str, int], *, fold: LogFolding, hint: Callable[[], int]) -> None:
        super().__init__(name, arguments, fold=fold)
        self._folding = fold
        self._hint = hint
        self._follows_hint = True
        self._joining = _Joining()
        self._is_whole_until = 0
        self.snapshots = Snapshots()

    def place(self) -> int:
        if self.next == 0 and self._follows_hint:
            return self._hint()
        return super().place()

    def ends_before_place(self) -> None:
        self._follows_hint = False
        self.start_anew()

    def reconnect(self) -> int | str:
        self._joining = _Joining()
        return super().reconnect()

    def start_anew(self) -> None:
        self.snapshots = Snapshots()
        super().start_anew()

    def _goes_on(self, offset: int, body: bytes) -> bool:
        is_same = offset == self.next - 1 and body == self._last
        self._is_whole_until = self.next if is_same else 0
        return is_same

    def _take(self, offset: int, body: bytes, message: Message) -> None:
        self.snapshots.note(offset, len(body), message.content)
        super()._take(offset, body, message)

    def _take_behind_gap(self, offset: int, body: bytes, message: Message) -> None:
        if self.next and self._is_whole_until == self.next:
            self._take(offset, body, message)
            return
        if self.next:
            # If what stands before the gap is not there any more, what is missing may have stood behind it.
            raise StreamReplaced(f"the stream {self.name} may have dropped messages that were not read yet")
        snapshot = self._joining.take(offset, body, message)
        if snapshot is not None:
            self._join(snapshot)
        elif self._ends_backlog(message):
            self._cannot_join()

    def _join(self, snapshot: bytes) -> None:
        self._settle(self._folding.resume(snapshot).of(self._writer))
        joining, self._joining = self._joining, _Joining()
        self.snapshots = joining.snapshots
        self._follows_hint = True
        for offset, body, message in joining.messages:
            if offset > self.snapshots.newest:
                super()._take(offset, body, message)

    def _settle(self, folded: int) -> None:
        """What this process wrote and the snapshot holds took effect; with what outcome, nobody can tell any more."""
        for number in [number for number in self._pending if number <= folded]:
            _, future = self._pending.pop(number)
            if not future.done():
                future.set_exception(BackendUnavailable(OUTCOME_IS_GONE))
                # Barriers of former connections have nobody who asks.
                future.exception()

    def _cannot_join(self) -> None:
        if self._follows_hint and self._hint():
            self._follows_hint = False
            raise StreamReplaced(f"the stream {self.name} has no snapshot where one was expected")
        raise ConfigError(
            f"the stream {self.name} has lost its first messages, and holds no snapshot of what they led to: take away "
            "the policy that gives it a maximum length or age, and delete the stream to begin anew"
        )
