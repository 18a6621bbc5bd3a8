"""Heartbeats: who is alive, by the boot clock, and what the lost ones held."""

from __future__ import annotations

import sqlite3

import msgspec

from trigger_engine.log.contract import Invocation, RunnerFacts, RunnerRow
from trigger_engine.log.sqlite.apps import load_app
from trigger_engine.log.sqlite.boot_clock import BootClock, Expiry
from trigger_engine.log.sqlite.invocations import load_invocations

LOST_RUNNERS_KEPT = 86_400.0
"""Seconds for which a runner stays listed after its heartbeat has expired."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RunnerFacts)


def heartbeat(
    connection: sqlite3.Connection, app_id: str, facts: RunnerFacts, expiry: Expiry, *, now: float, clock: BootClock
) -> None:
    """Writes the runner's row, and drops the rows of those that are lost for a day."""
    app = load_app(connection, app_id)
    connection.execute(
        "REPLACE INTO runners (app, runner_id, facts, last_seen, expires_at, ttl, boot_id) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (app.number, facts.runner_id, _encoder.encode(facts), now, expiry.at, expiry.ttl, expiry.boot_id),
    )
    connection.execute(
        # The wall clock may have jumped: nobody goes who is alive by the boot clock.
        "DELETE FROM runners WHERE app = ? AND last_seen + ttl < ? AND (boot_id != ? OR expires_at < ?)",
        (app.number, now - LOST_RUNNERS_KEPT, clock.boot_id, clock.now()),
    )


def leave(connection: sqlite3.Connection, app_id: str, runner_id: str) -> None:
    """Removes the runner's row."""
    app = load_app(connection, app_id)
    connection.execute("DELETE FROM runners WHERE app = ? AND runner_id = ?", (app.number, runner_id))


def load_runners(connection: sqlite3.Connection, app_id: str, clock: BootClock) -> list[RunnerRow]:
    """Every runner that is kept."""
    app = load_app(connection, app_id)
    rows = connection.execute(
        "SELECT facts, last_seen, expires_at, ttl, boot_id FROM runners WHERE app = ? ORDER BY runner_id", (app.number,)
    )
    return [
        RunnerRow(_decoder.decode(facts), last_seen, alive=not clock.is_over(Expiry(*times)))
        for facts, last_seen, *times in rows
    ]


def load_orphans(connection: sqlite3.Connection, app_id: str, limit: int, clock: BootClock) -> list[Invocation]:
    """What runners without a live heartbeat hold, oldest first."""
    app = load_app(connection, app_id)
    alive = {row.facts.runner_id for row in load_runners(connection, app_id, clock) if row.alive}
    held = connection.execute(
        "SELECT place, runner_id FROM invocations WHERE app = ? AND status IN ('pending', 'running')", (app.number,)
    )
    places = sorted(place for place, runner_id in held if runner_id not in alive)
    return load_invocations(connection, app, places[:limit])
