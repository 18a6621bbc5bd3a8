"""Cron: which ticks are due, and when the next one will be."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from trigger_engine.core.declarations import CronInForce
from trigger_engine.core.schedule import CatchUp, CronSchedule, due
from trigger_engine.entries.definitions import CronCondition
from trigger_engine.entries.facts import CronTicked, Position

logger = logging.getLogger(__name__)
_BATCH = 1000


class Timekeeper:
    """Keeps the schedules of one leader's term. Times are seconds since 1970."""

    def __init__(self, continuous_since: float) -> None:
        self._continuous_since = continuous_since
        self._dealt_with: dict[str, float] = {}
        self._schedules: dict[tuple[str, str], CronSchedule] = {}

    def next_due(self, states: Iterable[CronInForce]) -> float | None:
        """When the next tick is due, None when no schedule has one."""
        times = [self._schedule(state.condition).next_after(self._last(state)) for state in states]
        return min((time for time in times if time is not None), default=None)

    def ticks(self, states: Iterable[CronInForce], *, now: float, term: Position) -> tuple[list[CronTicked], bool]:
        """The ticks to append now, and whether there are more to come at once."""
        entries: list[CronTicked] = []
        more = False
        for state in states:
            condition = state.condition
            found = due(
                self._schedule(condition),
                last=self._last(state),
                now=now,
                continuous_since=self._continuous_since,
                catch_up=CatchUp(condition.catch_up),
                window=condition.catch_up_window,
                limit=_BATCH,
            )
            if found.clock_went_back:
                logger.warning(
                    "%s: its last tick lies ahead of the clock, which went back: it goes on from now", condition.id
                )
            if found.dropped:
                logger.warning(
                    "%s: %d missed times are passed over (catch_up=%s)", condition.id, found.dropped, condition.catch_up
                )
            previous = state.last_tick
            for scheduled in found.ticks:
                entries.append(_tick(condition, scheduled, previous, now=now, term=term))
                previous = scheduled
            self._dealt_with[condition.id] = found.last
            more = more or found.more
        return entries, more

    def _last(self, state: CronInForce) -> float:
        known = self._dealt_with.get(state.condition.id)
        return known if known is not None else state.since if state.last_tick is None else state.last_tick

    def _schedule(self, condition: CronCondition) -> CronSchedule:
        key = (condition.expression, condition.timezone)
        if key not in self._schedules:
            self._schedules[key] = CronSchedule.parse(*key)
        return self._schedules[key]


def tick_id(condition_id: str, scheduled_for: float) -> str:
    """The id of a tick: one per condition and scheduled time, whoever writes it."""
    return f"{condition_id}@{datetime.fromtimestamp(scheduled_for, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _tick(
    condition: CronCondition, scheduled: float, previous: float | None, *, now: float, term: Position
) -> CronTicked:
    return CronTicked(
        id=tick_id(condition.id, scheduled),
        time=now,
        term=term,
        condition_id=condition.id,
        scheduled_for=scheduled,
        last_execution=previous,
    )
