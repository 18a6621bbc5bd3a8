"""The claim: a cheap look, and one transaction when there is due work."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Collection, Iterator
from itertools import islice

import msgspec

from trigger_engine.log.claims import compare_held, started
from trigger_engine.log.contract import Claims, Invocation
from trigger_engine.log.sqlite.appending import Stored, admit_and_store, encode_parts
from trigger_engine.log.sqlite.apps import App, load_app
from trigger_engine.log.sqlite.invocations import Row, load_invocations

PROMOTED_AT_ONCE = 1_000
_MOST_PLACES = 512


class Request(msgspec.Struct, frozen=True):
    """What a runner asks for."""

    runner_id: str
    tasks: frozenset[str]
    queues: frozenset[str]
    holding: frozenset[str]
    limit: int


class Look(msgspec.Struct, frozen=True):
    """What a look found. `due`: there is work to give; `next_due`: when the next delayed work is due."""

    claims: Claims
    due: bool
    next_due: float | None


def look(connection: sqlite3.Connection, app_id: str, request: Request, now: float) -> Look:
    """Says what a claim would bring, without taking anything."""
    app = load_app(connection, app_id)
    stranded, revoked = _held(connection, app, request)
    claims = Claims(stranded=stranded, revoked=revoked)
    if request.limit <= 0:
        return Look(claims, due=False, next_due=None)
    next_due = _next_due(connection, app)
    waiting = {task_id for _, task_id in _waiting(connection, app, request.queues)}
    due = bool(waiting & request.tasks) or (next_due is not None and next_due <= now)
    return Look(msgspec.structs.replace(claims, unknown=frozenset(waiting - request.tasks)), due, next_due)


def take(connection: sqlite3.Connection, app_id: str, request: Request, now: float) -> tuple[Look, Stored]:
    """Starts up to `limit` due invocations, in the transaction that is open; also tells what it stored."""
    app = load_app(connection, app_id)
    _promote(connection, app, now, at_once=max(PROMOTED_AT_ONCE, request.limit))
    waiting = _waiting(connection, app, request.queues)
    known = [place for place in waiting if place[1] in request.tasks]
    invocations = load_invocations(connection, app, _oldest(connection, app, known, request.limit))
    begun, stored = _start(connection, app, invocations, request.runner_id, now)
    claims = Claims(started=begun, unknown=frozenset(task_id for _, task_id in waiting) - request.tasks)
    return Look(claims, due=bool(invocations), next_due=_next_due(connection, app)), stored


def _held(connection: sqlite3.Connection, app: App, request: Request) -> tuple[list[Invocation], frozenset[str]]:
    """What this runner holds in the store without knowing it, and the claims it believes in but has lost."""
    found = connection.execute(
        "SELECT claim_id, place FROM invocations WHERE app = ? AND runner_id = ? AND status IN ('pending', 'running')",
        (app.number, request.runner_id),
    )
    places = dict(found.fetchall())
    stranded, revoked = compare_held(places, request.holding)
    return load_invocations(connection, app, [places[claim_id] for claim_id in stranded]), revoked


def _next_due(connection: sqlite3.Connection, app: App) -> float | None:
    row = connection.execute(
        "SELECT delayed_until FROM invocations WHERE app = ? AND delayed_until IS NOT NULL "
        "ORDER BY delayed_until LIMIT 1",
        (app.number,),
    ).fetchone()
    return None if row is None else float(row[0])


def _promote(connection: sqlite3.Connection, app: App, now: float, at_once: int) -> None:
    """Lets delayed work whose time has come wait in its queue."""
    connection.execute(
        "UPDATE invocations SET ready_in = queue, delayed_until = NULL WHERE place IN ("
        "SELECT place FROM invocations WHERE app = ? AND delayed_until <= ? ORDER BY delayed_until LIMIT ?)",
        (app.number, now, at_once),
    )


def _waiting(connection: sqlite3.Connection, app: App, queues: Collection[str]) -> list[tuple[str, str]]:
    """Every (queue, task id) for which work waits, by steps over the index, however much of it there is."""
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
    """Every queue in which work waits."""
    found: list[str] = []
    while row := connection.execute(
        "SELECT ready_in FROM invocations WHERE app = ? AND ready_in > ? ORDER BY ready_in LIMIT 1",
        (app.number, found[-1] if found else ""),
    ).fetchone():
        found.append(str(row[0]))
    return found


def _oldest(connection: sqlite3.Connection, app: App, waiting: Collection[tuple[str, str]], limit: int) -> list[int]:
    """Places of the oldest work over all these queues and tasks; each is read only as far as it is needed."""
    places = [_places(connection, app, queue, task_id) for queue, task_id in waiting]
    return list(islice(heapq.merge(*places), limit))


def _places(connection: sqlite3.Connection, app: App, queue: str, task_id: str) -> Iterator[int]:
    """Places of one task's waiting work, oldest first, in chunks that grow as more is asked for."""
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
        last, size = chunk[-1], min(8 * size, _MOST_PLACES)


def _start(
    connection: sqlite3.Connection, app: App, invocations: list[Invocation], runner_id: str, now: float
) -> tuple[list[Invocation], Stored]:
    entries = [started(each.registration, each.state, runner_id=runner_id, now=now) for each in invocations]
    rows = {
        each.registration.invocation_id: Row(app.place(each.registered_at), each.registration.queue, each.state)
        for each in invocations
    }
    parts = [(entry,) for entry in entries]
    stored = admit_and_store(connection, app, rows, {}, parts, encoded=encode_parts(parts), now=now)
    begun = [
        Invocation(each.registration, each.registered_at, stored.admission.moved[entry.invocation_id], entry)
        for each, entry in zip(invocations, entries, strict=True)
    ]
    return begun, stored
