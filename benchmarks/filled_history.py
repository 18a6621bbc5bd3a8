"""A read model of any size, written directly as a fold would write it, and a monitor on it.

Of ten events six start a task (one of a hundred fails), two meet a condition and wait, two meet none. One of ten was
emitted by a task. The events are spread over the last day.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from trigger_engine import TriggerBuilder, TriggerEngine
from trigger_engine._monitor.application import Monitor, asgi_app
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.json_text import search_text
from trigger_engine._readmodel.store.cache_file import CacheFile
from trigger_engine._readmodel.store.row_store import Store
from trigger_engine.backend._contract import Batch, Cursor, EventLog

APP_ID = "filled"
CODES, TASKS = 12, 8
_STEP = 8
_DAY = 86_400_000_000
_encode = msgspec.msgpack.encode
_FILL = """
WITH RECURSIVE numbers (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM numbers WHERE k < :events)
INSERT INTO facts SELECT k, k * :step, :newest - (:events - k) * :pace, printf('%032x', k), k % 10 FROM numbers;
INSERT INTO events SELECT at, 'e' || id, 'code.' || (k % :codes), time,
    CASE WHEN kind < 6 THEN 2 WHEN kind < 8 THEN 1 ELSE 0 END,
    CASE WHEN kind = 9 THEN 'shop.task0' END, CASE WHEN kind = 9 THEN 'i' || printf('%032x', k - 8) END,
    0, 0, payload, search FROM facts JOIN samples ON i = k % 4;
INSERT INTO invocations SELECT at + 1, 'i' || id, 'shop.task' || (k % :tasks),
    CASE WHEN k % 100 = 1 THEN 'failed' ELSE 'success' END, 1, 'c' || id, 'runner', 0, NULL, at + 3, time + 3000,
    CASE WHEN k % 100 != 1 THEN x'01' END, CASE WHEN k % 100 = 1 THEN :exception END, 'default', time + 1000,
    arguments, 0, 'r' || id, trigger_id, NULL, NULL, 1
    FROM facts JOIN samples ON i = k % 4 JOIN declared ON task = k % :tasks WHERE kind < 6;
INSERT INTO statuses SELECT at + 1, at + 2, 's' || id, 'registered', 'running', time + 2000, 'runner', 1, NULL
    FROM facts WHERE kind < 6;
INSERT INTO statuses SELECT at + 1, at + 3, 'f' || id, 'running',
    CASE WHEN k % 100 = 1 THEN 'failed' ELSE 'success' END, time + 3000, 'runner', 1,
    CASE WHEN k % 100 = 1 THEN :exception END FROM facts WHERE kind < 6;
INSERT INTO runs SELECT at + 1, 'r' || id, trigger_id, 'shop.task' || task || '#0', 'shop.task' || task, time + 1000, 0,
    'i' || id, NULL, 0, 1 FROM facts JOIN declared ON task = k % :tasks WHERE kind < 6;
INSERT INTO participants SELECT at + 1, 0, 'event:code.' || (k % :codes), 'e' || id, 'event', time,
    'code.' || (k % :codes), NULL, NULL, NULL FROM facts WHERE kind < 6;
INSERT INTO activity SELECT time / 60000000, 'event', count(*), max(at) FROM facts GROUP BY 1;
INSERT INTO activity SELECT time / 60000000, 'fired', count(*), max(at) + 1 FROM facts WHERE kind < 6 GROUP BY 1;
INSERT INTO tallies SELECT 'event', outcome, count(*) FROM events GROUP BY outcome;
INSERT INTO tallies SELECT 'run', rejected, count(*) FROM runs GROUP BY rejected;
INSERT INTO tallies SELECT 'invocation', status, count(*) FROM invocations GROUP BY status;
INSERT INTO totals VALUES ('event', :events);
INSERT INTO blocks SELECT k / 400, min(at), max(at) + 3, min(time), max(time) + 3000 FROM facts GROUP BY k / 400;
INSERT INTO elected VALUES ('match', 1, :newest, 'runner');
INSERT INTO progress VALUES (:log_id, :last, 'last', 0, 0, :events * 4, :last, '', x'', x'')
"""


def declared_app() -> TriggerEngine:
    """An app with the tasks of the read model."""
    app = TriggerEngine(app_id=APP_ID, trigger_cls="MemTrigger")
    for number in range(TASKS):
        builder = TriggerBuilder().with_logic("or").on_event(f"code.{number}")
        builder = builder.on_event(f"code.{(number + 4) % CODES}", {"kind": "other"})

        @app.task(task_id=f"shop.task{number}", triggers=builder)
        async def react() -> None: ...

    return app


def fill(connection: sqlite3.Connection, app: TriggerEngine, log_id: str, events: int) -> int:
    """Writes the read model of this many events into an empty store. Returns the position where its log ends."""
    last = (events + 1) * _STEP
    connection.execute("BEGIN")
    connection.execute("CREATE TEMP TABLE facts (k INTEGER PRIMARY KEY, at INTEGER, time INTEGER, id TEXT, kind)")
    connection.execute("CREATE TEMP TABLE samples (i INTEGER PRIMARY KEY, payload BLOB, search TEXT, arguments BLOB)")
    connection.execute("CREATE TEMP TABLE declared (task INTEGER PRIMARY KEY, trigger_id TEXT)")
    for number in range(4):
        payload = _encode({"order": f"A-{number}", "kind": "other", "lines": ["book", "pen"], "amount": 12.5})
        sample = (number, payload, search_text(payload), _encode({"order": f"A-{number}"}))
        connection.execute("INSERT INTO samples VALUES (?, ?, ?, ?)", sample)
    for number, (slot, trigger) in enumerate(sorted(app._internals.registry.triggers.items())):
        connection.execute("INSERT INTO declared VALUES (?, ?)", (number, trigger.id))
        connection.execute(
            "INSERT INTO triggers VALUES (?, ?, 1, 1, 'active', 1, 1, ?, 0, 1, NULL, ?)",
            (trigger.id, slot, events // 14, _encode(trigger)),
        )
        for condition in trigger.conditions:
            listening = (getattr(condition, "event_code", ""), condition.id, trigger.id)
            connection.execute("INSERT INTO listening VALUES (?, ?, ?, 0, NULL)", listening)
    values: Mapping[str, Any] = {
        "events": events,
        "step": _STEP,
        "newest": time.time_ns() // 1_000,
        "pace": _DAY // events,
        "codes": CODES,
        "tasks": TASKS,
        "exception": _encode(["LookupError", "no such order", [], "Traceback …"]),
        "log_id": log_id,
        "last": last,
    }
    for statement in _FILL.split(";"):
        connection.execute(statement, values)
    connection.execute("COMMIT")
    return last


@asynccontextmanager
async def filled_monitor(folder: Path, events: int) -> AsyncIterator[tuple[Monitor, History]]:
    """The monitor of a read model of this many events, and its history."""
    app = declared_app()
    log = await app._internals.connections.backend.open(clock=time.time)
    store = Store(str(CacheFile(location="filled", app_id=APP_ID, folder=folder).choose()))
    last = fill(store.connection, app, log.log_id, events)
    store.close()
    _end(log, Cursor(log.log_id, last, "last"))
    history = History(log, app_id=APP_ID, location="filled", cache_folder=folder)
    app.history = lambda: history  # type: ignore[method-assign]
    async with asgi_app(app) as monitor:
        yield monitor, history
    await log.close()


def _end(log: EventLog, tail: Cursor) -> None:
    """Makes a log report that it ends here."""

    async def ends() -> Cursor:
        return tail

    async def nothing(after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        return Batch([], tail)

    log.tail, log.follow = ends, nothing  # type: ignore[method-assign]


PATHS: Mapping[str, str] = {
    "overview": "/",
    "events": "/events",
    "events of one code that started nothing": "/events?event_code=code.3&triggered=no",
    "events of an hour": "/events?since=3h&until=2h",
    "an event": "/events/{event}",
    "trigger runs": "/trigger-runs",
    "a trigger run": "/trigger-runs/{run}",
    "invocations": "/invocations",
    "failed invocations of one task": "/invocations?status=failed&task_id=shop.task1",
    "an invocation": "/invocations/{invocation}",
    "triggers": "/triggers",
    "timeline of ten minutes": "/timeline?since=10m",
    "timeline of a day": "/timeline?since=1d",
    "log explorer": "/logs?lines=event:{event}%20invocation:{invocation}",
}
"""The measured pages."""


def path_of(name: str, events: int) -> str:
    """The path of a page about an entry in the middle of the history."""
    middle = events // 20 * 10 + 1
    return PATHS[name].format(event=f"e{middle:032x}", run=f"r{middle:032x}", invocation=f"i{middle:032x}")
