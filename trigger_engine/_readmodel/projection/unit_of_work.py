"""The row changes of one batch, and a cache of the rows looked up for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Protocol

from trigger_engine._model.entries import (
    AnyEntry,
    EventEmitted,
    InvocationEntry,
    Position,
    TriggerFired,
    TriggerRejected,
)
from trigger_engine._readmodel.store.rows import (
    MICROSECONDS,
    EventRow,
    InvocationRow,
    KeptRow,
    NoticeRow,
    ParticipantRow,
    RunRow,
    Source,
    StatusRow,
    TickRow,
    VoidRow,
)

BLOCK_SIZE = 1024
"""The number of entries whose times are summarized in one block."""


class Lookup(Protocol):
    """Lookups of stored rows. A loaded event has no payload."""

    def event(self, event_id: str) -> EventRow | None: ...

    def events(self, event_ids: Collection[str]) -> list[EventRow]: ...

    def runs(self, run_ids: Collection[str]) -> list[RunRow]: ...

    def invocations(self, invocation_ids: Collection[str]) -> list[InvocationRow]: ...

    def key_used(self, entry_id: str) -> bool: ...

    def tick(self, entry_id: str) -> TickRow | None: ...

    def run(self, run_id: str) -> RunRow | None: ...

    def invocation(self, invocation_id: str) -> InvocationRow | None: ...

    def status(self, entry_id: str) -> Source | None: ...

    def has_notice(self, entry_id: str) -> bool: ...

    def has_contribution(self, trigger_id: str, condition_id: str, entry_id: str) -> bool: ...


class UnitOfWork:
    """Rows that are new or changed since the last flush. Lookups are cached, so each row is one object."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup
        self.clear()

    def clear(self) -> None:
        """Clears everything after a flush or a failure."""
        self.new_events: list[EventRow] = []
        self.new_ticks: dict[str, TickRow] = {}
        self.new_runs: list[RunRow] = []
        self.new_participants: list[ParticipantRow] = []
        self.new_invocations: list[InvocationRow] = []
        self.new_statuses: list[StatusRow] = []
        self.new_notices: dict[str, NoticeRow] = {}
        self.new_voids: list[VoidRow] = []
        self.kept: dict[tuple[str, str, str], KeptRow | None] = {}
        self.changed_events: dict[int, EventRow] = {}
        self.changed_invocations: dict[int, InvocationRow] = {}
        self.activity: dict[tuple[int, str], tuple[int, Position]] = {}
        self.tally: Counter[tuple[str, str | int]] = Counter()
        self.blocks: dict[int, tuple[int, int, int, int]] = {}
        self.fired: set[tuple[str, str]] = set()
        self._events: dict[str, EventRow | None] = {}
        self._runs: dict[str, RunRow | None] = {}
        self._invocations: dict[str, InvocationRow | None] = {}
        self._status_sources: dict[str, Source] = {}

    def prepare(self, entries: Iterable[tuple[Position, AnyEntry]]) -> None:
        """Looks up in bulk the rows that these entries refer to; most do not exist yet."""
        event_ids: set[str] = set()
        invocation_ids: set[str] = set()
        run_ids: set[str] = set()
        for _, entry in entries:
            if isinstance(entry, EventEmitted):
                event_ids.add(entry.id)
            elif isinstance(entry, InvocationEntry):
                invocation_ids.add(entry.invocation_id)
            if isinstance(entry, (TriggerFired, TriggerRejected)):
                run_ids.add(entry.id)
                event_ids.update([participant.entry_id for participant in entry.participants])
        self._events |= dict.fromkeys(event_ids) | {row.event_id: row for row in self.lookup.events(event_ids)}
        self._runs |= dict.fromkeys(run_ids) | {row.run_id: row for row in self.lookup.runs(run_ids)}
        self._invocations |= dict.fromkeys(invocation_ids)
        self._invocations |= {row.invocation_id: row for row in self.lookup.invocations(invocation_ids)}

    def count(self, folded: int, position: int, time: int, kind: str) -> None:
        """Counts an entry in its minute and widens the time range of its block."""
        minute = (time // (60 * MICROSECONDS), kind)
        self.activity[minute] = (self.activity.get(minute, (0, 0))[0] + 1, position)
        block = folded // BLOCK_SIZE
        known = self.blocks.get(block)
        if known is None:
            self.blocks[block] = (position, position, time, time)
        else:
            first, _, earliest, latest = known
            self.blocks[block] = (first, position, min(earliest, time), max(latest, time))

    def event(self, event_id: str) -> EventRow | None:
        """Returns the event with this id, or None."""
        if event_id not in self._events:
            self._events[event_id] = self.lookup.event(event_id)
        return self._events[event_id]

    def add_event(self, row: EventRow) -> None:
        """Adds a new event."""
        self._events[row.event_id] = row
        self.new_events.append(row)
        self.tally["event", row.outcome] += 1

    def raise_outcome(self, event_id: str, outcome: int) -> None:
        """Raises the outcome of an event; it never decreases. Ids of other entries are ignored."""
        row = self.event(event_id)
        if row is not None and row.outcome < outcome:
            self.tally["event", row.outcome] -= 1
            self.tally["event", outcome] += 1
            row.outcome = outcome
            self.changed_events[row.position] = row

    def invocation(self, invocation_id: str) -> InvocationRow | None:
        """Returns the invocation with this id, or None."""
        if invocation_id not in self._invocations:
            self._invocations[invocation_id] = self.lookup.invocation(invocation_id)
        return self._invocations[invocation_id]

    def add_invocation(self, row: InvocationRow) -> None:
        """Adds a new invocation."""
        self._invocations[row.invocation_id] = row
        self.new_invocations.append(row)
        self.tally["invocation", row.status] += 1

    def add_status(self, row: StatusRow, invocation_id: str) -> None:
        """Adds a move of an invocation."""
        self.new_statuses.append(row)
        self.tally["invocation", row.came_from] -= 1
        self.tally["invocation", row.status] += 1
        self._status_sources[row.entry_id] = Source(row.position, "status", row.time, None, invocation_id, row.status)

    def keep(self, row: KeptRow) -> None:
        """Adds a new or changed contribution."""
        self.kept[(row.trigger_id, row.condition_id, row.entry_id)] = row

    def tick(self, entry_id: str) -> TickRow | None:
        """Returns the cron tick with this id, or None."""
        return self.new_ticks.get(entry_id) or self.lookup.tick(entry_id)

    def run(self, run_id: str) -> RunRow | None:
        """Returns the trigger run with this id, or None."""
        if run_id not in self._runs:
            self._runs[run_id] = self.lookup.run(run_id)
        return self._runs[run_id]

    def add_run(self, row: RunRow) -> None:
        """Adds a new trigger run."""
        self._runs[row.run_id] = row
        self.new_runs.append(row)
        self.tally["run", int(row.rejected)] += 1

    def add_void(self, row: VoidRow) -> None:
        """Adds a void entry."""
        self.new_voids.append(row)
        self.tally["void", ""] += 1

    def has_notice(self, entry_id: str) -> bool:
        """Returns whether a notice with this id exists."""
        return entry_id in self.new_notices or self.lookup.has_notice(entry_id)

    def has_contribution(self, trigger_id: str, condition_id: str, entry_id: str) -> bool:
        """Returns whether an entry was kept for a condition before, or has fired the trigger."""
        return (
            (trigger_id, entry_id) in self.fired
            or self.kept.get((trigger_id, condition_id, entry_id)) is not None
            or self.lookup.has_contribution(trigger_id, condition_id, entry_id)
        )

    def source(self, entry_id: str, kind: str) -> Source:
        """Returns the source that met a condition of this kind ("unknown" if the trigger is not known)."""
        if kind == "cron":
            return self._tick_source(entry_id)
        if kind == "event":
            return self._event_source(entry_id)
        if kind == "unknown":
            found = self._event_source(entry_id)
            if found.time is None:
                found = self._tick_source(entry_id)
            return found if found.time is not None else self._task_source(entry_id, "status")
        return self._task_source(entry_id, kind)

    def _event_source(self, entry_id: str) -> Source:
        row = self.event(entry_id)
        if row is None:
            return Source(kind="event")
        return Source(row.position, "event", row.time, row.event_code, row.emitter_invocation_id)

    def _tick_source(self, entry_id: str) -> Source:
        row = self.tick(entry_id)
        if row is None:
            return Source(kind="cron")
        return Source(row.position, "cron", row.time, None, None, None, row.scheduled_for)

    def _task_source(self, entry_id: str, kind: str) -> Source:
        found = self._status_sources.get(entry_id) or self.lookup.status(entry_id) or self._registered_source(entry_id)
        return Source(found.position, kind, found.time, None, found.invocation_id, found.status)

    def _registered_source(self, entry_id: str) -> Source:
        invocation = self.invocation(entry_id)
        if invocation is not None:
            return Source(invocation.position, "status", invocation.time, None, entry_id, "registered")
        run = self.run(entry_id)
        if run is None:
            return Source()
        return Source(run.position, "status", run.time, None, run.invocation_id, "registered")
