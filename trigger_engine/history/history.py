"""History: what happened, and why, folded from the log."""

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

from trigger_engine.errors import BackendUnavailable, LogReplaced, LogTrimmed, QueryError, RecordNotFound
from trigger_engine.history import (
    event_queries,
    family_queries,
    invocation_queries,
    overview_queries,
    run_queries,
    runner_queries,
    trigger_queries,
)
from trigger_engine.history.cache_file import CacheFile
from trigger_engine.history.catch_up import CatchUp
from trigger_engine.history.database import CacheBusy, CacheLost, Database
from trigger_engine.history.explanation import ExplanationRecord, explanations
from trigger_engine.history.invocation_queries import StatusFilter
from trigger_engine.history.reading import Decode, Reading, readable
from trigger_engine.history.records import (
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
from trigger_engine.history.retention import Caps
from trigger_engine.history.rows import Progress
from trigger_engine.log.contract import Bookmark, EventLog

T = TypeVar("T")
OpenLog = Callable[[], AbstractAsyncContextManager[EventLog]]
_TRIES = 20


class History:
    """The read model of one app, an async context manager. Each query first catches up with the log's tail.

    log: an open log, left open; or a function that gives one for as long as history is entered.
    app_id, location: what names the cache file. decode: stored msgpack to builtins. persistent: False keeps the read
    model in memory, for logs that do not outlive the process. cache_folder: instead of the user's. event_max_records,
    trigger_run_max_records: how many are kept, the newest; 0 for all. max_contributions: as the engine's setting.

    Lists are newest first in the order of the log; `since <= t < until` compares with the writers' clocks. Pages stay
    put while entries arrive: what is new stands before the first page. Queries raise QueryError for what they cannot
    use, BackendUnavailable when the log cannot be read.
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
            raise QueryError("this history is entered already: make another with app.history()")
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
        """Events. `emitted_by`: a task's or an invocation's id. `text`: in the payload as compact JSON, in any case.

        A search for text looks at half a million entries of the log a page: a page may then be short, even empty, while
        `next_cursor` says that there is more to look at.
        """
        return await self._ask(
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
        """One event. Raises RecordNotFound."""
        return await self._ask(lambda reading: event_queries.event(reading, event_id))

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
        """Trigger runs that meet everything given.

        `event_id`: the event took part in them. `invocation_id`: they started it. `source_invocation_id`: a status of
        that invocation, or an event that it emitted, took part in them. `rejected`: their arguments could not be made.
        """
        return await self._ask(
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
        """One trigger run. Raises RecordNotFound."""
        return await self._ask(lambda reading: run_queries.trigger_run(reading, run_id))

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
        """Invocations. `status`: one or several; `event_id`: started by runs that this event took part in.

        `since`, `until`: when they were registered.
        """
        return await self._ask(
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
        """One invocation. Raises InvocationNotFound."""
        return await self._ask(lambda reading: invocation_queries.invocation(reading, invocation_id))

    async def family(self, invocation_id: str, *, limit: int = 500) -> Family:
        """The ancestors and descendants of an invocation, the nearest `limit`. Raises InvocationNotFound."""
        return await self._ask(lambda reading: family_queries.family(reading, invocation_id, limit))

    async def triggers(self, *, task_id: str | None = None, state: TriggerState | None = None) -> Page[TriggerRecord]:
        """Declared triggers, all on one page; retention removes those that are no longer in force."""
        return await self._ask(partial(trigger_queries.triggers, task_id=task_id, state=state))

    async def runners(self) -> Page[RunnerRecord]:
        """Every runner that the backend knows, all on one page."""
        rows = await self._entered(self._log).runners()
        return await self._ask(lambda reading: runner_queries.runners(reading, rows))

    async def overview(self) -> OverviewRecord:
        """The whole in numbers."""
        return await self._ask(overview_queries.overview)

    async def activity(
        self, *, since: datetime | None = None, until: datetime | None = None, step: timedelta = timedelta(minutes=1)
    ) -> list[ActivityRecord]:
        """How many entries of each kind were written in each step that had any, oldest first.

        Minutes are counted whole: `since` and `until` are rounded down to them.
        """
        return await self._ask(partial(overview_queries.activity, since=since, until=until, step=step))

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
        """What leaders noted. `kind`: such as "filter-failed"; `subject_id`: the entry that it is about."""
        return await self._ask(
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
        """Entries that count for nothing, each with the reason."""
        return await self._ask(partial(overview_queries.void, since=since, until=until, limit=limit, cursor=cursor))

    async def explain(self, entry_id: str, trigger: str | None = None) -> ExplanationRecord:
        """Why an event, a tick, a status or an invocation did or did not fire triggers, or one of them.

        `trigger`: an id, a slot, or the id of the task that has it. Raises RecordNotFound.
        """
        return await self._ask(lambda reading: explanations(reading, entry_id, trigger))

    async def search(self, token: str) -> overview_queries.Found | RunnerRecord:
        """What an id names, bare or as in a log line (`event:…`, `trigger-run:…`, `invocation:…`, `runner:…`).

        A status entry's id leads to its invocation, a condition's to a trigger. Raises RecordNotFound.
        """
        try:
            return await self._ask(lambda reading: overview_queries.find(reading, token))
        except RecordNotFound:
            runner_id = token.removeprefix("runner:")
            for runner in await self.runners():
                if runner.runner_id == runner_id:
                    return runner
            raise

    async def ask(self, question: Callable[[Reading], T]) -> T:
        """Several queries about one moment, after one catching up: what `question` returns for a reading of it.

        For readers inside this package, such as the monitor; `question` runs on the database's thread.
        """
        return await self._ask(question)

    async def wait_beyond(self, position: int, *, timeout: float) -> int:
        """Where the log ends, as soon as that is not `position` any more, or after `timeout` seconds."""
        log = self._entered(self._log)
        tail = await log.tail()
        if tail.position != position:
            return tail.position
        try:
            return (await log.follow(tail, limit=1, wait=timeout)).bookmark.position
        except (LogReplaced, LogTrimmed):
            return (await log.tail()).position

    async def _ask(self, question: Callable[[Reading], T]) -> T:
        catch_up, database = self._entered(self._catch_up), self._entered(self._database)
        for _ in range(_TRIES):
            try:
                reached = await catch_up.to_tail()
                return await database.query(partial(self._read, reached, question))
            except (CacheBusy, CacheLost):
                continue
        raise BackendUnavailable(
            "history: other processes empty or lock the cache file again and again: try later, "
            "and see that no two logs are used under one location"
        )

    def _read(self, reached: Bookmark, question: Callable[[Reading], T], connection: sqlite3.Connection) -> T:
        columns = ", ".join(Progress.__struct_fields__)
        row = connection.execute(f"SELECT {columns} FROM progress").fetchone()
        if row is None or (progress := Progress(*row)).log_id != reached.log_id or progress.position < reached.position:
            raise CacheLost
        try:
            return question(Reading(connection, progress, self._decode))
        except UnicodeEncodeError as exc:
            raise QueryError(f"{exc.object!r} holds a lone surrogate: no id, code or text can have one") from exc

    def _entered(self, resource: T | None) -> T:
        if resource is None:
            raise QueryError("this history is not entered: use `async with app.history() as history`")
        return resource


@contextlib.asynccontextmanager
async def _left_open(log: EventLog) -> AsyncIterator[EventLog]:
    yield log
