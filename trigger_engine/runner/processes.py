"""Child processes for `def` tasks: spawned when needed, reused, killed on timeout or cancel."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys
from typing import Any

import msgspec

from trigger_engine.app import TriggerEngine
from trigger_engine.current import CurrentInvocation, running
from trigger_engine.errors import RunnerLost, TriggerEngineError
from trigger_engine.log.contract import Invocation
from trigger_engine.modules import module_name_of
from trigger_engine.runner.attempt import Raised, Returned
from trigger_engine.runner.child_messages import (
    HEADER,
    Answer,
    CallTask,
    EmitEvents,
    FromChild,
    RunTask,
    TaskRaised,
    TaskReturned,
    TaskTaken,
    child_decoder,
    frame,
)
from trigger_engine.runner.exceptions import exception_facts, named_facts
from trigger_engine.task import CallOptions, Task

logger = logging.getLogger(__name__)
_CLOSE_TIMEOUT = 2.0
_LAST_WORDS = 0.1
"""Seconds for reading what a child has sent before it ended."""


class Child:
    """One child process and the connection to it."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.process = process
        self._reader = reader
        self._writer = writer
        # A grandchild may hold the socket open: what ends the connection is the end of the child.
        self._ended = asyncio.ensure_future(process.wait())
        self._ended.add_done_callback(self._hang_up_soon)

    async def takes(self, order: RunTask) -> bool:
        """Sends an order; False when the child is gone and has not begun it."""
        try:
            await self.send(order)
            return isinstance(await self.receive(), TaskTaken)
        except (EOFError, ConnectionError):
            return False

    async def send(self, message: RunTask | Answer) -> None:
        self._writer.write(frame(message))
        await self._writer.drain()

    async def receive(self) -> FromChild:
        """The child's next message. Raises EOFError or ConnectionError when it is gone."""
        size = HEADER.unpack(await self._reader.readexactly(HEADER.size))[0]
        return child_decoder.decode(await self._reader.readexactly(size))

    async def kill(self) -> None:
        """Ends the child at once."""
        self.hit()
        await asyncio.wait([self._ended])
        self.hang_up()

    def hit(self) -> None:
        """Kills the child without waiting for its end; that closes the connection."""
        if self.process.returncode is None:
            self.process.kill()

    async def close(self) -> int:
        """Lets a child end that has nothing to do or is ending, kills it when it does not; returns its exit code."""
        self._writer.close()
        if not (await asyncio.wait([self._ended], timeout=_CLOSE_TIMEOUT))[0]:
            await self.kill()
        return self._ended.result()

    def hang_up(self) -> None:
        """Ends the connection to a child that has ended."""
        self._writer.transport.abort()

    def _hang_up_soon(self, _: asyncio.Future[int]) -> None:
        asyncio.get_running_loop().call_later(_LAST_WORDS, self.hang_up)


class ChildProcesses:
    """Runs tasks in child processes; the caller sees to it that at most `limit` run at a time."""

    def __init__(self, app: TriggerEngine, limit: int) -> None:
        self._app = app
        self.limit = limit
        self._idle: list[Child] = []

    async def run(self, task: Task[Any, Any], invocation: Invocation, context: CurrentInvocation) -> Returned | Raised:
        """What the task did in a child. A child that dies fails this invocation only; cancelling kills the child."""
        token = running.set(context)
        order = _order(task, context, invocation, self._app.settings.max_payload_bytes)
        child: Child | None = None
        try:
            while (child := self._take()) is not None and not await child.takes(order):
                # It has died while it was idle, and the task has not begun.
                await child.kill()
            if child is None:
                child = await self._spawn()
                if not await child.takes(order):
                    raise EOFError
            outcome = await self._serve(child)
        except (EOFError, ConnectionError):
            assert child is not None
            facts = named_facts(RunnerLost, _death(await child.close()))
            return Raised(facts, issubclass(RunnerLost, task.settings.retries.retry_for))
        except BaseException:
            if child is not None:
                await asyncio.shield(child.kill())
            raise
        finally:
            running.reset(token)
        self._idle.append(child)
        return outcome

    async def close(self) -> None:
        """Ends the idle children; running ones end with their tasks."""
        idle, self._idle = self._idle, []
        try:
            await asyncio.gather(*(child.close() for child in idle))
        except asyncio.CancelledError:
            # Some may not even have been told to end.
            for child in idle:
                child.hit()
            raise

    def _take(self) -> Child | None:
        while self._idle:
            child = self._idle.pop()
            if child.process.returncode is None:
                return child
            child.hang_up()
        return None

    async def _spawn(self) -> Child:
        ours, theirs = socket.socketpair()
        path = [str(each) for each in sys.path]
        # Its own programs must not see this one's import path: the child takes it out again.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
        own = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        start = json.dumps({"fd": theirs.fileno(), "path": path, "environment": own})
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "trigger_engine.runner.child", start),
                    pass_fds=(theirs.fileno(),),
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except BaseException:
                writer.close()
                raise
        return Child(process, reader, writer)

    async def _serve(self, child: Child) -> Returned | Raised:
        """Answers the child's requests until its task has ended."""
        while True:
            message = await child.receive()
            if isinstance(message, TaskReturned):
                return Returned(msgspec.Raw(message.result))
            if isinstance(message, TaskRaised):
                return Raised(message.exception, message.retryable)
            if isinstance(message, EmitEvents | CallTask):
                await child.send(await self._answer(message))

    async def _answer(self, request: EmitEvents | CallTask) -> Answer:
        try:
            if isinstance(request, EmitEvents):
                return Answer(ids=tuple(await self._app.emit_events(request.events)))
            task = self._app.registry.task(request.task_id)
            options = CallOptions(delay=request.delay, idempotency_key=request.idempotency_key, queue=request.queue)
            invocation = await self._app._enqueue_encoded(task, msgspec.Raw(request.arguments), options)
            return Answer(ids=(invocation.invocation_id,))
        except TriggerEngineError as exc:
            return Answer(error=exception_facts(exc))


def _order(task: Task[Any, Any], context: CurrentInvocation, invocation: Invocation, max_bytes: int) -> RunTask:
    return RunTask(
        module=module_name_of(task.func),
        task_id=task.task_id,
        app_id=context.app_id,
        invocation_id=context.invocation_id,
        attempt=context.attempt,
        depth=context.depth,
        trigger_run_id=context.trigger_run_id,
        arguments=bytes(invocation.registration.arguments),
        max_bytes=max_bytes,
    )


def _death(code: int) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
    return f"the child process that ran the task {how} before the task ended"
