"""Runner processes under one supervisor: signals are passed on, dead processes are started again."""

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
"""Seconds before a dead process is started again; doubled each time."""
CALM = 30.0
"""Seconds of life after which a death counts as the first one again."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_WELL_ENDED = frozenset({0, *(-number for number in _SIGNALS), *(128 + number for number in _SIGNALS)})
"""Exit codes of a process that was told to stop; a second signal may meet it when it has restored its handlers."""
_UP = b"up"
Program = Callable[[int], Sequence[str]]


class Link:
    """The child's end of its connection to the supervisor. When that is gone the child stops as for SIGTERM."""

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

    def say_up(self) -> None:
        """Tells the supervisor that this process works."""
        with contextlib.suppress(OSError):
            self._connection.send(_UP)

    def _orphaned(self) -> None:
        self._loop.remove_reader(self._connection)
        logger.warning("the supervisor is gone: stopping")
        os.kill(os.getpid(), signal.SIGTERM)


class Child:
    """One runner process. `generation`: the state of the code that it was started with."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket, generation: int) -> None:
        self.process = process
        self.generation = generation
        self.started_at = asyncio.get_running_loop().time()
        self._connection = connection

    async def is_up(self) -> bool:
        """Waits until it says that it works, and returns False when it ends before."""
        try:
            return await asyncio.get_running_loop().sock_recv(self._connection, len(_UP)) == _UP
        except ConnectionError:
            return False

    async def ended(self) -> int:
        """Waits for its end; the exit code, below 0 for a signal."""
        code = await self.process.wait()
        self._connection.close()
        return code

    def send(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.process.returncode is None:
            self.process.send_signal(number)


class Supervisor:
    """Keeps `processes` copies of a program running. `program`: its command line, given the descriptor of its link.

    The first copy must come up before the others are started; when it does not, `run` ends, or with `changes` (an item
    each time the code has changed) waits for the next change. Every change starts all copies again.
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
        """Runs until SIGTERM or SIGINT; the exit code: 0 when every process then ended well."""
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
        passed_on = number if self._signals < 3 else signal.SIGKILL
        logger.info("%s: passed on to the runner processes", passed_on.name)
        for child in self._children.values():
            child.send(passed_on)

    async def _watch(self) -> None:
        assert self._changes is not None
        async for what in self._changes:
            logger.info("%s has changed: starting again", what)
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
                self._failed |= was_up and code not in _WELL_ENDED
            elif child.generation == self._generation:
                delay = FIRST_DELAY if asyncio.get_running_loop().time() - child.started_at > CALM else delay
                await self._pause(child, was_up, code, delay)
                delay = min(2 * delay, LAST_DELAY)

    async def _pause(self, child: Child, was_up: bool, code: int, delay: float) -> None:
        """Waits until a process that ended by itself is to be started again."""
        if not was_up and self._changes is not None:
            logger.error("process %d did not start: waiting for a change of the code", child.process.pid)
            await self._first(self._changed)
        elif not was_up and not self._first_up.is_set():
            self._failed = True
            self._stopping.set()
        elif code == 0:
            logger.info("process %d has stopped, another one takes its place", child.process.pid)
        else:
            logger.error("process %d %s, another one starts in %.0f s", child.process.pid, _death(code), delay)
            await self._first(self._changed, timeout=delay)

    async def _start(self, place: int) -> Child:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            # A group of its own: a terminal's Ctrl-C must reach it once, through this process.
            process = await asyncio.create_subprocess_exec(
                *self._program(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                process_group=0,
            )
        child = self._children[place] = Child(process, ours, self._generation)
        logger.info("process %d starts", process.pid)
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
