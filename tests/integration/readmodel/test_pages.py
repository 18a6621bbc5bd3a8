"""Pages repeat and miss nothing while entries arrive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.readmodel.stored_log import StoredLog
from tests.integration.readmodel.story import Story, at, on_event, trigger
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.queries import events as event_queries
from trigger_engine._readmodel.records import Page
from trigger_engine.errors import QueryError

welcome = trigger("welcome", on_event("login"))


async def collect(ask: Callable[[str | None], Awaitable[Page[Any]]], between: Callable[[], object]) -> list[int]:
    """Returns the positions on all pages. `between` is called before each page except the first."""
    positions: list[int] = []
    cursor: str | None = None
    while True:
        page = await ask(cursor)
        positions += [record.position for record in page]
        cursor = page.next_cursor
        if cursor is None:
            return positions
        between()


async def test_pages_are_sequences(story: Story, history: History) -> None:
    ids = [story.event() for _ in range(3)]
    page = await history.events(limit=2)
    assert len(page) == 2
    assert page[0].event_id == ids[2]
    assert [record.event_id for record in page[:1]] == [ids[2]]
    assert [record.event_id for record in page] == [ids[2], ids[1]]
    rest = await history.events(limit=2, cursor=page.next_cursor)
    assert ([record.event_id for record in rest], rest.next_cursor) == ([ids[0]], None)


async def test_full_last_page_has_no_next_cursor(story: Story, history: History) -> None:
    for _ in range(4):
        story.event()
    first = await history.events(limit=2)
    second = await history.events(limit=2, cursor=first.next_cursor)
    assert (len(second), second.next_cursor) == (2, None)
    assert (await history.events(limit=4)).next_cursor is None


@given(
    first=st.lists(st.sampled_from(["login", "paid", "x"]), max_size=25),
    arriving=st.lists(st.sampled_from(["login", "paid", "x"]), max_size=5),
    limit=st.integers(1, 7),
    filters=st.fixed_dictionaries(
        {},
        optional={
            "event_code": st.sampled_from(["login", "paid"]),
            "matched": st.booleans(),
            "text": st.sampled_from(["1", "2"]),
            "since": st.just(at(6)),
        },
    ),
)
async def test_pages_do_not_shift_while_events_arrive(
    first: list[str], arriving: list[str], limit: int, filters: dict[str, Any]
) -> None:
    log = StoredLog()
    story = Story(log)
    story.lead()
    story.declare(welcome)

    def emit(codes: list[str]) -> None:
        for code in codes:
            event_id = story.event(code, {"n": log.last})
            if code == "login":
                story.fire(welcome, {"event:login": event_id})

    emit(first)
    async with History(log, app_id="shop", location="a list", persistent=False) as history:
        at_once = [record.position for record in await history.events(limit=100, **filters)]
        paged = await collect(
            lambda cursor: history.events(limit=limit, cursor=cursor, **filters), lambda: emit(arriving)
        )
    assert paged == at_once


async def test_every_list_is_paginated(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    for _ in range(5):
        story.fire(welcome, {"event:login": story.event("login")})
        story.event("login", event_id="event-3")
        story.lead()

    def nothing() -> None: ...

    for ask in (history.events, history.trigger_runs, history.invocations, history.notices, history.void):
        at_once = [record.position for record in await ask(limit=100)]
        assert len(at_once) >= 5
        assert at_once == sorted(at_once, reverse=True)
        assert await collect(lambda cursor, ask=ask: ask(limit=2, cursor=cursor), nothing) == at_once  # type: ignore[misc]


async def test_invalid_cursor_is_rejected(story: Story, history: History) -> None:
    story.event()
    for cursor in ("", "x", "zz-11", "12"):
        with pytest.raises(QueryError, match="cursor="):
            await history.events(cursor=cursor)


async def test_cursor_of_another_log_is_rejected(story: Story, history: History, tmp_path: Path) -> None:
    story.event()
    story.event()
    cursor = (await history.events(limit=1)).next_cursor
    other = StoredLog("other")
    async with History(other, app_id="other", location="a list", cache_folder=tmp_path) as elsewhere:
        with pytest.raises(QueryError, match="belongs to another log"):
            await elsewhere.events(cursor=cursor)


async def test_text_search_continues_over_several_pages(
    story: Story, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_queries, "_SEARCHED_BLOCKS", 1)
    wanted = story.event(payload={"word": "needle"})
    for _ in range(2500):
        story.event()
    page = await history.events(text="needle")
    assert (len(page), page.next_cursor is None) == (0, False)
    looked = 1
    while page.next_cursor is not None:
        page = await history.events(text="needle", cursor=page.next_cursor)
        looked += 1
    assert [record.event_id for record in page] == [wanted]
    assert looked == 3
