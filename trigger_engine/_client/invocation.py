"""`Invocation`: a handle on one invocation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import msgspec

from trigger_engine._client.internals import AppInternals
from trigger_engine._client.result_follower import not_found
from trigger_engine._engine.lifecycle import InvocationStatus, status_entry
from trigger_engine._model.entries import Cancelled, Failed, Succeeded
from trigger_engine.backend._contract import Accepted
from trigger_engine.backend._contract import Invocation as StoredInvocation
from trigger_engine.backend._ids import fresh_id
from trigger_engine.errors import InvocationCancelled, InvocationNotFound, ResultTimeout, TaskFailed

R = TypeVar("R")


class Invocation(Generic[R]):
    """A handle on one call of a task, whichever runner executes it.

    Attributes: `invocation_id`, `task_id`. Invocations with the same id are equal.
    """

    def __init__(self, internals: AppInternals, invocation_id: str, task_id: str) -> None:
        self._internals = internals
        self.invocation_id = invocation_id
        self.task_id = task_id

    def __repr__(self) -> str:
        return f"<Invocation {self.task_id} invocation:{self.invocation_id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Invocation) and other.invocation_id == self.invocation_id

    def __hash__(self) -> int:
        return hash(self.invocation_id)

    async def status(self) -> InvocationStatus:
        """The current status. Raises InvocationNotFound, BackendUnavailable."""
        return (await self._stored()).state.status

    async def result(self, timeout: float | None = None) -> R:
        """Waits for the invocation to end and returns the task's return value.

        `timeout`: seconds; None waits without limit.
        Raises TaskFailed, InvocationCancelled, ResultTimeout, InvocationNotFound, BackendUnavailable.
        """
        stored = await self._stored()
        if stored.state.status.is_final:
            return cast(R, outcome(stored, self._decode_result))
        session = await self._internals.connections.session()
        try:
            async with asyncio.timeout(timeout):
                ended = await session.results.ended(self.invocation_id)
        except TimeoutError:
            raise ResultTimeout(
                f"invocation:{self.invocation_id} of {self.task_id} has not ended within {timeout} s: "
                "allow more time, or check that a runner is up (trigger-engine doctor)"
            ) from None
        return cast(R, outcome(ended, self._decode_result))

    async def cancel(self) -> bool:
        """Cancels the invocation and stops its running task. Returns False if it had already ended.

        Raises InvocationNotFound, BackendUnavailable.
        """
        session = await self._internals.connections.session()
        cancel_id = fresh_id()
        while True:
            stored = await self._stored()
            if stored.state.status.is_final:
                return False
            now = self._internals.connections.clock()
            entry = status_entry(
                Cancelled, stored.registration, stored.state, now=now, cause=self.invocation_id, cancel_id=cancel_id
            )
            if isinstance((await session.append((entry,)))[0], Accepted):
                # A log that stores void entries shows only on reading back whether this entry took effect.
                return session.log.refuses_void or (await session.results.ended(self.invocation_id)).latest == entry

    async def rerun(self) -> Invocation[R]:
        """Enqueues a new invocation of the same task with the same arguments, and returns it.

        Raises InvocationNotFound, BackendUnavailable.
        """
        return Invocation(self._internals, await self._internals.rerun(await self._stored()), self.task_id)

    async def _stored(self) -> StoredInvocation:
        session = await self._internals.connections.session()
        found = await session.log.invocation(self.invocation_id)
        if found is None:
            raise InvocationNotFound(not_found(self.invocation_id))
        return found

    def _decode_result(self, raw: msgspec.Raw) -> Any:
        return self._internals.decode_result(self.task_id, raw)


async def find_invocation(internals: AppInternals, invocation_id: str) -> Invocation[Any]:
    """A handle on a stored invocation. Raises InvocationNotFound, BackendUnavailable."""
    session = await internals.connections.session()
    stored = await session.log.invocation(invocation_id)
    if stored is None:
        raise InvocationNotFound(not_found(invocation_id))
    return Invocation(internals, invocation_id, stored.registration.task_id)


def outcome(stored: StoredInvocation, decode: Callable[[msgspec.Raw], Any]) -> Any:
    """The result of an ended invocation. Raises TaskFailed, InvocationCancelled."""
    end = stored.latest
    if isinstance(end, Succeeded):
        return decode(end.result)
    if isinstance(end, Failed):
        raise TaskFailed(
            invocation_id=end.invocation_id,
            task_id=end.task_id,
            exception_type=end.exception.type,
            exception_message=end.exception.message,
            traceback=end.exception.traceback,
        )
    raise InvocationCancelled(f"invocation:{stored.registration.invocation_id} was cancelled: it has no result")
