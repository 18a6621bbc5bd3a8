"""Claims: rows are offered to one claimer for a moment, its start is appended, and counts when the fold says so."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Any

from pymongo import UpdateOne

from trigger_engine.log.claims import compare_held, started
from trigger_engine.log.contract import Accepted, Claims, Invocation
from trigger_engine_mongodb.appending import Writer
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.documents import invocation_of
from trigger_engine_mongodb.projection import Projection
from trigger_engine_mongodb.store import Head, Store

OFFER_SECONDS = 10.0
"""How long a row is kept for a claimer that may have died; the fold decides all the same."""


class Claimer:
    """Gives work of one open log."""

    def __init__(self, store: Store, projection: Projection, writer: Writer) -> None:
        self._store = store
        self._projection = projection
        self._writer = writer

    async def claim(
        self,
        runner_id: str,
        *,
        tasks: Collection[str],
        queues: Collection[str],
        holding: Collection[str],
        limit: int,
        now: float,
    ) -> tuple[Claims, float | None]:
        """One look, and in how many seconds work is due that waits for its time. `now`: when starts are made."""
        # Read before the rows: what is begun meanwhile may not be in them, and is not revoked.
        held = frozenset(holding)
        head = await self._projection.follow()
        due_by = self._due_by(head, now)
        rows = {row["claim"]: row for row in await self._store.server.find(self._store.rows, {"holder": runner_id})}
        stranded, revoked = compare_held(rows, held)
        due = {"waiting": True, "due": {"$lte": due_by}} | ({"queue": {"$in": list(queues)}} if queues else {})
        taken = await self._take(runner_id, due | {"task": {"$in": list(tasks)}}, limit, head, now)
        claims = Claims(
            started=taken,
            stranded=sorted((invocation_of(rows[each]) for each in stranded), key=lambda each: each.registered_at),
            revoked=revoked,
            unknown=await self._unknown(due | {"task": {"$nin": list(tasks)}}) if limit > 0 else frozenset(),
        )
        return claims, await self._next_due(due_by)

    async def _take(self, runner_id: str, due: Document, limit: int, head: Head, now: float) -> list[Invocation]:
        if limit <= 0:
            return []
        offered = await self._offer(due, limit, head)
        entries = {}
        for row in offered:
            invocation = invocation_of(row)
            entry = started(invocation.registration, invocation.state, runner_id=runner_id, now=now)
            entries[row["_id"]] = entry
        if not entries:
            return []
        outcomes = await self._writer.append([(entry,) for entry in entries.values()])
        positions = [outcome.position for outcome in outcomes if isinstance(outcome, Accepted)]
        await self._projection.follow(max(positions))
        rows = await self._store.server.find(self._store.rows, {"_id": {"$in": list(entries)}}, sort=("at", 1))
        return [invocation_of(row) for row in rows if row["claim"] == entries[row["_id"]].claim_id]

    async def _offer(self, due: Document, limit: int, head: Head) -> Sequence[Document]:
        """Due rows, oldest first, that nobody else is about to take."""
        free = {"offered_until": {"$lte": head.now}}
        found = await self._store.server.find(self._store.rows, due | free, sort=("at", 1), limit=limit)
        if not found:
            return []
        token = secrets.token_hex(8)
        offer = {"$set": {"offer": token, "offered_until": head.now + OFFER_SECONDS}}
        updates = [UpdateOne({"_id": row["_id"], "changed": row["changed"]} | free, offer) for row in found]
        rows: Any = self._store.server.collection(self._store.rows)
        await self._store.server.ask(lambda: rows.bulk_write(updates, ordered=False))
        own = {"_id": {"$in": [row["_id"] for row in found]}, "offer": token, "waiting": True}
        return await self._store.server.find(self._store.rows, own, sort=("at", 1))

    async def _unknown(self, query: Document) -> frozenset[str]:
        found = await self._store.server.aggregate(self._store.rows, [{"$match": query}, {"$group": {"_id": "$task"}}])
        return frozenset(each["_id"] for each in found)

    def _due_by(self, head: Head, now: float) -> float:
        """The server's clock decides, not this process's."""
        return head.now

    async def _next_due(self, due_by: float) -> float | None:
        later = {"waiting": True, "due": {"$gt": due_by}}
        found = await self._store.server.find(self._store.rows, later, sort=("due", 1), limit=1, only={"due": 1})
        return float(found[0]["due"]) - due_by if found else None
