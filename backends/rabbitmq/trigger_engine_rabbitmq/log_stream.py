"""The log's stream: the server drops its oldest messages, and snapshots in the stream replace them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trigger_engine.errors import BackendUnavailable, ConfigError
from trigger_engine_rabbitmq.fold import Numbers
from trigger_engine_rabbitmq.messages import Content, Message, SnapshotBegun, SnapshotChunk
from trigger_engine_rabbitmq.stream import Fold, Stream, StreamReplaced

OVERHEAD_BYTES = 128
"""The most that a server stores for a message in addition to its body."""
OUTCOME_IS_LOST = (
    "the server could not be used for so long that the log was shortened meanwhile, and the outcome of this call was "
    "lost: make the same call again"
)


class LogFolding(Fold, Protocol):
    """A fold that can continue from a snapshot."""

    def resume(self, snapshot: bytes) -> Numbers:
        """Continues from a snapshot; returns the writers' numbers in it."""


@dataclass(slots=True)
class _Unfinished:
    """A snapshot that is being read. `read`: the bytes of the stream up to its beginning."""

    offset: int
    read: int
    chunks: int = 0
    size: int = 0


class Snapshots:
    """The snapshots in a stream, as far as it was read.

    `newest`: the offset whose state the newest complete snapshot has, 0 for none. `size`: its bytes. The stream must
    keep everything from `newest` on.
    """

    def __init__(self) -> None:
        self.newest = 0
        self.newest_key = ""
        self.size = 0
        self._unfinished: dict[str, _Unfinished] = {}
        self._read = 0
        self._read_before_newest = 0

    @property
    def bytes_since(self) -> int:
        """The bytes of all messages after `newest`."""
        return self._read - self._read_before_newest

    def begun_at(self, key: str) -> int | None:
        """The offset at which a snapshot began; None if it did not, or another one was completed since."""
        begun = self._unfinished.get(key)
        return None if begun is None else begun.offset

    def note(self, offset: int, size: int, content: Content) -> None:
        """Records the next message of the stream; `size`: of its body."""
        self._read += size + OVERHEAD_BYTES
        if isinstance(content, SnapshotBegun):
            # The first of resent messages counts.
            self._unfinished.setdefault(content.key, _Unfinished(offset, self._read))
        elif isinstance(content, SnapshotChunk):
            self._note_chunk(content)

    def _note_chunk(self, chunk: SnapshotChunk) -> None:
        begun = self._unfinished.get(chunk.key)
        if begun is None or (chunk.begun_at, chunk.number) != (begun.offset, begun.chunks):
            return
        begun.chunks += 1
        begun.size += len(chunk.data)
        if begun.chunks == chunk.count:
            self.newest, self.newest_key, self.size = begun.offset, chunk.key, begun.size
            self._read_before_newest = begun.read
            self._unfinished = {key: each for key, each in self._unfinished.items() if each.offset > begun.offset}


@dataclass(slots=True)
class _Joining:
    """A stream that is read from its middle: collects messages from the first snapshot on, until one is complete."""

    snapshots: Snapshots = field(default_factory=Snapshots)
    messages: list[tuple[int, bytes, Message]] = field(default_factory=list)

    def take(self, offset: int, body: bytes, message: Message) -> bytes | None:
        """Adds the next message; returns the bytes of the snapshot that it completes, or None."""
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
    """A stream whose fold begins with the first message or with a snapshot, so dropped messages are not missed.

    `hint` returns the offset of a snapshot, or 0; only the stream itself shows whether there is one.
    """

    def __init__(self, name: str, arguments: Mapping[str, int], *, fold: LogFolding, hint: Callable[[], int]) -> None:
        super().__init__(name, arguments, fold=fold)
        self._folding = fold
        self._hint = hint
        self._follows_hint = True
        self._joining = _Joining()
        self._is_whole_until = 0
        self.snapshots = Snapshots()

    def start_offset(self) -> int:
        if self.next == 0 and self._follows_hint:
            return self._hint()
        return super().start_offset()

    def ends_before_start(self) -> None:
        self._follows_hint = False
        self.start_over()

    def reconnect(self) -> int | str:
        self._joining = _Joining()
        return super().reconnect()

    def start_over(self) -> None:
        self.snapshots = Snapshots()
        super().start_over()

    def _continues(self, offset: int, body: bytes) -> bool:
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
            # If the message before the gap was dropped, messages after it may have been dropped, too.
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
        """Fails the calls whose messages are in the snapshot: they took effect, but their outcomes are lost."""
        for number in [number for number in self._pending if number <= folded]:
            _, future = self._pending.pop(number)
            if not future.done():
                future.set_exception(BackendUnavailable(OUTCOME_IS_LOST))
                # Nobody waits for the barriers of former connections.
                future.exception()

    def _cannot_join(self) -> None:
        if self._follows_hint and self._hint():
            self._follows_hint = False
            raise StreamReplaced(f"the stream {self.name} has no snapshot where one was expected")
        raise ConfigError(
            f"the stream {self.name} has lost its first messages, and has no snapshot that replaces them: remove the "
            "policy that gives it a maximum length or age, and delete the stream to start over"
        )
