"""Supervises runner processes: forwards signals and restarts dead processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)
FIRST_DELAY, LAST_DELAY = 1.0, 30.0
"""Seconds before a dead process is restarted; doubled each time."""
STABLE = 30.0
"""A process that lived this many seconds resets the delay."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_NORMAL_EXITS = frozenset({0, *(-number for number in _SIGNALS), *(128 + number for number in _SIGNALS)})
"""Exit codes of a stopped process. A second signal may arrive after it has restored the default handlers."""
_UP = b"up"
Program = Callable[[int], Sequence[str]]


class Link:
    """The child's end of its connection to the supervisor. If the supervisor dies, the child stops as for SIGTERM."""

    def __init__(self, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        connection.set_inheritable(False)
        connection.setblocking(False)

    def __enter__(self) -> Self:
        self._loop.add_reader(self._connection, self._orphaned)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._loop.remove_reader(self._connection)

    def notify_up(self) -> None:
        """Notifies the supervisor that this process is up."""
        with contextlib.suppress(OSError):
            self._connection.send(_UP)

    def _orphaned(self) -> None:
        self._loop.remove_reader(self._connection)
        logger.warning("the supervisor is gone: stopping")
        os.kill(os.getpid(), signal.SIGTERM)


class Child:
    """One runner process. `generation`: counts code changes before its start."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket, generation: int) -> None:
        self.process = process
        self.generation = generation
        self.started_at = asyncio.get_running_loop().time()
        self._connection = connection

    async def is_up(self) -> bool:
        """Waits until the process is up. Returns False if it ends before that."""
        try:
            return await asyncio.get_running_loop().sock_recv(self._connection, len(_UP)) == _UP
        except ConnectionError:
            return False

    async def ended(self) -> int:
        """Waits for the end of the process. Returns the exit code, negative for a signal."""
        code = await self.process.wait()
        self._connection.close()
        return code

    def send(self, number: int) -> None:
        """Sends a signal unless the process has ended."""
        if self.process.returncode is None:
            self.process.send_signal(number)


class Supervisor:
    """Keeps `processes` copies of a program running. `program`: returns its command line for a link descriptor.

    The first copy must come up before the others are started. If it does not, `run` ends; with `changes` (which yields
    an item for each code change) it waits for the next change. Every change restarts all copies.
    """

    def __init__(self, program: Program, *, processes: int, changes: AsyncIterator[str] | None = None) -> None:
        self._program = program
        self._processes = processes
        self._changes = changes
        self._children: dict[int, Child] = {}
        self._generation = 0
        self._changed = asyncio.Event()
        self._first_up = asyncio.Event()
        self._stopping = asyncio.Event()
        self._signals = 0
        self._failed = False

    async def run(self) -> int:
        """Runs until SIGTERM or SIGINT. Returns the exit code: 0 if every process stopped normally."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._received, number)
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch()) if self._changes is not None else None
                keeping = [group.create_task(self._keep(place)) for place in range(self._processes)]
                await asyncio.wait(keeping)
                if watching is not None:
                    watching.cancel()
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
        return 1 if self._failed else 0

    def _received(self, number: signal.Signals) -> None:
        self._signals += 1
        self._stopping.set()
        forwarded = number if self._signals < 3 else signal.SIGKILL
        logger.info("%s: forwarded to the runner processes", forwarded.name)
        for child in self._children.values():
            child.send(forwarded)

    async def _watch(self) -> None:
        assert self._changes is not None
        async for what in self._changes:
            logger.info("%s has changed: restarting", what)
            self._generation += 1
            self._changed.set()
            self._changed = asyncio.Event()
            for child in self._children.values():
                child.send(signal.SIGTERM)

    async def _keep(self, place: int) -> None:
        """Keeps one copy running until the supervisor stops."""
        if place > 0:
            await self._first(self._first_up)
        delay = FIRST_DELAY
        while not self._stopping.is_set():
            child = await self._start(place)
            was_up = await child.is_up()
            if was_up:
                self._first_up.set()
            code = await child.ended()
            del self._children[place]
            if self._stopping.is_set():
                self._failed |= was_up and code not in _NORMAL_EXITS
            elif child.generation == self._generation:
                delay = FIRST_DELAY if asyncio.get_running_loop().time() - child.started_at > STABLE else delay
                await self._pause(child, was_up, code, delay)
                delay = min(2 * delay, LAST_DELAY)

    async def _pause(self, child: Child, was_up: bool, code: int, delay: float) -> None:
        """Waits until a process that ended unexpectedly may be restarted."""
        if not was_up and self._changes is not None:
            logger.error("process %d did not start: waiting for a code change", child.process.pid)
            await self._first(self._changed)
        elif not was_up and not self._first_up.is_set():
            self._failed = True
            self._stopping.set()
        elif code == 0:
            logger.info("process %d has stopped, starting another", child.process.pid)
        else:
            logger.error("process %d %s, restarting in %.0f s", child.process.pid, _death(code), delay)
            await self._first(self._changed, timeout=delay)

    async def _start(self, place: int) -> Child:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            # It gets its own process group, so that Ctrl-C in a terminal reaches it only through this process.
            process = await asyncio.create_subprocess_exec(
                *self._program(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                process_group=0,
            )
        child = self._children[place] = Child(process, ours, self._generation)
        logger.info("process %d started", process.pid)
        if self._stopping.is_set():
            child.send(signal.SIGTERM)
        return child

    async def _first(self, event: asyncio.Event, *, timeout: float | None = None) -> None:
        """Waits for the event, for the supervisor to stop, or for `timeout` seconds."""
        waiting = [asyncio.ensure_future(one.wait()) for one in (event, self._stopping)]
        try:
            await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()


def _death(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
