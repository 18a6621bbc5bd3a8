"""One attempt at one invocation: call the task, watch its time, say what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, CoroutineType
from typing import Any, Literal, Protocol

import msgspec

from trigger_engine.current import CurrentInvocation, running
from trigger_engine.entries.facts import ExceptionFacts, TriggerFired
from trigger_engine.errors import PayloadTooLarge, SerializationError, TaskTimeout
from trigger_engine.log.contract import Invocation
from trigger_engine.runner.exceptions import exception_facts, named_facts
from trigger_engine.runner.threads import Threads
from trigger_engine.task import Task

logger = logging.getLogger(__name__)
StopReason = Literal["timeout", "revoked", "shutdown"]
Place = tuple[tuple[CodeType, int], ...]
_GRACE = 5.0
"""Seconds for an async task to end that was cancelled for its time limit, or because its invocation is not ours."""
_left_alone: set[asyncio.Task[Any]] = set()
"""Tasks that ignored their cancellation: nothing else may hold them."""


class TimerHandle(Protocol):
    """A timer that can be made void."""

    def cancel(self) -> object: ...


class Timers(Protocol):
    """Where time limits are kept: the event loop, or a clock that a test steers."""

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> TimerHandle: ...


class Children(Protocol):
    """Child processes that run `def` tasks."""

    async def run(self, task: Task[Any, Any], invocation: Invocation, context: CurrentInvocation) -> Returned | Raised:
        """What the task did; cancelling kills the child."""
        ...


@dataclass(frozen=True, slots=True)
class Returned:
    """The task returned; `result` is encoded."""

    result: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Raised:
    """The attempt failed; `retryable` by the task's `retry_for`."""

    exception: ExceptionFacts
    retryable: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """The attempt was stopped before it ended: its invocation is no longer ours, or the runner shuts down."""

    reason: Literal["revoked", "shutdown"]


AttemptOutcome = Returned | Raised | Stopped


class Attempt:
    """Runs a claimed invocation once, in a task of its own. `stop` may be called from the event loop at any time.

    `tell` is called once with what came of it; `loop_ends` says whether a cancellation comes from the loop's end.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        invocation: Invocation,
        *,
        timers: Timers,
        threads: Threads,
        children: Children | None,
        max_bytes: int,
        tell: Callable[[Attempt, AttemptOutcome], None],
        loop_ends: Callable[[], bool],
    ) -> None:
        self.task = task
        self.invocation = invocation
        self.invocation_id = invocation.registration.invocation_id
        self.claim_id = invocation.state.claim_id
        self.stop_reason: StopReason | None = None
        self.ended = False
        self._timers = timers
        self._threads = threads
        self._children = children
        self._max_bytes = max_bytes
        self._tell = tell
        self._loop_ends = loop_ends
        self._running: asyncio.Task[Returned | Raised] | None = None
        self._timer: TimerHandle | None = None
        self._given_up = False

    def stop(self, reason: StopReason) -> None:
        """Cancels the running attempt unless it has just ended; the first reason counts."""
        if self.stop_reason is None and self._running is not None and not self._running.done():
            self.stop_reason = reason
            self._running.cancel()
            if reason != "shutdown":
                self._running.get_loop().call_later(_GRACE, self._give_up, self._running)

    def place(self) -> Place:
        """Where its code stands, down to what it awaits; another place means that it has moved on."""
        place: list[tuple[CodeType, int]] = []
        awaited: object = self._running.get_coro() if self._running is not None else None
        while isinstance(awaited, CoroutineType) and awaited.cr_frame is not None:
            place.append((awaited.cr_code, awaited.cr_frame.f_lasti))
            awaited = awaited.cr_await
        return tuple(place)

    def begin(self) -> None:
        """Lets it run."""
        self._timer = self._start_timer()
        # A task for user code alone: one that cancels itself must not look like the loop ending us.
        self._running = asyncio.get_running_loop().create_task(self._outcome())
        self._running.add_done_callback(self._over)

    def _over(self, call: asyncio.Task[Returned | Raised]) -> None:
        if self.ended:
            return
        if self.stop_reason is None and call.cancelling() and self._loop_ends():
            self.stop_reason = "shutdown"
        self._end(None if call.cancelled() else call.result())

    def _give_up(self, call: asyncio.Task[Returned | Raised]) -> None:
        if self.ended:
            return
        logger.warning(
            "invocation:%s of %s ignores its cancellation and is left to end by itself: let CancelledError pass",
            self.invocation_id,
            self.task.task_id,
        )
        _left_alone.add(call)
        call.add_done_callback(_left_alone.discard)
        self._given_up = True
        self._end(None)

    def _end(self, outcome: Returned | Raised | None) -> None:
        self._running = None
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
        if outcome is None or self.stop_reason is not None:
            self._tell(self, self._stopped(outcome))
        else:
            self._tell(self, outcome)

    async def _outcome(self) -> Returned | Raised:
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
            app_id=self.task.app.app_id,
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
        # Never raises: a StopIteration or GeneratorExit cannot pass through a coroutine.
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
        # A task that finishes while the runner shuts down has done its work: it counts.
        return ended if isinstance(ended, Returned) else Stopped("shutdown")

    def _timed_out(self) -> Raised:
        where = "; it ignored its cancellation and was left to end by itself" if self._given_up else ""
        if not self.task.is_async and self._children is None:
            where = "; its thread cannot be stopped and was left to end by itself, run_in='process' would stop it"
            logger.warning("invocation:%s of %s overran its timeout%s", self.invocation_id, self.task.task_id, where)
        message = f"{self.task.task_id} ran longer than its timeout of {self.task.settings.timeout} s{where}"
        return Raised(named_facts(TaskTimeout, message), issubclass(TaskTimeout, self.task.settings.retries.retry_for))


def encode_returned(task: Task[Any, Any], value: Any, max_bytes: int) -> Returned:
    """The outcome of a return value. Raises SerializationError, PayloadTooLarge."""
    raw = task.signature.encode_result(value)
    size = len(bytes(raw))
    if size > max_bytes:
        raise PayloadTooLarge(
            f"task {task.task_id}: its result takes {size:,} bytes encoded, the limit is {max_bytes:,} "
            "(max_payload_bytes): store the data elsewhere and return a reference"
        )
    return Returned(raw)
