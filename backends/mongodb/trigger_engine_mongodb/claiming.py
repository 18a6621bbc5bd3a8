"""Claims: what is due in this process's fold is started by an append, and taken when it was read back as the first."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from trigger_engine.entries.facts import Started
from trigger_engine.log.admission import Registration
from trigger_engine.log.claims import compare_held, started
from trigger_engine.log.contract import Accepted, Claims, Invocation
from trigger_engine.log.rivals import GRACE_SECONDS, is_first
from trigger_engine_mongodb.appending import Writer
from trigger_engine_mongodb.projection import Projection
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.run_queue import FoldedQueue, Open
from trigger_engine_mongodb.settlements import Settlements
from trigger_engine_mongodb.store import Store

MOST_SHARES = 10
"""Of how many rivals' shares is looked through for a runner's own."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a runner would take: up to `limit` of these tasks in these queues (none: all of them).

    `patient`: it waits, so that what is rather for its rivals can be left to them for a moment.
    """

    runner_id: str
    tasks: Collection[str]
    queues: Collection[str]
    limit: int
    patient: bool


class Claimer:
    """Gives work of one open log."""

    def __init__(
        self,
        store: Store,
        reader: Reader,
        queue: FoldedQueue,
        projection: Projection,
        *,
        writer: Writer,
        settlements: Settlements,
    ) -> None:
        self._store = store
        self._reader = reader
        self._queue = queue
        self._projection = projection
        self._writer = writer
        self._settlements = settlements
        self._leaving: set[str] = set()

    async def claim(self, wanted: Wanted, *, holding: Collection[str], now: float) -> tuple[Claims, float | None]:
        """One look, and in how many seconds work is due that waits for its time. `now`: when starts are made."""
        self._settlements.begin_look()
        # Read before the log: what is begun meanwhile may not be in it, and is not revoked.
        held = frozenset(holding)
        await self._queue.look()
        by_claim, stranded, revoked = self._compare(wanted.runner_id, held)
        if stranded or revoked:
            # What the runner has been given, or another process has made of it, may stand behind a hole.
            await self._queue.follow((await self._reader.tail()).position)
            by_claim, stranded, revoked = self._compare(wanted.runner_id, held)
        claims = Claims(
            stranded=await self._projection.held({each: by_claim[each] for each in stranded}), revoked=revoked
        )
        due_by = await self._due_by(now)
        if wanted.limit > 0:
            taken = await self._start_due(wanted, due_by, now)
            unknown = self._queue.unknown(wanted.tasks, wanted.queues, due_by)
            claims = msgspec.structs.replace(claims, started=taken, unknown=unknown)
        return claims, self._next_look(wanted, due_by)

    def _compare(self, runner_id: str, held: frozenset[str]) -> tuple[dict[str, Open], frozenset[str], frozenset[str]]:
        """What the runner holds in the log, and the claims that are stranded and revoked."""
        by_claim = self._queue.held_by(runner_id)
        stranded, revoked = compare_held(by_claim, held)
        return by_claim, stranded - self._settlements.are_done(stranded), revoked - self._settlements.begun

    def _next_look(self, wanted: Wanted, due_by: float) -> float | None:
        next_due = self._queue.next_due()
        seconds = [] if next_due is None else [next_due - due_by]
        if wanted.runner_id in self._leaving:
            seconds.append(GRACE_SECONDS)
        return min(seconds, default=None)

    async def _due_by(self, now: float) -> float:
        """The server's clock decides, not this process's; it is asked where something waits for its time."""
        return now if self._queue.next_due() is None else (await self._store.head()).now

    async def _start_due(self, wanted: Wanted, due_by: float, now: float) -> list[Invocation]:
        """Starts what is due, until this brings something or nothing is left."""
        while chosen := self._choose(wanted, due_by):
            try:
                starts = await self._starts(chosen, wanted.runner_id, now)
                taken = await self._take(starts, wanted.runner_id)
            finally:
                self._queue.put_back(chosen)
            if taken or not starts:
                return taken
        return []

    def _choose(self, wanted: Wanted, due_by: float) -> list[Open]:
        """Those that are rather for rivals are left to them for a moment, if the caller can wait so long."""
        now = time.monotonic()
        rivals = self._queue.rivals.of(wanted.runner_id, now) if wanted.patient else ()
        room = wanted.limit * (1 + min(len(rivals), MOST_SHARES))
        found = self._queue.choose(wanted.tasks, wanted.queues, room, due_by)
        own = [each for each in found if is_first(wanted.runner_id, rivals, each.invocation_id)]
        ripe = [each for each in found if each.changed < now - GRACE_SECONDS]
        chosen = list(dict.fromkeys([*own, *ripe]))[: wanted.limit]
        if len(chosen) < len(found):
            self._queue.put_back(set(found) - set(chosen))
        self._leaving.discard(wanted.runner_id)
        if found and not chosen:
            self._leaving.add(wanted.runner_id)
        return chosen

    async def _take(self, starts: list[tuple[Registration, Started]], runner_id: str) -> list[Invocation]:
        """Appends starts, and returns what no other process has started before."""
        outcomes = await self._writer.append([(entry,) for _, entry in starts])
        positions = [outcome.position for outcome in outcomes if isinstance(outcome, Accepted)]
        await self._queue.follow(max(positions, default=0))
        held = self._queue.held_by(runner_id)
        own = [(registration, entry, held[entry.claim_id]) for registration, entry in starts if entry.claim_id in held]
        return [Invocation(registration, each.registered_at, each.state, entry) for registration, entry, each in own]

    async def _starts(self, chosen: Sequence[Open], runner_id: str, now: float) -> list[tuple[Registration, Started]]:
        """Each with its registration, which may have to be fetched."""
        registrations = await self._projection.registrations([each for each in chosen if each.registration is None])
        starts = []
        for each in chosen:
            registration = each.registration or registrations.get(each.invocation_id)
            if registration is not None:
                starts.append((registration, started(registration, each.state, runner_id=runner_id, now=now)))
        return starts
