"""What an open log writes to its run of entries, and what it keeps of it so that less has to be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from trigger_engine.log.contract import Batch, Bookmark, Outcome, Part
from trigger_engine.log.sqlite import appending, claiming
from trigger_engine.log.sqlite.appending import Outdated, Stored
from trigger_engine.log.sqlite.database import Database
from trigger_engine.log.sqlite.known_rows import KnownRows
from trigger_engine.log.sqlite.recent import RecentEntries
from trigger_engine.log.sqlite.wakeup import Wakeup, notify


@dataclass(slots=True)
class Written:
    """What is kept of what was written, and where the log ended when it was last looked at."""

    recent: RecentEntries = field(default_factory=RecentEntries)
    rows: KnownRows = field(default_factory=KnownRows)
    end: tuple[Bookmark, object] | None = None
    """A bookmark behind which nobody else had written by then, and the newest sign of others at that time."""

    def after(self, bookmark: Bookmark, limit: int, others: object, file: object) -> Batch | None:
        """The entries after a bookmark, as far as they are known without a look into the file; else None."""
        batch = self.recent.after(bookmark, limit, file)
        if self.end != (bookmark, others):
            return batch
        if batch is None:
            return Batch([], bookmark)
        self.end = batch.bookmark, others
        return batch

    def read(self, batch: Batch, others: object) -> None:
        """Notes what a look into the file has brought. `others`: the newest sign of them before it."""
        if not batch.entries:
            self.end = batch.bookmark, others

    def forget(self) -> None:
        self.recent.forget()
        self.rows.forget()
        self.end = None

    def take(self, stored: Stored, file: object) -> None:
        """Keeps what was just committed to a file."""
        source = (stored.log_id, file)
        self.recent.add(source, stored.admission.accepted, sum(map(len, stored.encoded.values())))
        self.rows.note(source, stored.rows)


@dataclass(frozen=True, slots=True)
class Writing:
    """The transactions that append, each with what follows its commit; they run in the writer's thread."""

    app_id: str
    wakeup: Wakeup
    written: Written

    def append(
        self, database: Database, parts: Sequence[Part], encoded: appending.Encoded, now: float
    ) -> list[Outcome]:
        """Appends parts, and wakes whoever waits for them."""

        def trusting(connection: sqlite3.Connection) -> Stored:
            return appending.append_trusting(
                connection,
                self.app_id,
                parts,
                encoded=encoded,
                now=now,
                known=self.written.rows,
                file=database.file,
            )

        def looking(connection: sqlite3.Connection) -> Stored:
            return appending.append(connection, self.app_id, parts, encoded=encoded, now=now)

        try:
            stored = database.write(trusting)
        except Outdated:
            stored = database.write(looking)
        self._committed(database, stored)
        return stored.admission.outcomes

    def claim(self, database: Database, request: claiming.Request, now: float) -> claiming.Look:
        """Looks, and takes what is due."""
        seen = database.read(lambda connection: claiming.look(connection, self.app_id, request, now))
        if not seen.due:
            return seen
        taken, stored = database.write(lambda connection: claiming.take(connection, self.app_id, request, now))
        self._committed(database, stored)
        claims = msgspec.structs.replace(taken.claims, stranded=seen.claims.stranded, revoked=seen.claims.revoked)
        return claiming.Look(claims, taken.due, taken.next_due)

    def _committed(self, database: Database, stored: Stored) -> None:
        if stored.admission.accepted:
            self.written.take(stored, database.file)
            notify(self.wakeup, queue=stored.admission.stirs_queue)
