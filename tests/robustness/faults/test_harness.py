"""The harness itself: it strikes where it is told, and sees what is left."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.robustness.faults.aftermath import Holdings, connections_counted, nothing_is_held, nothing_leaks
from tests.robustness.faults.awaits import Site, sites_of, source_line, suspended_at
from tests.robustness.faults.shop import Place
from tests.robustness.faults.survey import NEVER_STRUCK, strike, strike_all
from tests.robustness.faults.unvisited import SELDOM, UNVISITED, Unvisited
from tests.robustness.faults.watch import WAYS, Strike, Watch, Way, owner
from tests.support.waiting import wait_until
from trigger_engine._finishing import finish, wait_until_done
from trigger_engine._runtime.leader.term import LEASE
from trigger_engine.testing.conformance._sample_entries import runner_facts

SOURCE = """
async def f(a, b):
    async with a:
        await b(
            await a
        )
    async for _ in a:
        pass
    return [_ async for _ in b]
"""


def test_every_kind_of_wait_is_a_site() -> None:
    assert [(site.line, site.kind) for site in sorted(sites_of("m", SOURCE))] == [
        (3, "enter"),
        (3, "exit"),
        (4, "await"),
        (5, "await"),
        (7, "next"),
        (9, "next"),
    ]


async def test_suspended_task_shows_its_whole_chain_of_awaits() -> None:
    go = asyncio.Event()
    task = asyncio.create_task(finish(go.wait()))
    await asyncio.sleep(0)
    chain = suspended_at(task.get_coro())
    assert [source_line(site) for site in chain] == ["await wait_until_done(task)", "await asyncio.wait([task])"]
    go.set()
    await task


@pytest.mark.parametrize("way", WAYS)
async def test_strike_cancels_once_at_its_site(way: Way) -> None:
    watch = Watch()
    watch.install()
    go = asyncio.Event()
    working = asyncio.create_task(go.wait())
    one = Strike(_site("await asyncio.wait([task])"), way, visit=2)
    watch.strikes = [one]

    async def caller() -> None:
        with anyio.CancelScope() as scope:
            owner.set(scope)
            await wait_until_done(working)

    first, second = [asyncio.create_task(caller()) for _ in range(2)]
    await wait_until(lambda: one.struck)
    go.set()
    await asyncio.wait([first, second])
    assert not first.cancelled()
    assert second.cancelled() is (way == "task")


def _site(text: str) -> Site:
    from tests.robustness.faults.awaits import sites

    return next(site for site in sites() if site.module == "_finishing.py" and text in source_line(site))


async def test_leaks_are_reported(tmp_path: Path) -> None:
    go = threading.Event()
    with connections_counted():
        before = Holdings()
        task = asyncio.create_task(asyncio.Event().wait(), name="a task")
        thread = threading.Thread(target=go.wait, name="a thread")
        thread.start()
        connection = sqlite3.connect(":memory:")
        with (tmp_path / "a file").open("w"):
            found = Holdings().more_than(before)
        kinds = [line.split()[0] for line in found]
        assert kinds == ["task", "thread", "file", "connection"]
        task.cancel()
        await asyncio.wait([task])
        go.set()
        connection.close()
        await nothing_leaks(before)


@pytest.mark.parametrize("left", ["row", "lease", "claim"])
async def test_remaining_holdings_of_a_runner_are_reported(tmp_path: Path, left: str) -> None:
    from trigger_engine.testing.conformance._sample_entries import TASK, registration

    place = Place("memory", tmp_path)
    async with await place.backend().open(clock=asyncio.get_running_loop().time) as log:
        await nothing_is_held(place)
        calls: dict[str, Any] = {
            "row": lambda: log.heartbeat(runner_facts(), ttl=60.0),
            "lease": lambda: log.acquire(LEASE, "runner-1", ttl=60.0),
            "claim": lambda: log.claim("runner-1", tasks=[TASK], queues=[], holding=[], limit=1),
        }
        await log.append([(registration("i1"),)])
        await calls[left]()
        with pytest.raises(AssertionError, match=r"still"):
            await nothing_is_held(place)


def test_strike_that_never_happens_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from random import Random

    nowhere = Site("_app/app.py", 1, 0, "await")
    monkeypatch.setattr("tests.robustness.faults.survey.survey", lambda _: {"life": {nowhere: 1}})
    assert strike("memory", nowhere, "task", tmp_path / "one", Random(1)) == NEVER_STRUCK
    (told,) = strike_all("memory", [(nowhere, "task")], tmp_path / "all", seed=1)
    assert told.startswith(f"nothing waited at {nowhere}")
    excuse = Unvisited("_app/app.py", "", ("await",), "a test")
    monkeypatch.setattr("tests.robustness.faults.survey.SELDOM", (excuse,))
    assert strike_all("memory", [(nowhere, "task")], tmp_path / "excused", seed=1) == []


def test_every_exception_has_its_reason() -> None:
    assert all(one.reason for one in (*UNVISITED, *SELDOM))
