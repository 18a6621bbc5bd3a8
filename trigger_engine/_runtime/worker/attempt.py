"""One attempt at an invocation: call the task, enforce its timeout, report the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, CoroutineType
from typing import Any, Literal, Protocol

import msgspec

from trigger_engine._client.current import CurrentInvocation, running
from trigger_engine._declare.task_definition import TaskDefinition
from trigger_engine._model.entries import ExceptionFacts, TriggerFired
from trigger_engine._runtime.worker.exceptions import exception_facts, named_facts
from trigger_engine._runtime.worker.threads import Threads
from trigger_engine.backend._contract import Invocation
from trigger_engine.errors import PayloadTooLarge, SerializationError, TaskTimeout

logger = logging.getLogger(__name__)
StopReason = Literal["timeout", "revoked", "shutdown"]
CodePosition = tuple[tuple[CodeType, int], ...]
_GRACE = 5.0
"""Seconds an async task may take to end after it was cancelled by a timeout or a revoked claim."""
_abandoned_tasks: set[asyncio.Task[Any]] = set()
"""Tasks that ignored their cancellation. Nothing else may hold a reference to them."""


class TimerHandle(Protocol):
    """A timer that can be cancelled."""

    def cancel(self) -> object: ...


class Timers(Protocol):
    """Schedules timeouts: the event loop, or a test's manual clock."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> TimerHandle: ...


class Children(Protocol):
    """Child processes that run `def` tasks."""

    async def run(self, task: TaskDefinition, invocation: Invocation, context: CurrentInvocation) -> Returned | Raised:
        """Runs the task in a child and returns its outcome; cancelling kills the child."""
        ...


@dataclass(frozen=True, slots=True)
class Returned:
    """The task returned; `result` is encoded."""

    result: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Raised:
    """The attempt failed. `retryable`: whether the task's `retry_for` covers the exception."""

    exception: ExceptionFacts
    retryable: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """The attempt was stopped before it ended: its claim was revoked, or the runner is shutting down."""

    reason: Literal["revoked", "shutdown"]


AttemptOutcome = Returned | Raised | Stopped


class Attempt:
    """Runs a claimed invocation once, in its own asyncio task. `stop` may be called from the event loop at any time.

    `on_end` is called once, with the outcome. `is_shutting_down`: whether a cancellation comes from the runner.
    """

    def __init__(
        self,
        task: TaskDefinition,
        invocation: Invocation,
        *,
        app_id: str,
        timers: Timers,
        threads: Threads,
        children: Children | None,
        max_bytes: int,
        on_end: Callable[[Attempt, AttemptOutcome], None],
        is_shutting_down: Callable[[], bool],
    ) -> None:
        self.task = task
        self.invocation = invocation
        self._app_id = app_id
        self.invocation_id = invocation.registration.invocation_id
        self.claim_id = invocation.state.claim_id
        self.stop_reason: StopReason | None = None
        self.ended = False
        self._timers = timers
        self._threads = threads
        self._children = children
        self._max_bytes = max_bytes
        self._on_end = on_end
        self._is_shutting_down = is_shutting_down
        self._running: asyncio.Task[Returned | Raised] | None = None
        self._timer: TimerHandle | None = None
        self._abandoned = False

    def stop(self, reason: StopReason) -> None:
        """Cancels the attempt if it is still running. Only the first call's reason counts."""
        if self.stop_reason is None and self._running is not None and not self._running.done():
            self.stop_reason = reason
            self._running.cancel()
            if reason != "shutdown":
                self._running.get_loop().call_later(_GRACE, self._abandon, self._running)

    def code_position(self) -> CodePosition:
        """The code and instruction of each frame in its await chain. If this changes, the task has made progress."""
        position: list[tuple[CodeType, int]] = []
        awaited: object = self._running.get_coro() if self._running is not None else None
        while isinstance(awaited, CoroutineType) and awaited.cr_frame is not None:
            position.append((awaited.cr_code, awaited.cr_frame.f_lasti))
            awaited = awaited.cr_await
        return tuple(position)

    def start(self) -> None:
        """Starts the attempt."""
        self._timer = self._start_timer()
        # User code gets its own task: one that cancels itself must not look like a shutdown.
        self._running = asyncio.get_running_loop().create_task(self._run())
        self._running.add_done_callback(self._finished)

    def _finished(self, call: asyncio.Task[Returned | Raised]) -> None:
        if self.ended:
            return
        if self.stop_reason is None and call.cancelling() and self._is_shutting_down():
            self.stop_reason = "shutdown"
        self._end(None if call.cancelled() else call.result())

    def _abandon(self, call: asyncio.Task[Returned | Raised]) -> None:
        if self.ended:
            return
        logger.warning(
            "invocation:%s of %s ignored its cancellation and was left running: do not suppress CancelledError",
            self.invocation_id,
            self.task.task_id,
        )
        _abandoned_tasks.add(call)
        call.add_done_callback(_abandoned_tasks.discard)
        self._abandoned = True
        self._end(None)

    def _end(self, outcome: Returned | Raised | None) -> None:
        self._running = None
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
        if outcome is None or self.stop_reason is not None:
            self._on_end(self, self._stopped(outcome))
        else:
            self._on_end(self, outcome)

    async def _run(self) -> Returned | Raised:
        try:
            return await self._call()
        except BaseException as exc:
            return self._raised(exc, own_frames=2)

    def _start_timer(self) -> TimerHandle | None:
        seconds = self.task.settings.timeout
        return None if seconds is None else self._timers.call_later(seconds, self.stop, "timeout")

    async def _call(self) -> Returned | Raised:
        registration = self.invocation.registration
        arguments = self.task.signature.decode_arguments(registration.arguments)
        context = CurrentInvocation(
            app_id=self._app_id,
            invocation_id=self.invocation_id,
            task_id=self.task.task_id,
            attempt=self.invocation.state.attempt,
            arguments=arguments,
            trigger_run_id=registration.id if isinstance(registration, TriggerFired) else None,
            depth=registration.depth,
            claim_id=self.claim_id,
            loop=asyncio.get_running_loop(),
        )
        if self._children is not None:
            return await self._children.run(self.task, self.invocation, context)
        running.set(context)
        if self.task.is_async:
            return encode_returned(self.task, await self.task.func(**arguments), self._max_bytes)
        return await self._threads.run(lambda: self._call_in_thread(arguments))

    def _call_in_thread(self, arguments: dict[str, Any]) -> Returned | Raised:
        # Must not raise: StopIteration and GeneratorExit cannot propagate through a coroutine.
        try:
            return encode_returned(self.task, self.task.func(**arguments), self._max_bytes)
        except BaseException as exc:
            return self._raised(exc, own_frames=1)

    def _raised(self, exc: BaseException, *, own_frames: int) -> Raised:
        retryable = isinstance(exc, self.task.settings.retries.retry_for) and not isinstance(exc, SerializationError)
        return Raised(exception_facts(exc, own_frames=own_frames), retryable)

    def _stopped(self, ended: AttemptOutcome | None) -> AttemptOutcome:
        if self.stop_reason == "timeout":
            return self._timed_out()
        if self.stop_reason == "revoked":
            return Stopped("revoked")
        # A task that finishes while the runner shuts down counts as successful.
        return ended if isinstance(ended, Returned) else Stopped("shutdown")

    def _timed_out(self) -> Raised:
        where = "; it ignored its cancellation and was left running" if self._abandoned else ""
        if not self.task.is_async and self._children is None:
            where = "; its thread cannot be stopped and was left running (run_in='process' makes tasks killable)"
            logger.warning("invocation:%s of %s exceeded its timeout%s", self.invocation_id, self.task.task_id, where)
        message = f"{self.task.task_id} exceeded its timeout of {self.task.settings.timeout} s{where}"
        return Raised(named_facts(TaskTimeout, message), issubclass(TaskTimeout, self.task.settings.retries.retry_for))


def encode_returned(task: TaskDefinition, value: Any, max_bytes: int) -> Returned:
    """Encodes a return value. Raises SerializationError, PayloadTooLarge."""
    raw = task.signature.encode_result(value)
    size = len(bytes(raw))
    if size > max_bytes:
        raise PayloadTooLarge(
            f"task {task.task_id}: its result takes {size:,} bytes encoded, the limit is {max_bytes:,} "
            "(max_payload_bytes): store the data elsewhere and return a reference"
        )
    return Returned(raw)
