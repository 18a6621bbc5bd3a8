"""Child processes for `def` tasks: spawned on demand, reused, killed on timeout or cancellation."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import sys

import msgspec

from trigger_engine._client.current import CurrentInvocation, running
from trigger_engine._client.internals import AppInternals
from trigger_engine._client.task_calls import CallOptions
from trigger_engine._declare.modules import module_name_of
from trigger_engine._declare.task_definition import TaskDefinition
from trigger_engine._runtime.worker.attempt import Raised, Returned
from trigger_engine._runtime.worker.child_messages import (
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
from trigger_engine._runtime.worker.exceptions import exception_facts, named_facts
from trigger_engine.backend._contract import Invocation
from trigger_engine.errors import RunnerLost, TriggerEngineError

logger = logging.getLogger(__name__)
_CLOSE_TIMEOUT = 2.0
_FINAL_READ_DELAY = 0.1
"""Seconds to read what a child sent before it ended."""


class Child:
    """One child process and the connection to it."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.process = process
        self._reader = reader
        self._writer = writer
        # A grandchild may keep the socket open, so the child's exit closes the connection.
        self._ended = asyncio.ensure_future(process.wait())
        self._ended.add_done_callback(self._hang_up_soon)

    async def accepts(self, request: RunTask) -> bool:
        """Sends a request; returns False if the child is gone and has not started it."""
        try:
            await self.send(request)
            return isinstance(await self.receive(), TaskTaken)
        except (EOFError, ConnectionError):
            return False

    async def send(self, message: RunTask | Answer) -> None:
        self._writer.write(frame(message))
        await self._writer.drain()

    async def receive(self) -> FromChild:
        """The child's next message. Raises EOFError or ConnectionError if the child is gone."""
        size = HEADER.unpack(await self._reader.readexactly(HEADER.size))[0]
        return child_decoder.decode(await self._reader.readexactly(size))

    async def kill(self) -> None:
        """Kills the child and waits for its exit."""
        self.kill_nowait()
        await asyncio.wait([self._ended])
        self.hang_up()

    def kill_nowait(self) -> None:
        """Kills the child without waiting; its exit closes the connection."""
        if self.process.returncode is None:
            self.process.kill()

    async def close(self) -> int:
        """Asks the child to exit, kills it after a timeout, and returns its exit code."""
        self._writer.close()
        if not (await asyncio.wait([self._ended], timeout=_CLOSE_TIMEOUT))[0]:
            await self.kill()
        return self._ended.result()

    def hang_up(self) -> None:
        """Closes the connection to a child that has exited."""
        self._writer.transport.abort()

    def _hang_up_soon(self, _: asyncio.Future[int]) -> None:
        asyncio.get_running_loop().call_later(_FINAL_READ_DELAY, self.hang_up)


class ChildProcesses:
    """Runs tasks in child processes. The caller ensures that at most `limit` run at a time."""

    def __init__(self, internals: AppInternals, limit: int) -> None:
        self._internals = internals
        self.limit = limit
        self._idle: list[Child] = []

    async def run(self, task: TaskDefinition, invocation: Invocation, context: CurrentInvocation) -> Returned | Raised:
        """Runs the task in a child. If the child dies, only this attempt fails. Cancelling kills the child."""
        token = running.set(context)
        request = _request(task, context, invocation, self._internals.settings.max_payload_bytes)
        child: Child | None = None
        try:
            while (child := self._pop_idle()) is not None and not await child.accepts(request):
                # The child died while idle, so the task has not started.
                await child.kill()
            if child is None:
                child = await self._spawn()
                if not await child.accepts(request):
                    raise EOFError
            outcome = await self._serve(child)
        except (EOFError, ConnectionError):
            assert child is not None
            facts = named_facts(RunnerLost, _exit_message(await child.close()))
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
        """Ends the idle children. Busy children end with their tasks."""
        idle, self._idle = self._idle, []
        try:
            await asyncio.gather(*(child.close() for child in idle))
        except asyncio.CancelledError:
            # Some children may not have been asked to exit yet.
            for child in idle:
                child.kill_nowait()
            raise

    def _pop_idle(self) -> Child | None:
        while self._idle:
            child = self._idle.pop()
            if child.process.returncode is None:
                return child
            child.hang_up()
        return None

    async def _spawn(self) -> Child:
        ours, theirs = socket.socketpair()
        path = [str(folder) for folder in sys.path]
        # The child removes PYTHONPATH again, so that programs it starts do not inherit it.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
        own = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        start = json.dumps({"fd": theirs.fileno(), "path": path, "environment": own})
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "trigger_engine._runtime.worker.child", start),
                    pass_fds=(theirs.fileno(),),
                    env=environment,
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except BaseException:
                writer.close()
                raise
        return Child(process, reader, writer)

    async def _serve(self, child: Child) -> Returned | Raised:
        """Answers the child's requests until its task ends."""
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
                return Answer(ids=tuple(await self._internals.emit(request.events)))
            task = self._internals.registry.task(request.task_id)
            options = CallOptions(delay=request.delay, idempotency_key=request.idempotency_key, queue=request.queue)
            return Answer(ids=(await self._internals.enqueue(task, msgspec.Raw(request.arguments), options),))
        except TriggerEngineError as exc:
            return Answer(error=exception_facts(exc))


def _request(task: TaskDefinition, context: CurrentInvocation, invocation: Invocation, max_bytes: int) -> RunTask:
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


def _exit_message(code: int) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
    return f"the child process that ran the task {how} before the task ended"
