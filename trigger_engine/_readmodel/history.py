"""History: what happened and why, projected from the log."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from trigger_engine._readmodel.catch_up import CatchUp
from trigger_engine._readmodel.queries import events as event_queries
from trigger_engine._readmodel.queries import families as family_queries
from trigger_engine._readmodel.queries import invocations as invocation_queries
from trigger_engine._readmodel.queries import overview as overview_queries
from trigger_engine._readmodel.queries import runners as runner_queries
from trigger_engine._readmodel.queries import trigger_runs as run_queries
from trigger_engine._readmodel.queries import triggers as trigger_queries
from trigger_engine._readmodel.queries.explanations import ExplanationRecord, explanations
from trigger_engine._readmodel.queries.invocations import StatusFilter
from trigger_engine._readmodel.queries.read_snapshot import Decode, ReadSnapshot, readable
from trigger_engine._readmodel.records import (
    ActivityRecord,
    EventRecord,
    Family,
    InvocationRecord,
    NoticeRecord,
    OverviewRecord,
    Page,
    RunnerRecord,
    TriggerRecord,
    TriggerRunRecord,
    TriggerState,
    VoidRecord,
)
from trigger_engine._readmodel.store.cache_file import CacheFile
from trigger_engine._readmodel.store.database import CacheBusy, CacheLost, Database
from trigger_engine._readmodel.store.row_retention import Caps
from trigger_engine._readmodel.store.rows import Progress
from trigger_engine.backend._contract import Cursor, EventLog
from trigger_engine.errors import BackendUnavailable, LogReplaced, LogTrimmed, QueryError, RecordNotFound

T = TypeVar("T")
OpenLog = Callable[[], AbstractAsyncContextManager[EventLog]]
_MAX_TRIES = 20


class History:
    """The read model of one app, an async context manager. Each query first catches up with the end of the log.

    log: an open log, which stays open; or a function that opens one while history is entered.
    app_id, location: identify the cache file. decode: converts stored msgpack to builtins. persistent: False keeps the
    read model in memory, for logs that end with the process. cache_folder: defaults to the user's cache folder.
    event_max_records, trigger_run_max_records: how many of the newest records are kept; 0 for all.
    max_contributions: the engine's setting of the same name.

    Lists are newest first in log order; `since <= t < until` compares with the writers' clocks. Pages do not shift
    while entries arrive: new records come before the first page. Queries raise QueryError for invalid arguments and
    BackendUnavailable if the log cannot be read.
    """

    def __init__(
        self,
        log: EventLog | OpenLog,
        *,
        app_id: str,
        location: str,
        decode: Decode = readable,
        persistent: bool = True,
        cache_folder: Path | None = None,
        event_max_records: int = 0,
        trigger_run_max_records: int = 0,
        max_contributions: int = 1000,
    ) -> None:
        self._open_log: OpenLog = partial(_left_open, log) if isinstance(log, EventLog) else log
        self._decode = decode
        self._cache_file = CacheFile(location=location, app_id=app_id, folder=cache_folder) if persistent else None
        self._caps = Caps(events=event_max_records, trigger_runs=trigger_run_max_records)
        self._max_contributions = max_contributions
        self._resources: contextlib.AsyncExitStack | None = None
        self._log: EventLog | None = None
        self._database: Database | None = None
        self._catch_up: CatchUp | None = None

    async def __aenter__(self) -> Self:
        if self._resources is not None:
            raise QueryError("this history is already entered: create another one with app.history()")
        async with contextlib.AsyncExitStack() as stack:
            self._log = await stack.enter_async_context(self._open_log())
            self._database = Database(self._cache_file, self._caps, self._max_contributions)
            stack.push_async_callback(self._database.close)
            await self._database.open()
            self._catch_up = CatchUp(self._log, self._database)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        resources, self._resources = self._resources, None
        self._log = self._database = self._catch_up = None
        if resources is not None:
            await resources.aclose()

    async def events(
        self,
        *,
        event_code: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        matched: bool | None = None,
        triggered: bool | None = None,
        emitted_by: str | None = None,
        text: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[EventRecord]:
        """Lists events.

        `emitted_by`: the id of a task or an invocation. `text`: searched in the payload as compact JSON, ignoring case.
        A text search scans half a million log entries per page. A page may therefore be short or empty although
        `next_cursor` is set.
        """
        return await self._query(
            partial(
                event_queries.events,
                event_code=event_code,
                since=since,
                until=until,
                matched=matched,
                triggered=triggered,
                emitted_by=emitted_by,
                text=text,
                limit=limit,
                cursor=cursor,
            )
        )

    async def event(self, event_id: str) -> EventRecord:
        """Returns an event. Raises RecordNotFound."""
        return await self._query(lambda snapshot: event_queries.event(snapshot, event_id))

    async def trigger_runs(
        self,
        *,
        event_id: str | None = None,
        invocation_id: str | None = None,
        source_invocation_id: str | None = None,
        trigger_id: str | None = None,
        rejected: bool | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[TriggerRunRecord]:
        """Lists the trigger runs that match all filters.

        `event_id`: an event that took part. `invocation_id`: the invocation that was started. `source_invocation_id`:
        an invocation of which a status or an emitted event took part. `rejected`: whether the arguments failed.
        """
        return await self._query(
            partial(
                run_queries.trigger_runs,
                event_id=event_id,
                invocation_id=invocation_id,
                source_invocation_id=source_invocation_id,
                trigger_id=trigger_id,
                rejected=rejected,
                since=since,
                until=until,
                limit=limit,
                cursor=cursor,
            )
        )

    async def trigger_run(self, run_id: str) -> TriggerRunRecord:
        """Returns a trigger run. Raises RecordNotFound."""
        return await self._query(lambda snapshot: run_queries.trigger_run(snapshot, run_id))

    async def invocations(
        self,
        *,
        task_id: str | None = None,
        status: StatusFilter = None,
        event_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[InvocationRecord]:
        """Lists invocations.

        `status`: one or several. `event_id`: an event that took part in the run that started them. `since`, `until`:
        bounds of the registration time.
        """
        return await self._query(
            partial(
                invocation_queries.invocations,
                task_id=task_id,
                status=status,
                event_id=event_id,
                since=since,
                until=until,
                limit=limit,
                cursor=cursor,
            )
        )

    async def invocation(self, invocation_id: str) -> InvocationRecord:
        """Returns an invocation. Raises InvocationNotFound."""
        return await self._query(lambda snapshot: invocation_queries.invocation(snapshot, invocation_id))

    async def family(self, invocation_id: str, *, limit: int = 500) -> Family:
        """Returns the nearest `limit` ancestors and descendants of an invocation. Raises InvocationNotFound."""
        return await self._query(lambda snapshot: family_queries.family(snapshot, invocation_id, limit))

    async def triggers(self, *, task_id: str | None = None, state: TriggerState | None = None) -> Page[TriggerRecord]:
        """Lists declared triggers, all on one page. Retention removes retired and replaced triggers."""
        return await self._query(partial(trigger_queries.triggers, task_id=task_id, state=state))

    async def runners(self) -> Page[RunnerRecord]:
        """Lists all runners known to the backend, on one page."""
        rows = await self._entered(self._log).runners()
        return await self._query(lambda snapshot: runner_queries.runners(snapshot, rows))

    async def overview(self) -> OverviewRecord:
        """Returns counts over the whole read model."""
        return await self._query(overview_queries.overview)

    async def activity(
        self, *, since: datetime | None = None, until: datetime | None = None, step: timedelta = timedelta(minutes=1)
    ) -> list[ActivityRecord]:
        """Counts the entries of each kind written in each step, oldest first; empty steps are left out.

        `since` and `until` are rounded down to whole minutes.
        """
        return await self._query(partial(overview_queries.activity, since=since, until=until, step=step))

    async def notices(
        self,
        *,
        kind: str | None = None,
        trigger_id: str | None = None,
        subject_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[NoticeRecord]:
        """Lists notices of leaders. `kind`: such as "filter-failed". `subject_id`: the entry that a notice is about."""
        return await self._query(
            partial(
                overview_queries.notices,
                kind=kind,
                trigger_id=trigger_id,
                subject_id=subject_id,
                since=since,
                until=until,
                limit=limit,
                cursor=cursor,
            )
        )

    async def void(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[VoidRecord]:
        """Lists void entries, each with the reason."""
        return await self._query(partial(overview_queries.void, since=since, until=until, limit=limit, cursor=cursor))

    async def explain(self, entry_id: str, trigger: str | None = None) -> ExplanationRecord:
        """Explains why an event, tick, status or invocation fired or did not fire each trigger.

        `trigger`: limits the answer to one trigger, given by its id, its slot, or its task's id. Raises RecordNotFound.
        """
        return await self._query(lambda snapshot: explanations(snapshot, entry_id, trigger))

    async def search(self, token: str) -> overview_queries.Found | RunnerRecord:
        """Finds the record with an id, with or without a prefix (`event:…`, `trigger-run:…`, `invocation:…` and so on).

        The id of a status entry finds its invocation, that of a condition its trigger. Raises RecordNotFound.
        """
        try:
            return await self._query(lambda snapshot: overview_queries.find(snapshot, token))
        except RecordNotFound:
            runner_id = token.removeprefix("runner:")
            for runner in await self.runners():
                if runner.runner_id == runner_id:
                    return runner
            raise

    async def query(self, query: Callable[[ReadSnapshot], T]) -> T:
        """Catches up once and returns `query(snapshot)`; all reads in `query` see the same state.

        Internal, used by the monitor. `query` runs on the database's thread.
        """
        return await self._query(query)

    async def wait_beyond(self, position: int, *, timeout: float) -> int:
        """Waits up to `timeout` seconds until the log's end differs from `position`. Returns the end's position."""
        log = self._entered(self._log)
        tail = await log.tail()
        if tail.position != position:
            return tail.position
        try:
            return (await log.follow(tail, limit=1, wait=timeout)).cursor.position
        except (LogReplaced, LogTrimmed):
            return (await log.tail()).position

    async def _query(self, query: Callable[[ReadSnapshot], T]) -> T:
        catch_up, database = self._entered(self._catch_up), self._entered(self._database)
        for _ in range(_MAX_TRIES):
            try:
                reached = await catch_up.to_tail()
                return await database.query(partial(self._read, reached, query))
            except (CacheBusy, CacheLost):
                continue
        raise BackendUnavailable(
            "history: other processes keep resetting or locking the cache file: try again later, "
            "and check that no two logs use the same location"
        )

    def _read(self, reached: Cursor, query: Callable[[ReadSnapshot], T], connection: sqlite3.Connection) -> T:
        columns = ", ".join(Progress.__struct_fields__)
        row = connection.execute(f"SELECT {columns} FROM progress").fetchone()
        if row is None or (progress := Progress(*row)).log_id != reached.log_id or progress.position < reached.position:
            raise CacheLost
        try:
            return query(ReadSnapshot(connection, progress, self._decode))
        except UnicodeEncodeError as exc:
            raise QueryError(
                f"{exc.object!r} contains a lone surrogate, which no id, code or text can contain"
            ) from exc

    def _entered(self, resource: T | None) -> T:
        if resource is None:
            raise QueryError("this history is not entered: use `async with app.history() as history`")
        return resource


@contextlib.asynccontextmanager
async def _left_open(log: EventLog) -> AsyncIterator[EventLog]:
    yield log
