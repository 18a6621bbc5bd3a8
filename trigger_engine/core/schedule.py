"""Cron schedules: which instants an expression names, and which of them are due.

Every instant, given or returned, is float epoch seconds (UTC). Nothing here looks at a clock: `now` is an argument.

The fields are matched against the *local* time of the schedule's timezone; each scheduled local time then becomes one
instant:

- a local time that exists once is that instant;
- a local time that does not exist (clocks go forward) becomes the end of the gap, the next valid instant. All scheduled
  local times inside one gap, and one at its end, are the same instant and fire once;
- a local time that exists twice (clocks go back) is its first occurrence only. So a schedule such as `*/15 * * * *`
  names nothing while the repeated hour runs for the second time; use UTC for even spacing all year round.

When both day of month and weekday are restricted, a day that meets either counts, as in classic cron. A field is
unrestricted only when it covers everything: `*`, `?`, `*/1` (so the 1st, 3rd, … of `*/2` restrict).
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
_CHANCE = re.compile(r"(?:^|,)[hr](?![a-z])", re.IGNORECASE)
_EQUAL_ENDS = re.compile(r"(?<!\w)(\w+)-\1(?!\w)", re.IGNORECASE)
_HOST_ZONES = re.compile(r"localtime$|posixrules$|Factory$|posix/|right/")


class InvalidCron(ValueError):
    """A cron expression or timezone that cannot be used; the message names it, what is wrong and the mend."""


class CatchUp(StrEnum):
    """What becomes of the instants that passed while nobody was alive."""

    LATEST = "latest"
    ALL = "all"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """The instants that one cron expression names in one timezone. Made by `parse`; equal when both texts are equal."""

    expression: str
    timezone: str
    _zone: ZoneInfo = field(repr=False, compare=False)
    _seconds: Sequence[int] = field(repr=False, compare=False)
    _minutes: Sequence[int] = field(repr=False, compare=False)
    _hours: Sequence[int] = field(repr=False, compare=False)
    _days: Sequence[Any] = field(repr=False, compare=False)  # croniters; a day that any of them names is scheduled

    @classmethod
    def parse(cls, expression: str, timezone: str = "UTC") -> CronSchedule:
        """Read five fields, six with the seconds first, or `@hourly` and the like; white space is normalised.

        `timezone` is an IANA name. Raises InvalidCron, also for an expression that can never fire.
        """
        if not isinstance(expression, str):
            raise InvalidCron(f"cron expression {expression!r} is not a string: {_LAYOUT}")
        expression = " ".join(expression.split())
        fields = _split(expression)
        second, minute, hour, *_ = parts = _expand(expression, fields)
        days = _day_rules(fields, parts)
        if not days:
            raise InvalidCron(
                f"cron expression {expression!r} never fires: no such date exists; change its day or month"
            )
        return cls(expression, timezone, _zone(timezone), second, minute, hour, days)

    def next_after(self, instant: float) -> float | None:
        """The first scheduled instant strictly after this one; None when the calendar (year 9999) ends before it."""
        return next(self._instants(instant), None)

    def between(self, after: float, until: float, limit: int | None = None) -> list[float]:
        """The scheduled instants in (after, until], oldest first, at most `limit` of them."""
        if until <= after:
            return []
        return list(islice(takewhile(lambda instant: instant <= until, self._instants(after)), limit))

    def newest(self, after: float, until: float) -> float | None:
        """The newest scheduled instant in (after, until], None when there is none; costs a logarithm of the span."""
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
        wall = _first_wall_after(newest, self._zone)  # all that is scheduled before this local time has passed
        day = self._scheduled_day(wall // _DAY)
        while day is not None:
            for time in self._times(wall - day * _DAY):
                scheduled = day * _DAY + time
                if scheduled < wall:
                    continue  # in a gap that has fired
                instant, wall = _resolve(scheduled, self._zone)
                if instant > newest:
                    newest = instant
                    yield float(instant)
            day = self._scheduled_day(day + 1)

    def _times(self, start: int) -> Iterator[int]:
        """The scheduled times of any scheduled day, in seconds since local midnight, from `start` on."""
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
    """What `due` found.

    ticks: scheduled instants to append, oldest first.
    last: the newest instant that is now dealt with, returned or passed over; the `last` of the next call.
    more: `limit` was reached; call again at once.
    dropped: how many instants catch-up passed over, counted up to `limit` (at `limit` read it as "at least").
    clock_went_back: the last tick lies ahead of `now`; to be reported.
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
    continuous_since: float,
    catch_up: CatchUp = CatchUp.LATEST,
    window: float = float(_DAY),
    limit: int = 1_000,
) -> Due:
    """The ticks to append now: what is scheduled in (last, now].

    last: the newest tick's scheduled time (newest in log order); for a schedule that never ticked, the instant of its
        declaration.
    continuous_since: from this instant to `now` somebody was, or is taken to have been, alive. What is scheduled at or
        after it is returned whatever `catch_up` and `window` say; what is scheduled before it was missed.
    catch_up: of what was missed "latest" returns the newest, "all" everything, "skip" nothing.
    window: seconds before `now`; what was missed earlier is passed over.
    limit: the most ticks that one call returns.

    When `last` lies ahead of `now` nothing is returned and the schedule goes on from `now`. It may then name an instant
    that has ticked already: the tick's id is the same, and the log skips it.
    Raises ValueError for a negative window or a limit below one.
    """
    if window < 0 or limit < 1:
        raise ValueError(f"window must not be negative and limit at least one: window={window!r}, limit={limit!r}")
    if last > now:
        return Due(last=now, clock_went_back=True)
    missed_until = max(last, min(now, _second_before(continuous_since)))
    window_start = min(missed_until, max(last, _second_before(now - window)))
    passed_until = missed_until  # what was missed up to here is passed over
    caught_up: list[float] = []
    if catch_up == CatchUp.ALL:
        caught_up, passed_until = schedule.between(window_start, missed_until, limit + 1), window_start
    elif catch_up == CatchUp.LATEST and (newest := schedule.newest(window_start, missed_until)) is not None:
        caught_up, passed_until = [newest], newest - 1
    dropped = len(schedule.between(last, passed_until, limit))
    found = caught_up + schedule.between(missed_until, now, limit + 1 - len(caught_up))
    ticks = tuple(found[:limit])
    if ticks:
        last = ticks[-1]
    elif dropped:
        last = schedule.newest(last, passed_until) or last
    return Due(ticks=ticks, last=last, more=len(found) > limit, dropped=dropped)


def _second_before(instant: float) -> float:
    """The last whole second before this instant: scheduled instants after it are not before the instant."""
    return float(math.ceil(instant) - 1)


def _split(expression: str) -> list[str]:
    """The six fields of an expression, seconds first."""
    said = f"cron expression {expression!r}"
    if expression.startswith("@") and expression.lower() not in _SHORTHANDS:
        raise InvalidCron(f"{said} is not a known shorthand: use one of {', '.join(_SHORTHANDS)}, or {_LAYOUT}")
    fields = _SHORTHANDS.get(expression.lower(), expression).split()
    if len(fields) == 7:
        raise InvalidCron(f"{said} has seven fields and a year is not supported: leave it out; {_LAYOUT}")
    if len(fields) not in (5, 6):
        raise InvalidCron(f"{said} has {len(fields)} fields: {_LAYOUT}")
    fields = ["0"] * (6 - len(fields)) + fields
    for (name, _), text in zip(_FIELDS, fields, strict=True):
        if _CHANCE.search(text):
            raise InvalidCron(
                f"{said} leaves its {name} {text!r} to chance, and R and H are not supported: write a fixed value"
            )
        if equal := _EQUAL_ENDS.search(text):
            raise InvalidCron(
                f"{said} has a range with equal ends in its {name} {text!r}: write {equal[1]!r} for that one value, "
                "or '*' for all"
            )
    return fields


def _expand(expression: str, fields: list[str]) -> list[list[Any]]:
    """The values of seconds, minutes and hours, then croniter's own form of day, month and weekday."""
    try:
        minute, hour, day, month, weekday, second = croniter.expand(" ".join(fields), second_at_beginning=True)[0]
    except ValueError as exc:
        for index, (name, values) in enumerate(_FIELDS):
            alone = ["*"] * index + [fields[index]] + ["*"] * (5 - index)
            if not croniter.is_valid(" ".join(alone), second_at_beginning=True):
                raise InvalidCron(
                    f"cron expression {expression!r} cannot be read at its {name} {fields[index]!r}: write {values}"
                ) from exc
        raise InvalidCron(f"cron expression {expression!r} cannot be read ({exc}): {_LAYOUT}") from exc
    times = [
        list(range(count)) if values == ["*"] else values for values, count in ((second, 60), (minute, 60), (hour, 24))
    ]
    return [*times, day, month, weekday]


def _day_rules(fields: list[str], parts: list[list[Any]]) -> tuple[Any, ...]:
    """One rule per restricted day field: croniter itself drops one of them where 15W, fri#2 or L5 meets the other."""
    _, _, _, day, month, weekday = fields
    sides = []
    if parts[3] != ["*"]:
        sides.append(f"0 0 {day} {month} *")
    if parts[5] != ["*"] or "#" in weekday or "l" in weekday.lower():
        sides.append(f"0 0 * {month} {weekday}")
    rules = (croniter(side, 0.0) for side in sides or [f"0 0 * {month} *"])
    return tuple(rule for rule in rules if _rule_day(rule, 0) is not None)


def _rule_day(rule: Any, day: int) -> int | None:
    """The first day from this one on that the rule names, None when there is none. The rule itself stays as it is."""
    try:
        return int(copy.copy(rule).get_next(float, start_time=float(day * _DAY - _MINUTE))) // _DAY
    except (ValueError, OverflowError):  # croniter found none within 50 years, or the calendar ended
        return None


def _zone(timezone: str) -> ZoneInfo:
    mend = "use an IANA name such as 'UTC' or 'Europe/Berlin'"
    if not isinstance(timezone, str):
        raise InvalidCron(f"timezone {timezone!r} is not a string: {mend}")
    if _HOST_ZONES.match(timezone):
        raise InvalidCron(f"timezone {timezone!r} does not mean the same everywhere: {mend}")
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as exc:
        raise InvalidCron(
            f"timezone {timezone!r} is not known: {mend} (on a system without them, install tzdata)"
        ) from exc


# Local ("wall") times below are seconds since 1970-01-01 00:00 of the local calendar, without an offset.


def _offset(local: datetime, zone: ZoneInfo) -> int:
    """Seconds that this local time is ahead of UTC; `fold` chooses the side of a change."""
    return (zone.utcoffset(local) or timedelta()) // _SECOND


def _local(instant: int, zone: ZoneInfo) -> datetime:
    return (_UTC_EPOCH + timedelta(seconds=instant)).astimezone(zone)


def _resolve(wall: int, zone: ZoneInfo) -> tuple[int, int]:
    """The instant of a scheduled local time, and the first local time that comes after it."""
    local = _WALL_EPOCH + timedelta(seconds=wall)
    before, after = _offset(local, zone), _offset(local.replace(fold=1), zone)
    if before >= after:
        return wall - before, wall + 1
    gap_end = _change(wall - after, wall - before, zone)
    return gap_end, gap_end + after


def _first_wall_after(instant: int, zone: ZoneInfo) -> int:
    """The first local time whose instant, as `_resolve` finds it, lies after this one."""
    local = _local(instant, zone)
    offset = _offset(local, zone)
    if not local.fold:
        return instant + offset + 1
    before = _offset(local.replace(fold=0), zone)  # a local time that runs for the second time: skip to its end
    return _change(instant - (before - offset), instant, zone) + before


def _change(low: int, high: int, zone: ZoneInfo) -> int:
    """The instant in (low, high] at which the zone's offset changes."""
    before = _offset(_local(low, zone), zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(_local(middle, zone), zone) == before:
            low = middle
        else:
            high = middle
    return high
