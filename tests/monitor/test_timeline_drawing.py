"""The drawing of a timeline stays small and correct for any window."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.apps import on_memory
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._monitor.drawing.timeline import LEFT, MAX_NODES, RIGHT, WIDTH, Drawing, draw
from trigger_engine._monitor.site import Options, Site
from trigger_engine._readmodel.queries.timeline import TimedEvent, TimedInvocation, TimedRun, TimelineRecord

BEGIN = datetime(2026, 5, 17, 12, tzinfo=UTC)
ENVIRONMENT = Site(on_memory(), Options()).templates
END = BEGIN + timedelta(minutes=10)


def invocation(number: int, seconds: float, took: float = 1.0, **facts: object) -> TimedInvocation:
    begun = BEGIN + timedelta(seconds=seconds)
    given: dict[str, object] = {
        "invocation_id": f"i{number}",
        "task_id": "shop.ship",
        "status": InvocationStatus.SUCCESS,
        "runner_id": "runner",
        "registered_at": begun,
        "started_at": begun,
        "ended_at": begun + timedelta(seconds=took),
        "trigger_run_id": None,
        **facts,
    }
    return TimedInvocation(**given)  # type: ignore[arg-type]


def event(number: int, seconds: float, emitter: str | None = None) -> TimedEvent:
    time = BEGIN + timedelta(seconds=seconds)
    return TimedEvent(
        event_id=f"e{number}", event_code="paid", timestamp=time, outcome="triggered", emitter_invocation_id=emitter
    )


def run(number: int, seconds: float, *, events: tuple[str, ...] = (), sources: tuple[str, ...] = ()) -> TimedRun:
    return TimedRun(
        run_id=f"r{number}",
        task_id="shop.ship",
        timestamp=BEGIN + timedelta(seconds=seconds),
        rejected=False,
        invocation_id=f"i{number}",
        event_ids=events,
        source_invocation_ids=sources,
    )


def drawn(found: TimelineRecord, **options: object) -> Drawing:
    return draw(found, BEGIN, END, now=END, **options)  # type: ignore[arg-type]


def nodes(drawing: Drawing) -> int:
    """Counts the elements of the rendered SVG, including itself."""
    source = '{% import "drawings.html" as d with context %}{{ d.timeline(drawing, link, since, until) }}'
    page = ENVIRONMENT.from_string(source).render(
        drawing=drawing, link=str, since=BEGIN, until=END, with_query=lambda **_: ""
    )
    svg = page[page.index("<svg") : page.index("</svg>")]
    return svg.count("<") - svg.count("</")


def crowd(count: int) -> Iterator[TimedInvocation]:
    for number in range(count):
        yield invocation(number, number % 600, registered_at=BEGIN, task_id=f"task{number % 40}")


@pytest.mark.parametrize("count", [0, 1, 50, 300, 3_000, 20_000])
def test_drawing_has_few_nodes(count: int) -> None:
    found = TimelineRecord(
        invocations=tuple(crowd(count)),
        events=tuple(event(number, number % 600, f"i{number}") for number in range(count)),
        runs=tuple(run(number, number % 600, events=(f"e{number}",)) for number in range(count)),
    )
    focus = {f"i{number}" for number in range(0, count, 2)} | {f"r{number}" for number in range(count)}
    for lanes in ("task", "runner"):
        for marked in ((), focus):
            assert nodes(drawn(found, lanes=lanes, focus=marked)) <= MAX_NODES


def test_bar_covers_the_time_from_start_to_end() -> None:
    waited = invocation(1, 300, took=150, registered_at=BEGIN)
    drawing = drawn(TimelineRecord(invocations=(waited,)))
    (bar,), (wait,) = drawing.bars, drawing.waits
    width = WIDTH - LEFT - RIGHT
    assert (bar.x, bar.width) == (LEFT + width / 2, width / 4)
    assert (wait.x, wait.width) == (LEFT, width / 2)
    assert bar.path == "/invocations/i1"


def test_overlapping_bars_are_in_different_rows() -> None:
    drawing = drawn(TimelineRecord(invocations=(invocation(1, 0, 100), invocation(2, 50, 100), invocation(3, 200, 9))))
    first, second, third = drawing.bars
    assert first.y != second.y
    assert first.y == third.y


def test_open_invocation_extends_to_now() -> None:
    still = invocation(1, 0, ended_at=None, status=InvocationStatus.RUNNING)
    (bar,) = drawn(TimelineRecord(invocations=(still,))).bars
    assert bar.x + bar.width == WIDTH - RIGHT


def test_items_outside_the_window_are_not_drawn() -> None:
    before, after = invocation(1, -100, 50), invocation(2, 700, 5)
    drawing = drawn(TimelineRecord(invocations=(before, after), events=(event(1, -5), event(2, 601))))
    assert not drawing.bars
    assert not drawing.marks


def test_emitter_event_run_and_invocation_are_linked() -> None:
    found = TimelineRecord(
        invocations=(invocation(0, 0, 10), invocation(1, 20, 10), invocation(2, 40, 10)),
        events=(event(1, 5, emitter="i0"),),
        runs=(run(1, 20, events=("e1",)), run(2, 40, sources=("i1",))),
    )
    drawing = drawn(found, focus={"r1"})
    assert len(drawing.lines) == 3
    assert [kind for mark in drawing.marks for kind in [mark.kind]] == ["triggered", "run"]
    assert sum(focused for _, focused in drawing.lines) == 1


def test_crowded_lane_is_a_histogram_whose_bins_zoom_in() -> None:
    ones = [invocation(number, number % 600) for number in range(2_000)]
    ones[7] = invocation(7, 7, status=InvocationStatus.FAILED)
    drawing = drawn(TimelineRecord(invocations=tuple(ones)))
    assert all(bar.path is None for bar in drawing.bars)
    assert sum(int(bar.title.split()[0]) for bar in drawing.bars) >= 1_990
    assert [bar.status for bar in drawing.bars].count("failed") == 1, "a bin shows its worst status"
    assert drawing.bars[0].since == BEGIN.isoformat(timespec="milliseconds")


def test_quiet_lanes_are_hidden_unless_in_focus() -> None:
    ones = [invocation(number, 1, task_id=f"task{number // 2:02}") for number in range(100)]
    ones.append(invocation(999, 1, task_id="zzz"))
    drawing = drawn(TimelineRecord(invocations=tuple(ones)), focus={"i999"})
    assert drawing.hidden_lanes == 51 - 24
    assert "zzz" in {lane.title for lane in drawing.lanes}
