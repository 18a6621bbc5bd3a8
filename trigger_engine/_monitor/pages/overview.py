"""The overview: problems, throughput, waiting work and failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from trigger_engine._engine.lifecycle import HELD, WAITING, InvocationStatus
from trigger_engine._monitor.drawing.activity import FAILURES, chart
from trigger_engine._monitor.formatting import duration_text, number_text
from trigger_engine._monitor.lists import brief_invocation, brief_run, list_invocations, list_runs
from trigger_engine._monitor.site import Call
from trigger_engine._monitor.view import View
from trigger_engine._readmodel.queries import overview as queries
from trigger_engine._readmodel.queries.health import COUNT_LIMIT, HealthRecord, health
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.records import (
    ActivityRecord,
    FunctionRecord,
    InvocationRecord,
    NoticeRecord,
    OverviewRecord,
    RunnerRecord,
    TriggerRunRecord,
)
from trigger_engine._runtime.leader.retention import apply_retention

_HOUR = timedelta(hours=1)
_SHOWN = 5
_LATE = timedelta(seconds=10)


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """A statement about the health of the app. `path`: a page with details, below the monitor's root."""

    level: Literal["ok", "warn", "bad"]
    text: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """The data of the overview."""

    overview: OverviewRecord
    health: HealthRecord
    activity: list[ActivityRecord]
    failed: Sequence[InvocationRecord]
    rejected: Sequence[TriggerRunRecord]
    notices: Sequence[NoticeRecord]


async def overview(call: Call) -> View:
    """Shows the overview. `removed`: how many entries retention has just removed."""
    removed = call.parameters("removed").text("removed")
    runners = list(await (await call.site.history()).runners())
    found = await call.query(lambda snapshot: _find(snapshot, call.now))
    last_hour = _sum(found.activity)
    facts = {
        "overview": found.overview,
        "health": found.health,
        "events_per_second": _rate(found.activity, "event", call.now),
        "runs_per_second": _rate(found.activity, "fired", call.now),
        "last_hour": last_hour,
        "failures": sum(last_hour.get(kind, 0) for kind in FAILURES),
        "waiting": sum(found.overview.invocations.get(status, 0) for status in WAITING),
        "running": sum(found.overview.invocations.get(status, 0) for status in HELD),
        "runners": runners,
        "functions": _slowest(runners),
        "failed": [brief_invocation(one) for one in found.failed],
        "rejected": [brief_run(one) for one in found.rejected],
        "notices": list(found.notices),
        "signs": list(_signs(call, found, runners)),
    }
    extra = {
        "chart": chart(found.activity, call.now),
        "count_limit": COUNT_LIMIT,
        "removed": None
        if removed is None
        else call.parameters("removed").number("removed", 0, minimum=0, maximum=10**12),
        "retention_days": call.site.app._internals.settings.event_retention_days,
    }
    return View("overview.html", "Overview", facts, extra, live=True, ages=True)


async def purge(call: Call) -> str:
    """Applies retention now, which the leader otherwise does regularly. Returns the path to redirect to."""
    app = call.site.app
    removed = await apply_retention(
        await app._internals.connections.session(), app._internals.settings, app._internals.connections.clock
    )
    return f"/?removed={removed}"


def _find(snapshot: ReadSnapshot, now: datetime) -> _Found:
    return _Found(
        queries.overview(snapshot),
        health(snapshot, now),
        queries.activity(snapshot, since=now - _HOUR, until=None, step=timedelta(minutes=1)),
        list_invocations(snapshot, status=InvocationStatus.FAILED, limit=_SHOWN),
        list_runs(snapshot, rejected=True, limit=_SHOWN),
        queries.notices(
            snapshot, kind=None, trigger_id=None, subject_id=None, since=None, until=None, limit=_SHOWN + 3, cursor=None
        ),
    )


def _slowest(runners: Sequence[RunnerRecord]) -> list[FunctionRecord]:
    """Returns the slowest filters and providers of the live runners, each with the values of its slowest runner."""
    slowest: dict[str, FunctionRecord] = {}
    for one in (function for runner in runners if runner.alive for function in runner.functions):
        if one.name not in slowest or one.mean > slowest[one.name].mean:
            slowest[one.name] = one
    return sorted(slowest.values(), key=lambda one: -one.mean)[:_SHOWN]


def _sum(activity: Sequence[ActivityRecord]) -> dict[str, int]:
    found: dict[str, int] = {}
    for minute in activity:
        for kind, count in minute.counts.items():
            found[kind] = found.get(kind, 0) + count
    return found


def _rate(activity: Sequence[ActivityRecord], kind: str, now: datetime) -> float:
    """Estimates the entries of a kind per second over the last minute from the counts of two calendar minutes."""
    this_minute = now.replace(second=0, microsecond=0)
    counts = {one.start: one.counts.get(kind, 0) for one in activity}
    passed = (now - this_minute).total_seconds() / 60
    before = counts.get(this_minute - timedelta(minutes=1), 0) * (1 - passed)
    return round((counts.get(this_minute, 0) + before) / 60, 3)


def _signs(call: Call, found: _Found, runners: Sequence[RunnerRecord]) -> Iterator[Sign]:
    """Yields the problems, worst first; if there are none, a statement that all is well."""
    signs = [*_runner_signs(runners), *_matcher_signs(call, found, runners), *_failure_signs(found)]
    if not signs:
        yield Sign(
            level="ok", text="No problems: there is a leader, everything is evaluated, nothing failed in the last hour."
        )
    yield from sorted(signs, key=lambda sign: sign.level != "bad")


def _runner_signs(runners: Sequence[RunnerRecord]) -> Iterator[Sign]:
    alive = [runner for runner in runners if runner.alive]
    if not alive:
        lost = f" {len(runners)} were lost within the last day." if runners else ""
        yield Sign(level="bad", text=f"No runner is alive, so nothing is evaluated and no task runs.{lost}")
    elif not any(runner.leads for runner in alive):
        yield Sign(
            level="bad", text="No live runner is the leader, so nothing is evaluated. One takes over within seconds."
        )
    if alive and len({runner.version for runner in alive}) > 1:
        yield Sign(level="warn", text="The live runners have different versions.")


def _matcher_signs(call: Call, found: _Found, runners: Sequence[RunnerRecord]) -> Iterator[Sign]:
    since = found.health.unevaluated_since
    if since is not None and call.now - since > _LATE and any(runner.alive for runner in runners):
        entries = number_text(found.health.unevaluated)
        yield Sign(level="bad", text=f"The matcher is {duration_text(call.now - since)} behind ({entries} entries).")
    suspended = found.overview.triggers.get("suspended", 0)
    if suspended:
        text = f"{suspended} suspended {'trigger' if suspended == 1 else 'triggers'}: no live runner has the code."
        yield Sign(level="warn", text=text)
    waiting = sum(found.overview.invocations.get(status, 0) for status in WAITING)
    limit = call.site.app._internals.settings.max_backlog
    if waiting > limit:
        yield Sign(
            level="warn", text=f"{waiting:,} invocations are waiting, max_backlog is {limit:,}: start more runners."
        )


def _failure_signs(found: _Found) -> Iterator[Sign]:
    last_hour = _sum(found.activity)
    failed, rejected, filters = (last_hour.get(kind, 0) for kind in FAILURES)
    if failed:
        text = f"{failed:,} {'invocation' if failed == 1 else 'invocations'} failed in the last hour."
        yield Sign(level="warn", text=text)
    if rejected:
        text = f"{rejected:,} trigger {'run was' if rejected == 1 else 'runs were'} rejected in the last hour."
        yield Sign(level="warn", text=text)
    if filters:
        text = (
            f"Filters failed {filters:,} {'time' if filters == 1 else 'times'} in the last hour, which counts as false."
        )
        yield Sign(level="warn", text=text)
