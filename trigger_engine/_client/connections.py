"""Sessions on open logs, one per process and event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from typing import Any
from weakref import WeakKeyDictionary, ref

from trigger_engine._client.result_follower import ResultFollower
from trigger_engine._finishing import finish
from trigger_engine._storage.group_commit import RESEND_DELAYS, GroupCommit
from trigger_engine.backend._contract import Backend, Clock, EventLog, Outcome, Part


class Session:
    """An app's open log on one event loop, with its group commit and its result follower."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.commits = GroupCommit(log, resend_delays=() if log.resends else RESEND_DELAYS)
        self.results = ResultFollower(log)

    async def append(self, *parts: Part) -> list[Outcome]:
        """Appends parts durably in one atomic write, and returns one outcome per part.

        Raises BackendUnavailable if the backend stays unreachable, SerializationError, PayloadTooLarge.
        """
        return await self.commits.submit(parts) if parts else []

    async def close(self) -> None:
        """Flushes pending appends and closes the log."""
        try:
            await self.results.aclose()
        finally:
            try:
                await self.commits.aclose()
            finally:
                await self.log.close()


class Connections:
    """The sessions of one backend.

    Each event loop opens its own on first use. Sessions of closed loops, and of the parent process after a fork, are
    dropped.
    """

    def __init__(self, backend: Backend, clock: Clock, *, steady: Clock = time.monotonic) -> None:
        self.backend = backend
        self.clock = clock
        self.steady = steady
        """A clock for durations: seconds from an arbitrary origin, unaffected by changes of the system time."""
        self._pid = os.getpid()
        self._reset()

    def _reset(self) -> None:
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, Session] = WeakKeyDictionary()
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self._users: WeakKeyDictionary[asyncio.AbstractEventLoop, Counter[int]] = WeakKeyDictionary()
        self._newest: tuple[ref[asyncio.AbstractEventLoop], Session] | None = None

    async def session(self) -> Session:
        """The running loop's session, opened on first use. Raises BackendUnavailable, ConfigError."""
        loop = self._running_loop()
        # Read once: a thread with another loop may replace it at any time.
        newest = self._newest
        if newest is not None and newest[0]() is loop:
            return newest[1]
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
            self._reset()
        return asyncio.get_running_loop()

    def _drop_dead_loops(self) -> None:
        """Removes closed loops. Weak keys alone would not, because a session refers to its loop."""
        tables: tuple[WeakKeyDictionary[asyncio.AbstractEventLoop, Any], ...]
        tables = (self._sessions, self._locks, self._users)
        for table in tables:
            for loop in [reference() for reference in table.keyrefs()]:
                if loop is not None and loop.is_closed():
                    table.pop(loop, None)

    def enter(self, user: object) -> None:
        """Registers a user of the running loop's session, by identity. The same object may enter several times."""
        loop = self._running_loop()
        self._users.setdefault(loop, Counter())[id(user)] += 1

    async def leave(self, user: object) -> None:
        """Unregisters a user. The last one closes the session, and completes the close even if cancelled.

        Raises RuntimeError if the user has not entered.
        """
        loop = self._running_loop()
        users = self._users.get(loop, Counter())
        if not users[id(user)]:
            raise RuntimeError(
                f"{user!r} was exited more often than it was entered on this event loop: use async with, or pair each "
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
