"""The claim: a look that only reads, and one transaction when work is due."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Collection, Iterator
from itertools import islice

import msgspec

from trigger_engine._storage.sqlite.appending import Appended, encode_parts, store
from trigger_engine._storage.sqlite.apps import App, load_app
from trigger_engine._storage.sqlite.database import Database
from trigger_engine._storage.sqlite.invocations import StoredInvocation, load_invocations
from trigger_engine.backend._claim_tracking import compare_claims, start_entry
from trigger_engine.backend._contract import Claims, Invocation

PROMOTED_AT_ONCE = 1_000
_MAX_PLACES = 512


class ClaimRequest(msgspec.Struct, frozen=True):
    """What a runner asks for."""

    runner_id: str
    tasks: frozenset[str]
    queues: frozenset[str]
    holding: frozenset[str]
    limit: int


class ClaimResult(msgspec.Struct, frozen=True):
    """What a runner gets; `next_due` is when the next delayed work is due."""

    claims: Claims
    next_due: float | None


def claim(database: Database, app_id: str, request: ClaimRequest, now: float) -> tuple[ClaimResult, Appended | None]:
    """Starts up to `limit` due invocations; also returns what it appended, None when nothing is due."""
    found, due = database.read(lambda connection: _look(connection, app_id, request, now))
    if not due:
        return found, None
    taken, appended = database.write(lambda connection: _take(connection, app_id, request, now))
    claims = msgspec.structs.replace(taken.claims, stranded=found.claims.stranded, revoked=found.claims.revoked)
    return ClaimResult(claims, taken.next_due), appended


def _look(connection: sqlite3.Connection, app_id: str, request: ClaimRequest, now: float) -> tuple[ClaimResult, bool]:
    """What can be said without taking anything, and whether work is due."""
    app = load_app(connection, app_id)
    stranded, revoked = _held(connection, app, request)
    if request.limit <= 0:
        return ClaimResult(Claims(stranded=stranded, revoked=revoked), None), False
    next_due = _next_due(connection, app)
    waiting = {task_id for _, task_id in _waiting(connection, app, request.queues)}
    due = bool(waiting & request.tasks) or (next_due is not None and next_due <= now)
    unknown = frozenset(waiting - request.tasks)
    return ClaimResult(Claims(stranded=stranded, revoked=revoked, unknown=unknown), next_due), due


def _take(
    connection: sqlite3.Connection, app_id: str, request: ClaimRequest, now: float
) -> tuple[ClaimResult, Appended]:
    """Starts due invocations in the open transaction."""
    app = load_app(connection, app_id)
    _promote(connection, app, now, at_once=max(PROMOTED_AT_ONCE, request.limit))
    waiting = _waiting(connection, app, request.queues)
    known = [each for each in waiting if each[1] in request.tasks]
    invocations = load_invocations(connection, app, _oldest(connection, app, known, request.limit))
    begun, appended = _start(connection, app, invocations, request.runner_id, now)
    claims = Claims(started=begun, unknown=frozenset(task_id for _, task_id in waiting) - request.tasks)
    return ClaimResult(claims, _next_due(connection, app)), appended


def _held(connection: sqlite3.Connection, app: App, request: ClaimRequest) -> tuple[list[Invocation], frozenset[str]]:
    """Invocations that this runner holds without knowing it, and the ids of claims that it has lost."""
    found = connection.execute(
        "SELECT claim_id, place FROM invocations WHERE app = ? AND runner_id = ? AND status IN ('pending', 'running')",
        (app.number, request.runner_id),
    )
    places = dict(found.fetchall())
    stranded, revoked = compare_claims(places, request.holding)
    return load_invocations(connection, app, [places[claim_id] for claim_id in stranded]), revoked


def _next_due(connection: sqlite3.Connection, app: App) -> float | None:
    row = connection.execute(
        "SELECT delayed_until FROM invocations WHERE app = ? AND delayed_until IS NOT NULL "
        "ORDER BY delayed_until LIMIT 1",
        (app.number,),
    ).fetchone()
    return None if row is None else float(row[0])


def _promote(connection: sqlite3.Connection, app: App, now: float, at_once: int) -> None:
    """Puts delayed work that is due into its queue."""
    connection.execute(
        "UPDATE invocations SET ready_in = queue, delayed_until = NULL WHERE place IN ("
        "SELECT place FROM invocations WHERE app = ? AND delayed_until <= ? ORDER BY delayed_until LIMIT ?)",
        (app.number, now, at_once),
    )


def _waiting(connection: sqlite3.Connection, app: App, queues: Collection[str]) -> list[tuple[str, str]]:
    """Every (queue, task id) with waiting work; the steps over the index cost the same however much work waits."""
    found = []
    for queue in queues or _waiting_queues(connection, app):
        task_id = ""
        while row := connection.execute(
            "SELECT task_id FROM invocations WHERE app = ? AND ready_in = ? AND task_id > ? ORDER BY task_id LIMIT 1",
            (app.number, queue, task_id),
        ).fetchone():
            task_id = str(row[0])
            found.append((queue, task_id))
    return found


def _waiting_queues(connection: sqlite3.Connection, app: App) -> list[str]:
    """Every queue with waiting work."""
    found: list[str] = []
    while row := connection.execute(
        "SELECT ready_in FROM invocations WHERE app = ? AND ready_in > ? ORDER BY ready_in LIMIT 1",
        (app.number, found[-1] if found else ""),
    ).fetchone():
        found.append(str(row[0]))
    return found


def _oldest(connection: sqlite3.Connection, app: App, waiting: Collection[tuple[str, str]], limit: int) -> list[int]:
    """Places of the oldest work over all these queues and tasks; reads each only as far as needed."""
    places = [_places(connection, app, queue, task_id) for queue, task_id in waiting]
    return list(islice(heapq.merge(*places), limit))


def _places(connection: sqlite3.Connection, app: App, queue: str, task_id: str) -> Iterator[int]:
    """Places of one task's waiting work, oldest first, read in growing chunks."""
    last, size = 0, 1
    while True:
        (found,) = connection.execute(
            "SELECT json_group_array(place) FROM (SELECT place FROM invocations "
            "WHERE app = ? AND ready_in = ? AND task_id = ? AND place > ? ORDER BY place LIMIT ?)",
            (app.number, queue, task_id, last, size),
        ).fetchone()
        chunk = msgspec.json.decode(found, type=list[int])
        yield from chunk
        if len(chunk) < size:
            return
        last, size = chunk[-1], min(8 * size, _MAX_PLACES)


def _start(
    connection: sqlite3.Connection, app: App, invocations: list[Invocation], runner_id: str, now: float
) -> tuple[list[Invocation], Appended]:
    entries = [start_entry(each.registration, each.state, runner_id=runner_id, now=now) for each in invocations]
    stored = {
        each.registration.invocation_id: StoredInvocation(
            each.registration.invocation_id, app.place(each.registered_at), each.registration.queue, each.state
        )
        for each in invocations
    }
    parts = [(entry,) for entry in entries]
    appended = store(connection, app, parts, ids={}, invocations=stored, encoded=encode_parts(parts), now=now)
    begun = [
        Invocation(each.registration, each.registered_at, appended.validation.moved[entry.invocation_id], entry)
        for each, entry in zip(invocations, entries, strict=True)
    ]
    return begun, appended
