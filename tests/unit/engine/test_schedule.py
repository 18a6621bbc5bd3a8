"""Cron schedules: which expressions are accepted, their instants around clock changes, and which ticks are due."""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from trigger_engine._engine.schedule import CatchUp, CronSchedule, Due, InvalidCron, due

HOUR, DAY = 3_600.0, 86_400.0


def at(text: str) -> float:
    """Epoch seconds of a time such as `2024-03-31T01:00` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def texts(instants: Sequence[float]) -> list[str]:
    return [datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M") for instant in instants]


def named(expression: str, timezone: str, start: str, end: str) -> list[str]:
    return [text[5:] for text in texts(CronSchedule.parse(expression, timezone).between(at(start), at(end)))]


# Parsing


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("* * * * *", "2024-01-01T00:00", ["2024-01-01T00:01", "2024-01-01T00:02"]),
        ("  0   12 * *  * ", "2024-01-01T12:00", ["2024-01-02T12:00", "2024-01-03T12:00"]),
        ("30 0 12 * * *", "2024-01-01T12:00", ["2024-01-01T12:00", "2024-01-02T12:00"]),
        ("@hourly", "2024-01-01T00:00", ["2024-01-01T01:00", "2024-01-01T02:00"]),
        ("@Daily", "2024-01-01T00:00", ["2024-01-02T00:00", "2024-01-03T00:00"]),
        ("@midnight", "2024-01-01T00:00", ["2024-01-02T00:00", "2024-01-03T00:00"]),
        ("@weekly", "2024-01-01T00:00", ["2024-01-07T00:00", "2024-01-14T00:00"]),
        ("@monthly", "2024-01-01T00:00", ["2024-02-01T00:00", "2024-03-01T00:00"]),
        ("@yearly", "2024-01-01T00:00", ["2025-01-01T00:00", "2026-01-01T00:00"]),
        ("@annually", "2024-01-01T00:00", ["2025-01-01T00:00", "2026-01-01T00:00"]),
        ("0 0 13 * 5", "2024-09-01T00:00", ["2024-09-06T00:00", "2024-09-13T00:00"]),  # the 13th or a Friday
        ("0 0 13 * ?", "2024-09-01T00:00", ["2024-09-13T00:00", "2024-10-13T00:00"]),
        ("0 0 31 2 1", "2024-02-10T00:00", ["2024-02-12T00:00", "2024-02-19T00:00"]),  # one of the fields never matches
        ("0 0 29 2 *", "2096-03-01T00:00", ["2104-02-29T00:00", "2108-02-29T00:00"]),  # 2100 is not a leap year
        ("0 0 31 * *", "2024-01-31T00:00", ["2024-03-31T00:00", "2024-05-31T00:00"]),
        ("0 0 L * *", "2024-02-01T00:00", ["2024-02-29T00:00", "2024-03-31T00:00"]),
        ("0 0 15W * *", "2024-06-01T00:00", ["2024-06-14T00:00", "2024-07-15T00:00"]),
        ("0 0 * * fri#2", "2024-09-01T00:00", ["2024-09-13T00:00", "2024-10-11T00:00"]),
        ("0 0 * * L5", "2024-09-01T00:00", ["2024-09-27T00:00", "2024-10-25T00:00"]),
        ("0 0 20 * fri#2", "2024-09-01T00:00", ["2024-09-13T00:00", "2024-09-20T00:00"]),  # either field matches
        ("0 0 20 * L5", "2024-09-01T00:00", ["2024-09-20T00:00", "2024-09-27T00:00"]),
        ("0 0 15W * mon", "2024-06-11T00:00", ["2024-06-14T00:00", "2024-06-17T00:00"]),
        ("0 0 * * 0#1,1#1,2#1,3#1,4#1,5#1,6#1", "2024-09-06T00:00", ["2024-09-07T00:00", "2024-10-01T00:00"]),
        ("0 22-1 * * *", "2024-01-01T00:00", ["2024-01-01T01:00", "2024-01-01T22:00"]),
        ("0 0 * jan-feb 7", "2024-02-20T00:00", ["2024-02-25T00:00", "2025-01-05T00:00"]),
    ],
)
def test_expression_matches_these_instants(expression: str, after: str, expected: list[str]) -> None:
    schedule = CronSchedule.parse(expression)
    first = schedule.next_after(at(after))
    assert first is not None
    second = schedule.next_after(first)
    assert second is not None
    assert texts([first, second]) == expected


@pytest.mark.parametrize(
    ("expression", "reason", "fix"),
    [
        ("R * * * *", "random minute 'R'", "fixed value"),
        ("0 H(0-7)/2 * * *", "random hour 'H(0-7)/2'", "fixed value"),
        ("0 0 * * 1,h", "random weekday '1,h'", "fixed value"),
        ("0 0 0 1 1 * 2030", "seven fields", "leave it out"),
        ("* * * *", "4 fields", "five fields"),
        ("", "0 fields", "five fields"),
        ("@reboot", "shorthand", "@hourly"),
        ("61 * * * *", "minute '61'", "0-59"),
        ("60 * * * * *", "second '60'", "0-59"),
        ("0 24 * * *", "hour '24'", "0-23"),
        ("0 0 0 * *", "day of month '0'", "1-31"),
        ("0 0 * 13 *", "month '13'", "jan-dec"),
        ("0 0 * * 8", "weekday '8'", "sun-sat"),
        ("*/0 * * * *", "minute '*/0'", "0-59"),
        ("0 0 * * 1,fri#2", "weekday '1,fri#2'", "second Friday"),
        ("0 9-9 * * *", "equal ends in its hour '9-9'", "write '9'"),
        ("0 0 * * mon,Fri-fri", "equal ends in its weekday", "write 'Fri'"),
        ("0 0 31 2 *", "never fires", "change its day or month"),
        ("0 0 30-31 feb *", "never fires", "change its day or month"),
    ],
)
def test_invalid_expression_is_refused_with_the_fix(expression: str, reason: str, fix: str) -> None:
    with pytest.raises(InvalidCron) as refusal:
        CronSchedule.parse(expression)
    message = str(refusal.value)
    assert repr(expression) in message
    assert reason in message
    assert fix in message


@pytest.mark.parametrize(
    "timezone", ["Europe/Berln", "", "Europe", "../etc/passwd", "localtime", "right/UTC", "CEST\0", "+02:00"]
)
def test_timezone_must_be_an_iana_name(timezone: str) -> None:
    with pytest.raises(InvalidCron, match="IANA name"):
        CronSchedule.parse("@daily", timezone)


def test_values_of_another_type_are_refused() -> None:
    with pytest.raises(InvalidCron, match="not a string"):
        CronSchedule.parse(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidCron, match="timezone"):
        CronSchedule.parse("@daily", None)  # type: ignore[arg-type]


@given(st.one_of(st.text(max_size=40), st.text("0123456789*,-/?#@hrlw \t", max_size=30)))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        schedule = CronSchedule.parse(text)
    except InvalidCron:
        return
    assert schedule.next_after(0.0) is not None


def test_schedule_is_a_value() -> None:
    schedule = CronSchedule.parse(" 0 3 *  * *", "Europe/Berlin")
    assert schedule == CronSchedule.parse("0 3 * * *", "Europe/Berlin") != CronSchedule.parse("0 3 * * *")
    assert len({schedule, pickle.loads(pickle.dumps(schedule))}) == 1
    assert repr(schedule) == "CronSchedule(expression='0 3 * * *', timezone='Europe/Berlin')"


def test_calendar_ends() -> None:
    assert CronSchedule.parse("@yearly").next_after(at("9999-01-01T00:00")) is None


# Clock changes


@pytest.mark.parametrize(
    ("expression", "timezone", "start", "end", "expected"),
    [
        # forward at 01:00Z: 02:00 -> 03:00 local
        ("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00", "2024-04-01T12:00", "03-31T01:00 04-01T00:30"),
        ("0,20,40 2 * * *", "Europe/Berlin", "2024-03-31T00:00", "2024-03-31T23:00", "03-31T01:00"),
        ("0 2,3 * * *", "Europe/Berlin", "2024-03-31T00:00", "2024-03-31T23:00", "03-31T01:00"),
        ("*/20 * * * *", "Europe/Berlin", "2024-03-31T00:40", "2024-03-31T01:20", "03-31T01:00 03-31T01:20"),
        ("30 2 * * *", "Europe/Berlin", "2024-03-31T01:00", "2024-03-31T23:00", ""),
        # back at 01:00Z: 03:00 -> 02:00 local
        ("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00", "2024-10-28T12:00", "10-27T00:30 10-28T01:30"),
        ("*/30 * * * *", "Europe/Berlin", "2024-10-27T00:00", "2024-10-27T02:00", "10-27T00:30 10-27T02:00"),
        ("*/30 * * * *", "Europe/Berlin", "2024-10-27T01:10", "2024-10-27T02:00", "10-27T02:00"),
        ("30 2 * * *", "America/New_York", "2024-03-10T00:00", "2024-03-11T12:00", "03-10T07:00 03-11T06:30"),
        ("30 1 * * *", "America/New_York", "2024-11-03T00:00", "2024-11-04T12:00", "11-03T05:30 11-04T06:30"),
        # half an hour: 02:00 -> 02:30 at 15:30Z, and 02:00 -> 01:30 at 15:00Z
        ("15 2 * * *", "Australia/Lord_Howe", "2024-10-05T00:00", "2024-10-06T20:00", "10-05T15:30 10-06T15:15"),
        ("45 1 * * *", "Australia/Lord_Howe", "2024-04-06T00:00", "2024-04-07T20:00", "04-06T14:45 04-07T15:15"),
        # negative summer time: 03:00 -> 02:00 for Ramadan, and forward again
        ("30 2 * * *", "Africa/Casablanca", "2024-03-10T00:00", "2024-03-11T12:00", "03-10T01:30 03-11T02:30"),
        ("30 2 * * *", "Africa/Casablanca", "2024-04-14T00:00", "2024-04-15T12:00", "04-14T02:00 04-15T01:30"),
        ("0 9 * * *", "Asia/Kolkata", "2024-03-31T00:00", "2024-04-01T12:00", "03-31T03:30 04-01T03:30"),
        # a whole day that was skipped: 2011-12-30
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00", "2011-12-31T00:00", "12-29T22:00 12-30T10:00 12-30T22:00"),
        ("0 0 * * *", "Pacific/Apia", "2011-12-29T12:00", "2011-12-31T12:00", "12-30T10:00 12-31T10:00"),
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00", "2012-01-31T00:00", "12-30T10:00"),
    ],
)  # fmt: skip
def test_clock_change_neither_loses_nor_repeats_a_tick(
    expression: str, timezone: str, start: str, end: str, expected: str
) -> None:
    assert named(expression, timezone, start, end) == expected.split()


ZONES = {
    "UTC": ["2024-02-28T12:00"],
    "Asia/Kolkata": ["2024-03-31T00:00"],
    "Europe/Berlin": ["2024-03-31T01:00", "2024-10-27T01:00"],
    "Europe/Dublin": ["2024-03-31T01:00", "2024-10-27T01:00"],
    "America/New_York": ["2024-03-10T07:00", "2024-11-03T06:00"],
    "Australia/Lord_Howe": ["2024-04-06T15:00", "2024-10-05T15:30"],
    "Africa/Casablanca": ["2024-03-10T02:00", "2024-04-14T02:00"],
    "Antarctica/Troll": ["2024-03-31T01:00", "2024-10-27T01:00"],
    "America/Havana": ["2024-03-10T05:00", "2024-11-03T05:00"],  # changes at midnight
    "Pacific/Apia": ["2011-12-30T10:00"],
    "Pacific/Kwajalein": ["1993-08-21T12:00"],
}


def minutes(values: st.SearchStrategy[int], everything: range) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A cron field and the values that it matches."""
    chosen = st.frozensets(values, min_size=1, max_size=3).map(lambda v: (",".join(map(str, sorted(v))), v))
    stepped = st.integers(2, 30).map(lambda n: (f"*/{n}", frozenset(everything[::n])))
    return st.one_of(st.just(("*", frozenset(everything))), chosen, stepped)


def naive_instants(
    wanted: Sequence[frozenset[int]], either_day: bool, zone: ZoneInfo, start: float, end: float
) -> list[float]:
    """The oracle: checks the local time of every minute in UTC, including one more day on both sides."""
    first_seen: dict[datetime, float] = {}
    jumps: list[tuple[datetime, datetime, float]] = []
    last: datetime | None = None
    for step in range(int((end - start + 4 * DAY) // 60)):
        instant = start - 2 * DAY + step * 60
        wall = datetime.fromtimestamp(instant, zone).replace(tzinfo=None, fold=0)
        first_seen.setdefault(wall, instant)
        if last is not None and wall - last > timedelta(minutes=1):
            jumps.append((last, wall, instant))
        last = wall
    found = {instant for wall, instant in first_seen.items() if matches(wanted, either_day, wall)}
    for before, after, instant in jumps:
        skipped = (before + timedelta(minutes=n) for n in range(1, int((after - before) // timedelta(minutes=1))))
        if any(matches(wanted, either_day, wall) for wall in skipped):
            found.add(instant)
    return sorted(instant for instant in found if start < instant <= end)


def matches(wanted: Sequence[frozenset[int]], either_day: bool, wall: datetime) -> bool:
    minute, hour, day, month, weekday = wanted
    days = (wall.day in day, wall.isoweekday() % 7 in weekday)
    on_day = any(days) if either_day else all(days)
    return wall.minute in minute and wall.hour in hour and wall.month in month and on_day


@settings(max_examples=60, deadline=None)
@given(
    minute=minutes(st.integers(0, 59), range(60)),
    hour=minutes(st.integers(0, 4), range(24)),
    day=minutes(st.sampled_from([27, 28, 29, 30, 31, 1, 10]), range(1, 32)),
    weekday=minutes(st.integers(0, 6), range(7)),
    change=st.sampled_from([(zone, change) for zone, changes in ZONES.items() for change in changes]),
    before=st.integers(0, 36 * 60),
)
def test_schedule_around_clock_changes_equals_a_check_of_every_minute(
    *,
    minute: tuple[str, frozenset[int]],
    hour: tuple[str, frozenset[int]],
    day: tuple[str, frozenset[int]],
    weekday: tuple[str, frozenset[int]],
    change: tuple[str, str],
    before: int,
) -> None:
    timezone, moment = change
    expression = f"{minute[0]} {hour[0]} {day[0]} * {weekday[0]}"
    start = at(moment) - before * 60
    wanted = (minute[1], hour[1], day[1], frozenset(range(1, 13)), weekday[1])
    either_day = "*" not in (day[0], weekday[0])
    schedule = CronSchedule.parse(expression, timezone)
    expected = naive_instants(wanted, either_day, ZoneInfo(timezone), start, start + 2.5 * DAY)
    assert schedule.between(start, start + 2.5 * DAY) == expected


@settings(deadline=None)
@given(
    expression=st.sampled_from(["0 0 29 2 *", "*/7 */5 13 * 5", "0 0 1-7 * mon", "0 0 31 * *", "5 4 L 1-6 *"]),
    start=st.integers(0, 4_000_000_000),
)
def test_schedule_in_utc_equals_croniter(expression: str, start: int) -> None:
    reference = croniter(expression, float(start))
    expected = [reference.get_next(float) for _ in range(5)]
    assert CronSchedule.parse(expression).between(float(start), expected[-1]) == expected


EXPRESSIONS = st.sampled_from(["*/20 * * * *", "30 2 * * *", "0 0 L * *", "*/7 * 2-3 * * *", "0 3 13 * 5", "@hourly"])
SCHEDULES = st.builds(CronSchedule.parse, EXPRESSIONS, st.sampled_from(sorted(ZONES)))
INSTANTS = st.sampled_from(sorted({at(c) for changes in ZONES.values() for c in changes})).flatmap(
    lambda c: st.one_of(st.integers(-90_000, 90_000).map(float), st.floats(-90_000, 90_000)).map(lambda d: c + d)
)


@settings(deadline=None)
@given(SCHEDULES, INSTANTS, st.floats(0, 3 * DAY), st.floats(0, 1))
def test_any_split_of_a_span_has_the_same_instants(
    schedule: CronSchedule, start: float, span: float, part: float
) -> None:
    middle, end = start + part * span, start + span
    whole = schedule.between(start, end)
    assert schedule.between(start, middle) + schedule.between(middle, end) == whole
    assert whole == sorted(set(whole))
    assert all(start < instant <= end for instant in whole)
    assert schedule.newest(start, end) == (whole[-1] if whole else None)
    assert schedule.between(start, end, limit=3) == whole[:3]
    steps = [start, *whole[:20]]
    assert [schedule.next_after(step) for step in steps[:-1]] == steps[1:]


def test_schedule_of_every_second_is_fast() -> None:
    schedule = CronSchedule.parse("* * * * * *", "Europe/Berlin")
    started = time.process_time()
    assert len(schedule.between(at("2024-10-26T00:00"), at("2024-10-27T00:00"))) == 86_400
    assert time.process_time() - started < 1
    started = time.process_time()
    apia = CronSchedule.parse("* * * * * *", "Pacific/Apia")
    assert len(apia.between(at("2011-12-30T09:59"), at("2011-12-30T10:01"))) == 120  # 86,400 seconds were skipped
    assert time.process_time() - started < 0.1
    started = time.process_time()
    for n in range(100):
        schedule.next_after(at("2024-10-27T01:00") + n * 36)  # in the repeated hour
    assert time.process_time() - started < 0.1


# Due ticks

EVERY_MINUTE = CronSchedule.parse("* * * * *")
NOON = at("2024-06-01T12:00")


def late(
    hours: float,
    catch_up: CatchUp,
    *,
    alive: float = 0.0,
    window: float = DAY,
    limit: int = 1_000,
    expression: str = "0 * * * *",
) -> Due:
    """The ticks due at 12:00:30 after `hours` without a runner, which ended `alive` seconds ago."""
    now = NOON + 30
    return due(
        CronSchedule.parse(expression),
        last=NOON - hours * HOUR,
        now=now,
        up_since=now - alive,
        catch_up=catch_up,
        window=window,
        limit=limit,
    )


def test_punctual_leader_gets_every_tick_for_any_catch_up() -> None:
    for catch_up in CatchUp:
        answer = due(EVERY_MINUTE, last=NOON, now=NOON + 60.2, up_since=NOON - 5, catch_up=catch_up, window=0)
        assert answer == Due(ticks=(NOON + 60,), last=NOON + 60)


def test_nothing_due_leaves_last_unchanged() -> None:
    assert due(EVERY_MINUTE, last=NOON + 3, now=NOON + 59, up_since=NOON) == Due(last=NOON + 3)
    assert due(EVERY_MINUTE, last=NOON, now=NOON, up_since=NOON) == Due(last=NOON)


def test_all_ticks_of_a_leader_change_are_returned_even_outside_the_window() -> None:
    answer = due(EVERY_MINUTE, last=NOON, now=NOON + 190, up_since=NOON, catch_up=CatchUp.SKIP, window=0)
    assert answer.ticks == (NOON + 60, NOON + 120, NOON + 180)
    assert answer.dropped == 0


def test_tick_at_the_start_of_the_uptime_was_not_missed() -> None:
    answer = due(EVERY_MINUTE, last=NOON, now=NOON + 130, up_since=NOON + 120, catch_up=CatchUp.SKIP)
    assert (answer.ticks, answer.dropped) == ((NOON + 120,), 1)


def test_latest_returns_the_newest_missed_tick() -> None:
    assert late(5, CatchUp.LATEST) == Due(ticks=(NOON,), last=NOON, dropped=4)


def test_latest_comes_before_the_ticks_since_the_start() -> None:
    assert late(5, CatchUp.LATEST, alive=HOUR * 2).ticks == (NOON - 2 * HOUR, NOON - HOUR, NOON)


def test_all_returns_every_missed_tick_in_the_window() -> None:
    assert late(5, CatchUp.ALL).ticks == tuple(NOON - n * HOUR for n in (4, 3, 2, 1, 0))
    answer = late(5, CatchUp.ALL, window=2 * HOUR + 30)  # 10:00:00 is exactly as old as the window
    assert (answer.ticks, answer.dropped) == ((NOON - 2 * HOUR, NOON - HOUR, NOON), 2)


def test_skip_skips_missed_ticks_once() -> None:
    answer = late(5, CatchUp.SKIP)
    assert answer == Due(ticks=(), last=NOON, dropped=5)
    again = due(EVERY_MINUTE, last=answer.last, now=NOON + 31, up_since=NOON + 30, catch_up=CatchUp.SKIP)
    assert again == Due(last=NOON)


def test_latest_outside_the_window_is_skipped() -> None:
    assert late(5, CatchUp.LATEST, window=10) == Due(ticks=(), last=NOON, dropped=5)


def test_long_downtime_is_returned_in_pages_of_limited_size() -> None:
    schedule = CronSchedule.parse("* * * * * *")
    last, ticks, pages = NOON - DAY, list[float](), 0
    while True:
        page = due(schedule, last=last, now=NOON, up_since=NOON, catch_up=CatchUp.ALL, window=HOUR, limit=500)
        assert len(page.ticks) <= 500
        assert page.dropped == (500 if pages == 0 else 0)  # "at least": 82,799 were skipped
        ticks += page.ticks
        last, pages = page.last, pages + 1
        if not page.more:
            break
    assert ticks == [NOON - HOUR + n for n in range(3_601)]
    assert pages == 8


def test_latest_after_a_year_of_downtime_is_found_at_once() -> None:
    started = time.process_time()
    answer = late(24 * 365, CatchUp.LATEST, expression="* * * * * *", window=DAY * 400)
    assert (answer.ticks, answer.more, answer.dropped) == ((NOON + 29, NOON + 30), False, 1_000)
    assert time.process_time() - started < 0.1


def test_clock_that_went_back_is_reported_and_does_not_stop_the_schedule() -> None:
    answer = due(EVERY_MINUTE, last=NOON + DAY, now=NOON + 5, up_since=NOON)
    assert answer == Due(last=NOON + 5, clock_went_back=True)
    assert due(EVERY_MINUTE, last=answer.last, now=NOON + 61, up_since=NOON).ticks == (NOON + 60,)


@pytest.mark.parametrize(("window", "limit"), [(-1.0, 5), (5.0, 0)])
def test_invalid_bounds_are_refused(window: float, limit: int) -> None:
    with pytest.raises(ValueError, match="window"):
        due(EVERY_MINUTE, last=NOON, now=NOON, up_since=NOON, window=window, limit=limit)


@settings(deadline=None)
@given(
    schedule=SCHEDULES,
    start=INSTANTS,
    gap=st.floats(0, 2 * DAY),
    alive=st.floats(-HOUR, 3 * DAY),
    catch_up=st.sampled_from(CatchUp),
    window=st.floats(0, 3 * DAY),
    limit=st.integers(1, 40),
)
def test_pages_of_due_ticks_equal_the_rules_applied_to_the_whole_span(
    *, schedule: CronSchedule, start: float, gap: float, alive: float, catch_up: CatchUp, window: float, limit: int
) -> None:
    now, since = start + gap, start + gap - alive
    scheduled = schedule.between(start, now)
    missed = [tick for tick in scheduled if tick < since]
    kept = {CatchUp.ALL: missed, CatchUp.LATEST: missed[-1:], CatchUp.SKIP: []}[catch_up]
    expected = [tick for tick in kept if tick >= now - window] + [tick for tick in scheduled if tick >= since]

    last, ticks, dropped = start, list[float](), list[int]()
    for _ in range(len(scheduled) + 1):
        page = due(schedule, last=last, now=now, up_since=since, catch_up=catch_up, window=window, limit=limit)
        assert len(page.ticks) <= limit
        assert page.more == (len(ticks) + len(page.ticks) < len(expected))
        ticks += page.ticks
        dropped.append(page.dropped)
        last = page.last
    assert ticks == expected
    assert sum(dropped) == min(limit, len(scheduled) - len(expected))
