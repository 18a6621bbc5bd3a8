"""A handle on one invocation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.core.status_entries import status_entry
from trigger_engine.entries.facts import Cancelled, Failed, Succeeded
from trigger_engine.errors import InvocationCancelled, InvocationNotFound, ResultTimeout, TaskFailed
from trigger_engine.log.contract import Accepted
from trigger_engine.log.contract import Invocation as StoredInvocation
from trigger_engine.log.fresh import fresh_id
from trigger_engine.result_follower import not_found

if TYPE_CHECKING:
    from trigger_engine.app import TriggerEngine

R = TypeVar("R")


class Invocation(Generic[R]):
    """One call of a task, wherever it runs.

    Attributes: `invocation_id`, `task_id`.
    """

    def __init__(self, app: TriggerEngine, invocation_id: str, task_id: str) -> None:
        self._app = app
        self.invocation_id = invocation_id
        self.task_id = task_id

    def __repr__(self) -> str:
        return f"<Invocation {self.task_id} invocation:{self.invocation_id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Invocation) and other.invocation_id == self.invocation_id

    def __hash__(self) -> int:
        return hash(self.invocation_id)

    async def status(self) -> InvocationStatus:
        """Where it stands now. Raises InvocationNotFound, BackendUnavailable."""
        return (await self._stored()).state.status

    async def result(self, timeout: float | None = None) -> R:
        """The task's return value once it has ended; waits up to `timeout` seconds, None without limit.

        Raises TaskFailed, InvocationCancelled, ResultTimeout, InvocationNotFound, BackendUnavailable.
        """
        stored = await self._stored()
        if stored.state.status.is_final:
            return cast(R, outcome(stored, self._decode_result))
        session = await self._app._connections.session()
        try:
            async with asyncio.timeout(timeout):
                ended = await session.results.ended(self.invocation_id)
        except TimeoutError:
            raise ResultTimeout(
                f"invocation:{self.invocation_id} of {self.task_id} has not ended within {timeout} s: "
                "give more time, or see that a runner is up (trigger-engine doctor)"
            ) from None
        return cast(R, outcome(ended, self._decode_result))

    async def cancel(self) -> bool:
        """Ends it CANCELLED unless it has ended already, and says whether this did; a running task is stopped."""
        session = await self._app._connections.session()
        cancel_id = fresh_id()
        while True:
            stored = await self._stored()
            if stored.state.status.is_final:
                return False
            now = self._app._connections.clock()
            entry = status_entry(
                Cancelled, stored.registration, stored.state, now=now, cause=self.invocation_id, cancel_id=cancel_id
            )
            if isinstance(await session.append_entry(entry), Accepted):
                # A log that stores what is void says only by what is read back whether this was the end.
                return session.log.refuses_void or (await session.results.ended(self.invocation_id)).latest == entry

    async def rerun(self) -> Invocation[R]:
        """Enqueues a new invocation of the same task with the same arguments, and returns it."""
        return await self._app._rerun(await self._stored())

    async def _stored(self) -> StoredInvocation:
        session = await self._app._connections.session()
        found = await session.log.invocation(self.invocation_id)
        if found is None:
            raise InvocationNotFound(not_found(self.invocation_id))
        return found

    def _decode_result(self, raw: msgspec.Raw) -> Any:
        return self._app._decode_result(self.task_id, raw)


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
