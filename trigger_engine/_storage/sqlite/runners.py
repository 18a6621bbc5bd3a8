"""Heartbeats: which runners are alive by the boot clock, and what lost runners held."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from trigger_engine._storage.sqlite.apps import load_app
from trigger_engine._storage.sqlite.boot_clock import BootClock, Expiry
from trigger_engine._storage.sqlite.invocations import load_invocations
from trigger_engine._storage.sqlite.rows import stored_bytes, stored_row
from trigger_engine.backend._contract import Invocation, RunnerFacts, RunnerRow

LOST_RUNNERS_KEPT = 86_400.0
"""Seconds for which a runner stays listed after its heartbeat has expired."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RunnerFacts)


class _Seen(msgspec.Struct, frozen=True, array_like=True):
    last_seen: float
    expires_at: float
    ttl: float
    boot_id: str


def heartbeat(
    connection: sqlite3.Connection, app_id: str, facts: RunnerFacts, expiry: Expiry, *, now: float, clock: BootClock
) -> None:
    """Writes the runner's row and removes the rows of runners that were lost a day ago."""
    app = load_app(connection, app_id)
    connection.execute(
        "REPLACE INTO runners (app, runner_id, facts, last_seen, expires_at, ttl, boot_id) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (app.number, facts.runner_id, _encoder.encode(facts), now, expiry.at, expiry.ttl, expiry.boot_id),
    )
    connection.execute(
        # The wall clock may have jumped, so rows that are alive by the boot clock are kept.
        "DELETE FROM runners WHERE app = ? AND last_seen + ttl < ? AND (boot_id != ? OR expires_at < ?)",
        (app.number, now - LOST_RUNNERS_KEPT, clock.boot_id, clock.now()),
    )


def leave(connection: sqlite3.Connection, app_id: str, runner_id: str) -> None:
    """Removes the runner's row."""
    app = load_app(connection, app_id)
    connection.execute("DELETE FROM runners WHERE app = ? AND runner_id = ?", (app.number, runner_id))


def load_runners(connection: sqlite3.Connection, app_id: str, clock: BootClock) -> list[RunnerRow]:
    """Every listed runner."""
    app = load_app(connection, app_id)
    rows = connection.execute(
        "SELECT facts, last_seen, expires_at, ttl, boot_id FROM runners WHERE app = ? ORDER BY runner_id", (app.number,)
    )
    return [_runner(row, clock) for row in rows]


def _runner(row: tuple[Any, ...], clock: BootClock) -> RunnerRow:
    what = "the row of a runner"
    seen = stored_row(row[1:], _Seen, what)
    alive = not clock.is_over(Expiry(seen.expires_at, seen.ttl, seen.boot_id))
    return RunnerRow(stored_bytes(row[0], _decoder, what), seen.last_seen, alive=alive)


def load_orphans(connection: sqlite3.Connection, app_id: str, limit: int, clock: BootClock) -> list[Invocation]:
    """Invocations held by runners without a live heartbeat, oldest first."""
    app = load_app(connection, app_id)
    alive = {row.facts.runner_id for row in load_runners(connection, app_id, clock) if row.alive}
    held = connection.execute(
        "SELECT place, runner_id FROM invocations WHERE app = ? AND status IN ('pending', 'running')", (app.number,)
    )
    places = sorted(place for place, runner_id in held if runner_id not in alive)
    return load_invocations(connection, app, places[:limit])
