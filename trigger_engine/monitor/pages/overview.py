"""The whole at a glance: is it well, how much moves, what waits, what failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from trigger_engine.core.lifecycle import HELD, WAITING, InvocationStatus
from trigger_engine.history import (
    ActivityRecord,
    FunctionRecord,
    InvocationRecord,
    NoticeRecord,
    OverviewRecord,
    RunnerRecord,
)
from trigger_engine.history import overview_queries as queries
from trigger_engine.history.reading import Reading
from trigger_engine.history.records import TriggerRunRecord
from trigger_engine.history.standing_queries import MOST_COUNTED, StandingRecord, standing
from trigger_engine.monitor.drawing.activity import FAILURES, chart
from trigger_engine.monitor.formatting import duration_text, number_text
from trigger_engine.monitor.lists import brief_invocation, brief_run, list_invocations, list_runs
from trigger_engine.monitor.site import Call
from trigger_engine.monitor.view import View
from trigger_engine.runner.retention import apply_retention

_HOUR = timedelta(hours=1)
_SHOWN = 5
_LATE = timedelta(seconds=10)


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is well or not. `path`: where to look, below the monitor's address."""

    level: Literal["well", "warn", "bad"]
    text: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """What the overview tells of."""

    overview: OverviewRecord
    standing: StandingRecord
    activity: list[ActivityRecord]
    failed: Sequence[InvocationRecord]
    rejected: Sequence[TriggerRunRecord]
    notices: Sequence[NoticeRecord]


async def overview(call: Call) -> View:
    """The overview. `removed`: how many entries retention has just removed."""
    removed = call.parameters("removed").text("removed")
    runners = list(await (await call.site.history()).runners())
    found = await call.ask(lambda reading: _find(reading, call.now))
    last_hour = _sum(found.activity)
    facts = {
        "overview": found.overview,
        "standing": found.standing,
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
        "most": MOST_COUNTED,
        "removed": None if removed is None else call.parameters("removed").number("removed", 0, least=0, most=10**12),
        "retention_days": call.site.app.settings.event_retention_days,
    }
    return View("overview.html", "Overview", facts, extra, live=True, ages=True)


async def purge(call: Call) -> str:
    """Applies retention now, as the leader does by itself; where to look afterwards."""
    app = call.site.app
    removed = await apply_retention(await app._connections.session(), app.settings, app._connections.clock)
    return f"/?removed={removed}"


def _find(reading: Reading, now: datetime) -> _Found:
    return _Found(
        queries.overview(reading),
        standing(reading, now),
        queries.activity(reading, since=now - _HOUR, until=None, step=timedelta(minutes=1)),
        list_invocations(reading, status=InvocationStatus.FAILED, limit=_SHOWN),
        list_runs(reading, rejected=True, limit=_SHOWN),
        queries.notices(
            reading, kind=None, trigger_id=None, subject_id=None, since=None, until=None, limit=_SHOWN + 3, cursor=None
        ),
    )


def _slowest(runners: Sequence[RunnerRecord]) -> list[FunctionRecord]:
    """The filters and providers that take the live runners longest, each as its slowest runner has it."""
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
    """Entries of a kind a second over the last minute: this minute's, and of the one before what is younger."""
    this_minute = now.replace(second=0, microsecond=0)
    counts = {one.start: one.counts.get(kind, 0) for one in activity}
    passed = (now - this_minute).total_seconds() / 60
    before = counts.get(this_minute - timedelta(minutes=1), 0) * (1 - passed)
    return round((counts.get(this_minute, 0) + before) / 60, 3)


def _signs(call: Call, found: _Found, runners: Sequence[RunnerRecord]) -> Iterator[Sign]:
    """What keeps triggers from firing, worst first; one word when all is well."""
    signs = [*_runner_signs(runners), *_matcher_signs(call, found, runners), *_failure_signs(found)]
    if not signs:
        yield Sign(
            level="well", text="All is well: a runner leads, everything is judged, nothing failed within the hour."
        )
    yield from sorted(signs, key=lambda sign: sign.level != "bad")


def _runner_signs(runners: Sequence[RunnerRecord]) -> Iterator[Sign]:
    alive = [runner for runner in runners if runner.alive]
    if not alive:
        lost = f" {len(runners)} were lost within a day." if runners else ""
        yield Sign(level="bad", text=f"No runner is alive, so nothing is judged and nothing runs.{lost}")
    elif not any(runner.leads for runner in alive):
        yield Sign(level="bad", text="No live runner leads, so nothing is judged; one takes over within seconds.")
    if alive and len({runner.version for runner in alive}) > 1:
        yield Sign(level="warn", text="The live runners have different versions.")


def _matcher_signs(call: Call, found: _Found, runners: Sequence[RunnerRecord]) -> Iterator[Sign]:
    since = found.standing.unjudged_since
    if since is not None and call.now - since > _LATE and any(runner.alive for runner in runners):
        entries = number_text(found.standing.unjudged)
        yield Sign(level="bad", text=f"The matcher is {duration_text(call.now - since)} behind, {entries} entries.")
    suspended = found.overview.triggers.get("suspended", 0)
    if suspended:
        text = f"{suspended} suspended: no live runner has the code of these triggers."
        yield Sign(level="warn", text=text)
    waiting = sum(found.overview.invocations.get(status, 0) for status in WAITING)
    limit = call.site.app.settings.max_backlog
    if waiting > limit:
        yield Sign(level="warn", text=f"{waiting:,} invocations wait, max_backlog is {limit:,}: start more runners.")


def _failure_signs(found: _Found) -> Iterator[Sign]:
    last_hour = _sum(found.activity)
    failed, rejected, filters = (last_hour.get(kind, 0) for kind in FAILURES)
    if failed:
        text = f"{failed:,} {'invocation' if failed == 1 else 'invocations'} failed within the hour."
        yield Sign(level="warn", text=text)
    if rejected:
        text = f"{rejected:,} trigger {'run was' if rejected == 1 else 'runs were'} rejected within the hour."
        yield Sign(level="warn", text=text)
    if filters:
        text = f"Filters failed {filters:,} {'time' if filters == 1 else 'times'} within the hour, which counts as no."
        yield Sign(level="warn", text=text)
