"""Cron schedules: which instants an expression matches, and which of them are due.

All instants are float epoch seconds (UTC). This module reads no clock: `now` is an argument.

The fields are matched against the *local* time in the timezone of the schedule. Each scheduled local time then becomes
one instant:

- A local time that exists once is that instant.
- A local time that does not exist (clocks go forward) becomes the end of the gap, the next valid instant. All scheduled
  local times inside one gap, and one at its end, are the same instant and fire once.
- A local time that exists twice (clocks go back) is its first occurrence. So a schedule such as `*/15 * * * *` does not
  fire during the second run of the repeated hour; use UTC for even spacing all year.

If both day of month and weekday are restricted, a day matches if either of them does, as in classic cron. A field is
unrestricted only if it covers everything: `*`, `?` or `*/1` (`*/2`, the 1st, 3rd, …, is a restriction).
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter  # type: ignore[import-untyped]

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_SECOND = timedelta(seconds=1)
_UTC_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_EPOCH = datetime(1970, 1, 1)

_SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = (
    ("second", "0-59"),
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of month", "1-31, L (last day) or 15W (weekday nearest the 15th)"),
    ("month", "1-12 or jan-dec"),
    ("weekday", "0-7 (0 and 7 are Sunday), sun-sat, fri#2 (second Friday) or L5 (last Friday)"),
)
_LAYOUT = "write five fields (minute hour day month weekday), or six with the seconds first"
_RANDOM = re.compile(r"(?:^|,)[hr](?![a-z])", re.IGNORECASE)
_EQUAL_ENDS = re.compile(r"(?<!\w)(\w+)-\1(?!\w)", re.IGNORECASE)
_HOST_ZONES = re.compile(r"localtime$|posixrules$|Factory$|posix/|right/")


class InvalidCron(ValueError):
    """A cron expression or timezone is invalid. The message names it, the problem and the fix."""


class CatchUp(StrEnum):
    """What to do with instants that passed while no runner was up."""

    LATEST = "latest"
    ALL = "all"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """The instants of a cron expression in a timezone. Create it with `parse`. Equal if both texts are equal."""

    expression: str
    timezone: str
    _zone: ZoneInfo = field(repr=False, compare=False)
    _seconds: Sequence[int] = field(repr=False, compare=False)
    _minutes: Sequence[int] = field(repr=False, compare=False)
    _hours: Sequence[int] = field(repr=False, compare=False)
    _days: Sequence[Any] = field(repr=False, compare=False)  # croniters; a day that any of them matches is scheduled

    @classmethod
    def parse(cls, expression: str, timezone: str = "UTC") -> CronSchedule:
        """Parses five fields, six fields with the seconds first, or a shorthand such as `@hourly`.

        White space is normalised. `timezone` is an IANA name. Raises InvalidCron, also for an expression that can never
        fire.
        """
        if not isinstance(expression, str):
            raise InvalidCron(f"cron expression {expression!r} is not a string: {_LAYOUT}")
        expression = " ".join(expression.split())
        fields = _split(expression)
        second, minute, hour, *_ = parts = _expand(expression, fields)
        days = _day_rules(fields, parts)
        if not days:
            raise InvalidCron(
                f"cron expression {expression!r} never fires, because no such date exists: change its day or month"
            )
        return cls(expression, timezone, _zone(timezone), second, minute, hour, days)

    def next_after(self, instant: float) -> float | None:
        """The first scheduled instant strictly after this one; None if the calendar (year 9999) ends before it."""
        return next(self._instants(instant), None)

    def between(self, after: float, until: float, limit: int | None = None) -> list[float]:
        """The scheduled instants in (after, until], oldest first, at most `limit` of them."""
        if until <= after:
            return []
        return list(islice(takewhile(lambda instant: instant <= until, self._instants(after)), limit))

    def newest(self, after: float, until: float) -> float | None:
        """The newest scheduled instant in (after, until], None if there is none. Takes logarithmic time."""
        found = self.next_after(after) if after < until else None
        if found is None or found > until:
            return None
        bound = float(math.floor(until))  # nothing is scheduled in (bound, until]
        while found < bound:
            middle = (found + bound) // 2
            later = self.next_after(middle)
            if later is None or later > until:
                bound = middle
            else:
                found = later
        return found

    def _instants(self, after: float) -> Iterator[float]:
        """Every scheduled instant after this one, strictly increasing."""
        newest = math.floor(after)
        wall = _first_wall_after(newest, self._zone)  # everything scheduled before this local time has passed
        day = self._scheduled_day(wall // _DAY)
        while day is not None:
            for time in self._times(wall - day * _DAY):
                scheduled = day * _DAY + time
                if scheduled < wall:
                    continue  # inside a gap that has already fired
                instant, wall = _resolve(scheduled, self._zone)
                if instant > newest:
                    newest = instant
                    yield float(instant)
            day = self._scheduled_day(day + 1)

    def _times(self, start: int) -> Iterator[int]:
        """The scheduled times of a scheduled day from `start` on, in seconds since local midnight."""
        for hour in self._hours:
            if (hour + 1) * _HOUR <= start:
                continue
            for minute in self._minutes:
                base = hour * _HOUR + minute * _MINUTE
                if base + _MINUTE <= start:
                    continue
                for second in self._seconds:
                    if base + second >= start:
                        yield base + second

    def _scheduled_day(self, day: int) -> int | None:
        """The first scheduled day from this one on (days since 1970-01-01, local)."""
        found = [first for rule in self._days if (first := _rule_day(rule, day)) is not None]
        return min(found, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The result of `due`.

    ticks: scheduled instants to append, oldest first.
    last: the newest instant that was returned or skipped; pass it as `last` to the next call.
    more: `limit` was reached; call again at once.
    dropped: number of instants that catch-up skipped, counted up to `limit` (a value of `limit` means "at least").
    clock_went_back: the last tick is later than `now`; the caller should report it.
    """

    ticks: tuple[float, ...] = ()
    last: float
    more: bool = False
    dropped: int = 0
    clock_went_back: bool = False


def due(
    schedule: CronSchedule,
    *,
    last: float,
    now: float,
    up_since: float,
    catch_up: CatchUp = CatchUp.LATEST,
    window: float = float(_DAY),
    limit: int = 1_000,
) -> Due:
    """The ticks to append now: the instants scheduled in (last, now].

    last: scheduled time of the newest tick in log order; for a schedule without ticks, the time of its declaration.
    up_since: some runner has been up from this instant until `now`. Instants at or after it are returned regardless of
        `catch_up` and `window`; instants before it were missed.
    catch_up: which missed instants to return: "latest" for the newest, "all" for all, "skip" for none.
    window: seconds before `now`; instants missed before that are skipped.
    limit: the maximum number of ticks to return.

    If `last` is later than `now`, nothing is returned and the schedule continues from `now`. It may then produce an
    instant that has ticked already: the tick has the same id, and the log skips it.
    Raises ValueError for a negative window or a limit below one.
    """
    if window < 0 or limit < 1:
        raise ValueError(f"window must not be negative and limit must be at least 1: {window=}, {limit=}")
    if last > now:
        return Due(last=now, clock_went_back=True)
    missed_until = max(last, min(now, _second_before(up_since)))
    window_start = min(missed_until, max(last, _second_before(now - window)))
    skipped_until = missed_until  # instants missed up to here are skipped
    caught_up: list[float] = []
    if catch_up == CatchUp.ALL:
        caught_up, skipped_until = schedule.between(window_start, missed_until, limit + 1), window_start
    elif catch_up == CatchUp.LATEST and (newest := schedule.newest(window_start, missed_until)) is not None:
        caught_up, skipped_until = [newest], newest - 1
    dropped = len(schedule.between(last, skipped_until, limit))
    found = caught_up + schedule.between(missed_until, now, limit + 1 - len(caught_up))
    ticks = tuple(found[:limit])
    if ticks:
        last = ticks[-1]
    elif dropped:
        last = schedule.newest(last, skipped_until) or last
    return Due(ticks=ticks, last=last, more=len(found) > limit, dropped=dropped)


def _second_before(instant: float) -> float:
    """The last whole second before this instant. Scheduled instants after it are not before this instant."""
    return float(math.ceil(instant) - 1)


def _split(expression: str) -> list[str]:
    """The six fields of an expression, seconds first."""
    subject = f"cron expression {expression!r}"
    if expression.startswith("@") and expression.lower() not in _SHORTHANDS:
        raise InvalidCron(f"{subject} is not a known shorthand: use one of {', '.join(_SHORTHANDS)}, or {_LAYOUT}")
    fields = _SHORTHANDS.get(expression.lower(), expression).split()
    if len(fields) == 7:
        raise InvalidCron(f"{subject} has seven fields, but a year is not supported: leave it out; {_LAYOUT}")
    if len(fields) not in (5, 6):
        raise InvalidCron(f"{subject} has {len(fields)} fields: {_LAYOUT}")
    fields = ["0"] * (6 - len(fields)) + fields
    for (name, _), text in zip(_FIELDS, fields, strict=True):
        if _RANDOM.search(text):
            raise InvalidCron(
                f"{subject} has a random {name} {text!r}, but R and H are not supported: write a fixed value"
            )
        if equal := _EQUAL_ENDS.search(text):
            raise InvalidCron(
                f"{subject} has a range with equal ends in its {name} {text!r}: write {equal[1]!r} for one value, "
                "or '*' for all"
            )
    return fields


def _expand(expression: str, fields: list[str]) -> list[list[Any]]:
    """The values of seconds, minutes and hours, then day, month and weekday as croniter expands them."""
    try:
        minute, hour, day, month, weekday, second = croniter.expand(" ".join(fields), second_at_beginning=True)[0]
    except ValueError as exc:
        for index, (name, values) in enumerate(_FIELDS):
            single = ["*"] * index + [fields[index]] + ["*"] * (5 - index)
            if not croniter.is_valid(" ".join(single), second_at_beginning=True):
                raise InvalidCron(
                    f"cron expression {expression!r} has an invalid {name} {fields[index]!r}: write {values}"
                ) from exc
        raise InvalidCron(f"cron expression {expression!r} is invalid ({exc}): {_LAYOUT}") from exc
    times = [
        list(range(count)) if values == ["*"] else values for values, count in ((second, 60), (minute, 60), (hour, 24))
    ]
    return [*times, day, month, weekday]


def _day_rules(fields: list[str], parts: list[list[Any]]) -> tuple[Any, ...]:
    """One rule for each restricted day field: with 15W, fri#2 or L5 in one field, croniter ignores the other field."""
    _, _, _, day, month, weekday = fields
    sides = []
    if parts[3] != ["*"]:
        sides.append(f"0 0 {day} {month} *")
    if parts[5] != ["*"] or "#" in weekday or "l" in weekday.lower():
        sides.append(f"0 0 * {month} {weekday}")
    rules = (croniter(side, 0.0) for side in sides or [f"0 0 * {month} *"])
    return tuple(rule for rule in rules if _rule_day(rule, 0) is not None)


def _rule_day(rule: Any, day: int) -> int | None:
    """The first day from this one on that the rule matches, None if there is none. Does not modify the rule."""
    try:
        return int(copy.copy(rule).get_next(float, start_time=float(day * _DAY - _MINUTE))) // _DAY
    except (ValueError, OverflowError):  # croniter found no day within 50 years, or the calendar ended
        return None


def _zone(timezone: str) -> ZoneInfo:
    fix = "use an IANA name such as 'UTC' or 'Europe/Berlin'"
    if not isinstance(timezone, str):
        raise InvalidCron(f"timezone {timezone!r} is not a string: {fix}")
    if _HOST_ZONES.match(timezone):
        raise InvalidCron(f"timezone {timezone!r} depends on the host: {fix}")
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as exc:
        raise InvalidCron(
            f"timezone {timezone!r} is not known: {fix} (if the system has no timezone data, install tzdata)"
        ) from exc


# Local ("wall") times below are seconds since 1970-01-01 00:00 local time, without an offset.


def _offset(local: datetime, zone: ZoneInfo) -> int:
    """How many seconds this local time is ahead of UTC. `fold` selects the side of an offset change."""
    return (zone.utcoffset(local) or timedelta()) // _SECOND


def _local(instant: int, zone: ZoneInfo) -> datetime:
    return (_UTC_EPOCH + timedelta(seconds=instant)).astimezone(zone)


def _resolve(wall: int, zone: ZoneInfo) -> tuple[int, int]:
    """The instant of a scheduled local time, and the first local time after it."""
    local = _WALL_EPOCH + timedelta(seconds=wall)
    before, after = _offset(local, zone), _offset(local.replace(fold=1), zone)
    if before >= after:
        return wall - before, wall + 1
    gap_end = _change(wall - after, wall - before, zone)
    return gap_end, gap_end + after


def _first_wall_after(instant: int, zone: ZoneInfo) -> int:
    """The first local time whose instant, as returned by `_resolve`, is after this one."""
    local = _local(instant, zone)
    offset = _offset(local, zone)
    if not local.fold:
        return instant + offset + 1
    before = _offset(local.replace(fold=0), zone)  # the second run of a repeated hour: skip to its end
    return _change(instant - (before - offset), instant, zone) + before


def _change(low: int, high: int, zone: ZoneInfo) -> int:
    """The instant in (low, high] at which the offset of the zone changes."""
    before = _offset(_local(low, zone), zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(_local(middle, zone), zone) == before:
            low = middle
        else:
            high = middle
    return high
