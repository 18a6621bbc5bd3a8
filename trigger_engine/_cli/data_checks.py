"""The checks of `doctor` that need the app's data. Each check examines facts gathered beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from trigger_engine._app.app import TriggerEngine
from trigger_engine._cli.code_checks import END_THE_LOOP, is_unfiltered
from trigger_engine._cli.finding import Finding, failed, ok, warning
from trigger_engine._config.settings import Settings
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._engine.loops import describe_loop, find_loops
from trigger_engine._model.definitions import EventCondition, TriggerDefinition
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import (
    EventRecord,
    InvocationRecord,
    NoticeRecord,
    OverviewRecord,
    RunnerRecord,
    TriggerRecord,
    TriggerRunRecord,
)
from trigger_engine._suggestions import did_you_mean

_SAMPLE = 1000
_RECENT = timedelta(days=1)
_BEHIND = timedelta(minutes=1)
_SKEW = timedelta(seconds=5)
_RUNS_PER_HOUR = 3600.0
_WAITING = (InvocationStatus.REGISTERED, InvocationStatus.RETRY)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The data that the checks examine. `target`: the app's name on the command line.

    `waiting`: the newest waiting invocations. `events`: the newest events. `settled`: the newest event that is at least
    a minute old. `silent`: event codes that triggers of this code listen to but that were never emitted. `failures`,
    `rejected`, `ended_chains`: those of the last day. `declared`: the triggers of this code, by slot.
    """

    target: str
    now: datetime
    settings: Settings
    declared: Mapping[str, TriggerDefinition]
    overview: OverviewRecord
    runners: Sequence[RunnerRecord] = ()
    triggers: Sequence[TriggerRecord] = ()
    waiting: Sequence[InvocationRecord] = ()
    events: Sequence[EventRecord] = ()
    settled: EventRecord | None = None
    silent: Sequence[str] = ()
    failures: Sequence[NoticeRecord] = ()
    ended_chains: Sequence[NoticeRecord] = ()
    rejected: Sequence[TriggerRunRecord] = ()

    @property
    def alive(self) -> list[RunnerRecord]:
        """The live runners."""
        return [runner for runner in self.runners if runner.alive]

    def command(self, words: str) -> str:
        """Returns a command line for this app."""
        return f"trigger-engine {words} {self.target}".rstrip()


async def gather(app: TriggerEngine, target: str, history: History, now: datetime) -> Facts:
    """Gathers the facts from the history. Raises BackendUnavailable."""
    events = await history.events(limit=_SAMPLE)
    settled = await history.events(until=now - _BEHIND, limit=1)
    emitted = {event.event_code for event in events}
    codes = {
        condition.event_code
        for trigger in app._internals.registry.triggers.values()
        for condition in trigger.conditions
        if isinstance(condition, EventCondition)
    }
    silent = [code for code in sorted(codes - emitted) if not await history.events(event_code=code, limit=1)]
    return Facts(
        target=target,
        now=now,
        settings=app._internals.settings,
        declared=app._internals.registry.triggers,
        overview=await history.overview(),
        runners=list(await history.runners()),
        triggers=list(await history.triggers()),
        waiting=list(await history.invocations(status=_WAITING, limit=_SAMPLE)),
        events=list(events),
        settled=next(iter(settled), None),
        silent=silent,
        failures=list(await history.notices(kind="filter-failed", since=now - _RECENT)),
        ended_chains=list(await history.notices(kind="chain-ended", since=now - _RECENT)),
        rejected=list(await history.trigger_runs(rejected=True, since=now - _RECENT)),
    )


def check_data(facts: Facts) -> Iterator[Finding]:
    """Runs all checks of the app's data."""
    for check in CHECKS:
        yield from check(facts)


def _runners(facts: Facts) -> Iterator[Finding]:
    alive = facts.alive
    if not alive:
        lost = f" ({len(facts.runners)} were lost)" if facts.runners else ""
        yield warning("runners", f"no runner is alive{lost}", f"start one: {facts.command('run')}")
        return
    hosts = ", ".join(f"{runner.host} (process {runner.pid})" for runner in alive)
    yield ok("runners", f"{len(alive)} alive: {hosts}")
    versions = sorted({runner.version for runner in alive})
    if len(versions) > 1:
        yield warning("runners", f"they have different versions: {', '.join(versions)}", "restart the older ones")


def _rollout(facts: Facts) -> Iterator[Finding]:
    """Checks whether live runners have the triggers of this code."""
    own = {trigger.id for trigger in facts.declared.values()}
    for runner in facts.alive:
        theirs = set(runner.trigger_ids)
        if theirs != own:
            differing = ", ".join(sorted(own ^ theirs)[:3])
            yield warning(
                "rollout",
                f"runner:{runner.runner_id} has other triggers than this code ({differing})",
                "restart it with this code, or check that it imports the same modules (trigger_task_modules)",
            )


def _leader(facts: Facts) -> Iterator[Finding]:
    if not facts.alive:
        return
    leader = next((runner for runner in facts.alive if runner.leads), None)
    if leader is None:
        yield warning(
            "leader",
            "no live runner is the leader, so nothing is evaluated",
            f"one takes over within {facts.settings.lease_ttl:g} s (lease_ttl); otherwise see the runners' logs",
        )
    elif facts.settled is not None and facts.settled.position > facts.overview.evaluated_upto:
        yield warning(
            "leader",
            f"runner:{leader.runner_id} is more than a minute behind: event:{facts.settled.event_id} is not evaluated",
            "see its log; slow filters (callable_timeout) or an overloaded machine can cause this",
        )
    else:
        yield ok("leader", f"runner:{leader.runner_id} is the leader and keeps up")


def _suspended(facts: Facts) -> Iterator[Finding]:
    for trigger in facts.triggers:
        if trigger.state == "suspended":
            since = f"{trigger.state_since:%Y-%m-%d %H:%M} UTC"
            yield warning(
                "triggers",
                f"{trigger.slot} is suspended since {since}: no live runner has its code",
                "start a runner that imports its module, or let it be retired (retire_after)",
            )


def _backlog(facts: Facts) -> Iterator[Finding]:
    waiting = sum(facts.overview.invocations.get(status, 0) for status in _WAITING)
    limit = facts.settings.max_backlog
    if waiting > limit:
        yield warning("backlog", f"{waiting:,} invocations are waiting, max_backlog is {limit:,}", "start more runners")
    else:
        yield ok("backlog", f"{waiting:,} invocations are waiting")


def _unknown_tasks(facts: Facts) -> Iterator[Finding]:
    alive = facts.alive
    known = {task for runner in alive for task in runner.tasks}
    unknown = Counter(one.task_id for one in facts.waiting if alive and one.task_id not in known)
    for task, count in unknown.items():
        yield failed(
            "waiting work",
            f"{count} invocations of {task} are waiting, but no live runner has that task{did_you_mean(task, known)}",
            "list its module in trigger_task_modules and restart the runners; "
            "if it was renamed, cancel them (trigger-engine invocations cancel ID)",
        )
    unserved = Counter(
        one.queue for one in facts.waiting if alive and one.queue is not None and not _is_served(one.queue, alive)
    )
    for queue, count in unserved.items():
        yield failed(
            "waiting work",
            f"{count} invocations are waiting in the queue {queue!r}, but no live runner serves it",
            f"start one: {facts.command(f'run --queue {queue}')}",
        )


def _is_served(queue: str, runners: Iterable[RunnerRecord]) -> bool:
    return any(not runner.queues or queue in runner.queues for runner in runners)


def _failing_filters(facts: Facts) -> Iterator[Finding]:
    newest: dict[str, NoticeRecord] = {}
    for notice in facts.failures:
        newest.setdefault(notice.text.partition(": ")[0], notice)
    for name, notice in newest.items():
        yield warning(
            "filters",
            f"{name} failed within the last day, which counts as false: {notice.text.partition(': ')[2]}",
            f"fix it; to see its input: {facts.command(f'explain {notice.subject_id}')}",
        )


def _rejected_runs(facts: Facts) -> Iterator[Finding]:
    newest: dict[str, TriggerRunRecord] = {}
    for run in facts.rejected:
        newest.setdefault(run.slot, run)
    for slot, run in newest.items():
        yield warning(
            "arguments",
            f"runs of {slot} were rejected within the last day: {run.error}",
            f"fix its argument provider; to see them: {facts.command('runs --rejected')}",
        )


def _loops_by_events(facts: Facts) -> Iterator[Finding]:
    """Finds loops that declarations alone do not show; the newest events show which task emits what."""
    emitters: dict[str, set[str]] = {}
    for event in facts.events:
        if event.emitter_task_id is not None:
            emitters.setdefault(event.event_code, set()).add(event.emitter_task_id)
    declared = find_loops(facts.declared.values())
    for loop in find_loops(facts.declared.values(), emitters):
        if loop not in declared:
            yield warning("loops", f"tasks and the events they emit form a loop: {describe_loop(loop)}", END_THE_LOOP)


def _ended_chains(facts: Facts) -> Iterator[Finding]:
    newest: dict[str | None, NoticeRecord] = {}
    for notice in facts.ended_chains:
        newest.setdefault(notice.trigger_id, notice)
    for notice in newest.values():
        yield warning(
            "loops",
            f"a chain was ended within the last day: {notice.text}",
            f"to see what led to it: {facts.command(f'explain {notice.subject_id}')}",
        )


def _silent_events(facts: Facts) -> Iterator[Finding]:
    """Finds codes that triggers listen to and that were never emitted, while a similar code was."""
    emitted = {event.event_code for event in facts.events}
    for code in facts.silent:
        near = did_you_mean(code, emitted)
        if near:
            yield warning("events", f"no event {code!r} was ever emitted{near}", "correct the trigger or the emitter")


def _frequent(facts: Facts) -> Iterator[Finding]:
    unfiltered = {trigger.id for trigger in facts.declared.values() if is_unfiltered(trigger)}
    for trigger in facts.triggers:
        hours = max((facts.now - trigger.declared_at) / timedelta(hours=1), 1.0)
        if trigger.trigger_id in unfiltered and trigger.runs / hours > _RUNS_PER_HOUR:
            yield warning(
                "filters",
                f"{trigger.slot} has no filter and fires {trigger.runs / hours:,.0f} times an hour",
                "if most of these runs do nothing, add a filter to the trigger",
            )


def _clock(facts: Facts) -> Iterator[Finding]:
    times = [runner.last_seen for runner in facts.runners] + [event.timestamp for event in facts.events[:1]]
    ahead = max(times, default=facts.now) - facts.now
    if ahead > _SKEW:
        yield warning(
            "clock",
            f"the data has times {ahead.total_seconds():,.0f} s ahead of this machine's clock",
            "synchronize the clocks of all machines (NTP): delays, cron and retention depend on them",
        )
    else:
        yield ok("clock", "no time in the data is ahead of this machine's clock")


CHECKS: tuple[Callable[[Facts], Iterable[Finding]], ...] = (
    _runners,
    _rollout,
    _leader,
    _suspended,
    _backlog,
    _unknown_tasks,
    _failing_filters,
    _rejected_runs,
    _loops_by_events,
    _ended_chains,
    _silent_events,
    _frequent,
    _clock,
)
