"""Cron schedules: which ticks are due, and when the next one is."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from trigger_engine._engine.active_declarations import ActiveCron
from trigger_engine._engine.schedule import CatchUp, CronSchedule, due
from trigger_engine._model.definitions import CronCondition
from trigger_engine._model.entries import CronTicked, Position

logger = logging.getLogger(__name__)
_BATCH = 1000


class Schedules:
    """The cron schedules of one term. Times are seconds since 1970."""

    def __init__(self, continuous_since: float) -> None:
        self._continuous_since = continuous_since
        self._last_handled: dict[str, float] = {}
        self._schedules: dict[tuple[str, str], CronSchedule] = {}

    def next_due(self, states: Iterable[ActiveCron]) -> float | None:
        """When the next tick is due, None if no schedule has one."""
        times = [self._schedule(state.condition).next_after(self._last(state)) for state in states]
        return min((time for time in times if time is not None), default=None)

    def ticks(self, states: Iterable[ActiveCron], *, now: float, term: Position) -> tuple[list[CronTicked], bool]:
        """The ticks to append now, and whether more are already due."""
        entries: list[CronTicked] = []
        more = False
        for state in states:
            condition = state.condition
            found = due(
                self._schedule(condition),
                last=self._last(state),
                now=now,
                up_since=self._continuous_since,
                catch_up=CatchUp(condition.catch_up),
                window=condition.catch_up_window,
                limit=_BATCH,
            )
            if found.clock_went_back:
                logger.warning("%s: the clock went back behind its last tick; continuing from now", condition.id)
            if found.dropped:
                logger.warning(
                    "%s: skipped %d missed times (catch_up=%s)", condition.id, found.dropped, condition.catch_up
                )
            previous = state.last_tick
            for scheduled in found.ticks:
                entries.append(_tick(condition, scheduled, previous, now=now, term=term))
                previous = scheduled
            self._last_handled[condition.id] = found.last
            more = more or found.more
        return entries, more

    def _last(self, state: ActiveCron) -> float:
        known = self._last_handled.get(state.condition.id)
        return known if known is not None else state.since if state.last_tick is None else state.last_tick

    def _schedule(self, condition: CronCondition) -> CronSchedule:
        key = (condition.expression, condition.timezone)
        if key not in self._schedules:
            self._schedules[key] = CronSchedule.parse(*key)
        return self._schedules[key]


def tick_id(condition_id: str, scheduled_for: float) -> str:
    """The id of a tick: the same for a condition and scheduled time, whichever leader appends it."""
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
