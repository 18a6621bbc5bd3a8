"""Reads logs and the states of invocations."""

from typing import Any, TypeVar

from trigger_engine import TriggerEngine
from trigger_engine._client.invocation import Invocation
from trigger_engine._engine.lifecycle import InvocationState, InvocationStatus, move, statuses_reached
from trigger_engine._model.entries import AnyEntry, InvocationRegistered, StatusEntry, TriggerFired
from trigger_engine.backend._contract import Cursor, EventLog

E = TypeVar("E")


async def entries(app: TriggerEngine) -> list[AnyEntry]:
    """Every entry of the app's log, in order."""
    return await entries_of((await app._internals.connections.session()).log)


async def entries_of(log: EventLog) -> list[AnyEntry]:
    """Every entry of a log, in order."""
    at: Cursor = await log.start()
    found: list[AnyEntry] = []
    while (batch := await log.follow(at)).entries:
        found += [entry for _, entry in batch.entries]
        at = batch.cursor
    return found


async def entries_of_type(app: TriggerEngine, kind: type[E]) -> list[E]:
    """Every entry of one type, in order."""
    return [entry for entry in await entries(app) if isinstance(entry, kind)]


async def is_ended(invocation: Invocation[Any]) -> bool:
    """True once it has a final status."""
    return (await invocation.status()).is_final


async def has_status(invocation: Invocation[Any], status: InvocationStatus) -> bool:
    """True while it has this status."""
    return await invocation.status() is status


async def is_running(invocation: Invocation[Any]) -> bool:
    """True while a runner works on it."""
    return await has_status(invocation, InvocationStatus.RUNNING)


async def statuses(app: TriggerEngine, invocation: Invocation[Any] | str) -> list[str]:
    """The statuses of an invocation, in log order.

    Fails on a void entry, unless the log stores void entries.
    """
    log = (await app._internals.connections.session()).log
    wanted = invocation if isinstance(invocation, str) else invocation.invocation_id
    state: InvocationState | None = None
    seen: list[str] = []
    for entry in await entries_of(log):
        if isinstance(entry, (InvocationRegistered, TriggerFired)) and entry.invocation_id == wanted:
            state = InvocationState()
            seen.append("registered")
        elif isinstance(entry, StatusEntry) and entry.invocation_id == wanted:
            assert state is not None, "a status before the registration"
            moved = move(state, entry)
            if isinstance(moved, str) and not log.refuses_void:
                continue
            assert isinstance(moved, InvocationState), moved
            seen += statuses_reached(state.status, moved.status)
            state = moved
    return [str(status) for status in seen]
