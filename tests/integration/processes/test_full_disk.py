"""A disk without room: what is told is true, what was acknowledged stays, and the runner goes on when there is room."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.apps import on_sqlite
from tests.support.files import fill, small_disk
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import BackendUnavailable, EventContext, TriggerBuilder, TriggerEngine
from trigger_engine._audit.auditing import audit
from trigger_engine._model.entries import EventEmitted, Succeeded, TriggerFired
from trigger_engine.errors import NothingStored

PADDING = "x" * 3000


def number_of(context: EventContext) -> dict[str, Any]:
    return {"number": context.payload["number"]}


def noting(app: TriggerEngine) -> list[int]:
    """Declares a task that follows an event; the numbers it was called with."""
    seen: list[int] = []

    @app.task(triggers=TriggerBuilder().on_event("made").with_args_from_event(number_of), task_id="note")
    async def note(number: int) -> str:
        seen.append(number)
        return PADDING

    return seen


async def test_runner_survives_a_full_disk_without_losing_acknowledged_events(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "3m") as disk:
        app = on_sqlite(disk / "log.db")
        seen = noting(app)
        acknowledged: list[int] = []
        refused: list[int] = []
        told: set[type[Exception]] = set()

        async def emit(number: int) -> None:
            try:
                await app.emit_event("made", {"number": number, "padding": PADDING})
            except BackendUnavailable as exc:
                told.add(type(exc))
                refused.append(number)
            else:
                acknowledged.append(number)

        async with app:
            async with app.runner() as runner:
                for number in range(10):
                    await emit(number)
                for round_ in range(1, 4):
                    ballast = fill(disk)
                    while len(refused) < 2 * round_:
                        await emit(1000 * round_ + len(acknowledged) + len(refused))
                    ballast.unlink()
                    await emit(1000 * round_ + 500)
                    await wait_until(lambda: set(acknowledged) <= set(seen), deadline=60)
                assert runner.failed is None
            assert told == {NothingStored}
            stored = await entries_of_type(app, EventEmitted)
            assert len(stored) == len(acknowledged), "what was refused must not be stored later"
            assert sorted(seen) == sorted(acknowledged)
            fired = await entries_of_type(app, TriggerFired)
            assert len(fired) == len(acknowledged) == len(await entries_of_type(app, Succeeded))
            report = await audit(app)
            assert report.consistent, report.violations
        with closing(sqlite3.connect(disk / "log.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_log_starts_once_the_disk_has_room_for_its_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        ballast = fill(disk)
        app = on_sqlite(disk / "log.db")
        async with app:
            try:
                await app.emit_event("made", {"number": 1})
            except BackendUnavailable:
                pass
            else:
                raise AssertionError("there was room")
            ballast.unlink()
            await app.emit_event("made", {"number": 2})
            assert [entry.event_code for entry in await entries_of_type(app, EventEmitted)] == ["made"]
