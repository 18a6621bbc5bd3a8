"""A log in a list that stores every entry, including void ones and repeated ids."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from trigger_engine._model.encoding import decode_entry, encode_entry
from trigger_engine._model.entries import AnyEntry, InvocationRegistered, Position, TriggerFired
from trigger_engine.backend._contract import (
    Accepted,
    Batch,
    Checkpoint,
    Claims,
    Cursor,
    EventLog,
    Invocation,
    Outcome,
    Part,
    RunnerFacts,
    RunnerRow,
)
from trigger_engine.backend._cursor import check_cursor
from trigger_engine.errors import BackendUnavailable


class StoredLog(EventLog):
    """Implements reading. The other roles return only what a test sets (`rows`, `checkpoint`, `stored`)."""

    refuses_void = False

    def __init__(self, log_id: str = "log") -> None:
        self.log_id = log_id
        self.entries: dict[Position, bytes] = {}
        self.ids: dict[Position, str] = {}
        self.last: Position = 0
        self.trimmed: Position = 0
        self.rows: list[RunnerRow] = []
        self.checkpoint: Checkpoint | None = None
        self.stored: dict[str, Invocation] = {}
        self.reads = 0
        self.is_down = False

    def add(self, entry: AnyEntry) -> Position:
        self.last += 1
        self.entries[self.last] = encode_entry(entry)
        self.ids[self.last] = entry.id
        return self.last

    def cut(self, upto: Position) -> None:
        """Removes the entries up to a position."""
        for position in [one for one in self.entries if one <= upto]:
            del self.entries[position], self.ids[position]
        self.trimmed = upto

    def decoded(self) -> list[tuple[Position, AnyEntry]]:
        return [(position, decode_entry(data)) for position, data in self.entries.items()]

    def registration(self, invocation_id: str) -> InvocationRegistered | TriggerFired:
        for _, entry in self.decoded():
            if isinstance(entry, (InvocationRegistered, TriggerFired)) and entry.invocation_id == invocation_id:
                return entry
        raise KeyError(invocation_id)

    def cursor(self, position: Position) -> Cursor:
        return Cursor(self.log_id, position, self.ids.get(position, ""))

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        self.reads += 1
        self._check()
        check_cursor(
            after,
            log_id=self.log_id,
            trimmed=self.trimmed,
            tail=self.last,
            entry_id=self.ids.get(after.position),
            location="a list",
        )
        found = [(at, decode_entry(data)) for at, data in self.entries.items() if at > after.position][:limit]
        return Batch(found, self.cursor(found[-1][0]) if found else after)

    async def tail(self) -> Cursor:
        self._check()
        return self.cursor(self.last)

    async def start(self) -> Cursor:
        return self.cursor(self.trimmed)

    async def runners(self) -> list[RunnerRow]:
        return self.rows

    async def load_checkpoint(self, name: str) -> Checkpoint | None:
        return self.checkpoint

    async def invocation(self, invocation_id: str) -> Invocation | None:
        return self.stored.get(invocation_id)

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        return [Accepted(max(self.add(entry) for entry in part)) for part in parts]

    async def claim(
        self,
        runner_id: str,
        *,
        tasks: Collection[str],
        queues: Collection[str],
        holding: Collection[str],
        limit: int,
        wait: float = 0.0,
    ) -> Claims:
        return Claims()

    async def heartbeat(self, facts: RunnerFacts, *, ttl: float) -> None: ...

    async def leave(self, runner_id: str) -> None: ...

    async def orphans(self, *, limit: int = 1000) -> list[Invocation]:
        return []

    async def acquire(self, name: str, owner: str, *, ttl: float) -> bool:
        return False

    async def release(self, name: str, owner: str) -> None: ...

    async def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        return False

    async def trim(self, before: Cursor, *, keys_before: float, limit: int = 10_000) -> int:
        return 0

    async def clear(self) -> None: ...

    async def close(self) -> None: ...

    def _check(self) -> None:
        if self.is_down:
            raise BackendUnavailable("the list is unreachable: try again")
