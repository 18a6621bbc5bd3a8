"""The claim: a cheap look, and one transaction when there is due work."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Collection
from contextlib import ExitStack, closing
from itertools import islice

import msgspec

from trigger_engine.entries.encoding import encode_entry
from trigger_engine.log.claims import compare_held, started
from trigger_engine.log.contract import Claims, Invocation
from trigger_engine.log.sqlite.appending import admit_and_store
from trigger_engine.log.sqlite.apps import App, load_app
from trigger_engine.log.sqlite.invocations import Row, load_invocations

PROMOTED_AT_ONCE = 1_000


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


def take(connection: sqlite3.Connection, app_id: str, request: Request, now: float) -> Look:
    """Starts up to `limit` due invocations, in the transaction that is open."""
    app = load_app(connection, app_id)
    _promote(connection, app, now, at_once=max(PROMOTED_AT_ONCE, request.limit))
    waiting = _waiting(connection, app, request.queues)
    known = [place for place in waiting if place[1] in request.tasks]
    invocations = load_invocations(connection, app, _oldest(connection, app, known, request.limit))
    claims = Claims(
        started=_start(connection, app, invocations, request.runner_id, now),
        unknown=frozenset(task_id for _, task_id in waiting) - request.tasks,
    )
    return Look(claims, due=bool(invocations), next_due=_next_due(connection, app))


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
    with ExitStack() as stack:
        cursors = [
            stack.enter_context(
                closing(
                    connection.execute(
                        "SELECT place FROM invocations WHERE app = ? AND ready_in = ? AND task_id = ? ORDER BY place",
                        (app.number, queue, task_id),
                    )
                )
            )
            for queue, task_id in waiting
        ]
        return [place for (place,) in islice(heapq.merge(*cursors), limit)]


def _start(
    connection: sqlite3.Connection, app: App, invocations: list[Invocation], runner_id: str, now: float
) -> list[Invocation]:
    entries = [started(each.registration, each.state, runner_id=runner_id, now=now) for each in invocations]
    rows = {
        each.registration.invocation_id: Row(app.place(each.registered_at), each.registration.queue, each.state)
        for each in invocations
    }
    encoded = {id(entry): encode_entry(entry) for entry in entries}
    admission = admit_and_store(connection, app, rows, [(entry,) for entry in entries], encoded=encoded, now=now)
    return [
        Invocation(each.registration, each.registered_at, admission.moved[entry.invocation_id], entry)
        for each, entry in zip(invocations, entries, strict=True)
    ]
