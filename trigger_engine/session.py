"""Open logs, one per process and event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

from trigger_engine.entries.facts import AnyEntry
from trigger_engine.finishing import finish
from trigger_engine.log.contract import Backend, Clock, EventLog, Outcome, Part
from trigger_engine.log.group_commit import RESEND_DELAYS, GroupCommit
from trigger_engine.result_follower import ResultFollower


class Session:
    """One app's open log on one event loop, with its group commit and its result follower."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.commits = GroupCommit(log, resend_delays=() if log.resends else RESEND_DELAYS)
        self.results = ResultFollower(log)

    async def append(self, part: Part) -> Outcome:
        """Appends one part durably.

        Raises BackendUnavailable when the backend stays unreachable, SerializationError, PayloadTooLarge.
        """
        return (await self.commits.submit((part,)))[0]

    async def append_all(self, parts: Sequence[Part]) -> list[Outcome]:
        """Appends several parts in one atomic write; raises what `append` raises."""
        return await self.commits.submit(parts) if parts else []

    async def append_entry(self, entry: AnyEntry) -> Outcome:
        """Appends one entry as a part of its own."""
        return (await self.commits.submit(((entry,),)))[0]

    async def close(self) -> None:
        """Flushes what is being appended and closes the log."""
        try:
            await self.results.aclose()
        finally:
            try:
                await self.commits.aclose()
            finally:
                await self.log.close()


class Connections:
    """The sessions of one backend: a loop opens its own on first use, a dead loop's and a parent's are dropped."""

    def __init__(self, backend: Backend, clock: Clock, *, steady: Clock = time.monotonic) -> None:
        self.backend = backend
        self.clock = clock
        self.steady = steady
        """Seconds that never jump, from any beginning: for how long something lasts."""
        self._pid = os.getpid()
        self._forget()

    def _forget(self) -> None:
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, Session] = WeakKeyDictionary()
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._users: WeakKeyDictionary[asyncio.AbstractEventLoop, Counter[int]] = WeakKeyDictionary()
        self._newest: tuple[ref[asyncio.AbstractEventLoop], Session] | None = None

    async def session(self) -> Session:
        """The running loop's session, opened on first use. Raises BackendUnavailable, ConfigError."""
        loop = self._running_loop()
        if self._newest is not None and self._newest[0]() is loop:
            return self._newest[1]
        async with self._locks.setdefault(loop, asyncio.Lock()):
            session = self._sessions.get(loop)
            if session is None:
                self._drop_dead_loops()
                session = Session(await self.backend.open(clock=self.clock))
                self._sessions[loop] = session
        self._newest = ref(loop), session
        return session

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._forget()
        return asyncio.get_running_loop()

    def _drop_dead_loops(self) -> None:
        """A session refers to its loop, so that a weak key alone would keep both."""
        tables: tuple[WeakKeyDictionary[asyncio.AbstractEventLoop, Any], ...]
        tables = (self._sessions, self._locks, self._users)
        for table in tables:
            for loop in [reference() for reference in table.keyrefs()]:
                if loop is not None and loop.is_closed():
                    table.pop(loop, None)

    def enter(self, user: object) -> None:
        """Counts a user of the running loop's session, by identity; the same one may enter several times."""
        loop = self._running_loop()
        self._users.setdefault(loop, Counter())[id(user)] += 1

    async def leave(self, user: object) -> None:
        """Uncounts a user; the last one closes the session, to the end, also when it is cancelled meanwhile.

        Raises RuntimeError for one that has not entered.
        """
        loop = self._running_loop()
        users = self._users.get(loop, Counter())
        if not users[id(user)]:
            raise RuntimeError(
                f"{user!r} was left more often than it was entered on this event loop: write async with, or pair each "
                "__aexit__ with an __aenter__"
            )
        users[id(user)] -= 1
        if users.total() > 0:
            return
        self._users.pop(loop, None)
        session = self._sessions.pop(loop, None)
        self._newest = None
        if session is not None:
            await finish(session.close())
