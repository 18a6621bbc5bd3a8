"""The history of an app with a runner, from the log of each backend."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.apps import MakeApp
from tests.support.backends import TestedBackend
from tests.support.waiting import wait_until
from trigger_engine import EventContext, InvocationStatus, TriggerBuilder, TriggerEngine
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.opening import open_history

pytestmark = pytest.mark.every_backend


def order_of(ctx: EventContext) -> dict[str, object]:
    return {"order": ctx.payload["order"]}


def declare(app: TriggerEngine) -> TriggerEngine:
    paid = TriggerBuilder().on_event("paid", payload_filter={"by": "card"}).with_args_from_event(order_of)

    @app.task(task_id="pack", triggers=paid)
    async def pack(order: int) -> str:
        await app.emit_event("packed", {"order": order})
        return f"parcel {order}"

    @app.task(task_id="ship", triggers=TriggerBuilder().on_event("packed").on_status("pack"))
    async def ship() -> None: ...

    return app


@pytest.fixture
async def app(make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TriggerEngine]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    app = declare(make_app(app_id="shop"))
    async with app:
        yield app


async def has_shipped(history: History) -> bool:
    return bool(await history.invocations(task_id="ship", status=InvocationStatus.SUCCESS))


async def test_event_can_be_followed_to_everything_it_caused(app: TriggerEngine) -> None:
    async with app.runner() as runner, app.history() as history:
        abroad = await app.emit_event("paid", {"order": 6, "by": "cheque"})
        paid = await app.emit_event("paid", {"order": 7, "by": "card"})
        await wait_until(lambda: has_shipped(history), deadline=60)
        record = await history.event(paid)
        fired = await history.trigger_run(record.trigger_run_ids[0])
        pack = await history.invocation(fired.invocation_id or "")
        assert (fired.arguments, pack.result, pack.runner_id) == ({"order": 7}, "parcel 7", runner.runner_id)
        assert [pack.statuses[0].status.value, pack.statuses[-1].status.value] == ["registered", "success"]
        (packed,) = await history.events(event_code="packed")
        assert packed.emitter_invocation_id == pack.invocation_id
        (shipped,) = await history.trigger_runs(source_invocation_id=pack.invocation_id)
        assert sorted(one.kind for one in shipped.participants) == ["event", "status"]
        assert [one.event_id for one in await history.events(matched=False)] == [abroad]
        assert [one.outcome for one in (await history.explain(abroad, "pack")).explanations] == ["filtered"]
        assert [one.runner_id for one in await history.runners() if one.alive] == [runner.runner_id]
        assert (await history.overview()).invocations[InvocationStatus.SUCCESS] == 2
        assert not await history.void()


async def test_incremental_history_equals_a_new_one(
    app: TriggerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app.history() as grown:
        async with app.runner():
            for order in range(10):
                await app.emit_event("paid", {"order": order, "by": "card"})
                # One at a time: a run may take several contributions that arrive together.
                await wait_until(lambda: has_all(grown, 2 * order + 2), deadline=60)  # noqa: B023 (awaited at once)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
        async with app.history() as fresh:
            for history in (grown, fresh):
                assert await has_all(history, 20)
            assert await grown.events(limit=100) == await fresh.events(limit=100)
            assert await grown.trigger_runs(limit=100) == await fresh.trigger_runs(limit=100)
            assert await grown.invocations(limit=100) == await fresh.invocations(limit=100)
            assert await grown.triggers() == await fresh.triggers()


async def has_all(history: History, count: int) -> bool:
    return (await history.overview()).invocations.get(InvocationStatus.SUCCESS) == count


async def test_wait_beyond_ends_when_an_event_arrives(app: TriggerEngine) -> None:
    async with app.history() as history:
        end = await history.wait_beyond(-1, timeout=0.0)
        assert await history.wait_beyond(end, timeout=0.0) == end
        waiting = asyncio.create_task(history.wait_beyond(end, timeout=60.0))
        event = await app.emit_event("paid", {"order": 1, "by": "card"})
        assert await waiting > end
        assert [one.event_id for one in await history.events()] == [event]


async def test_history_is_kept_for_the_next_start(app: TriggerEngine, backend: TestedBackend, tmp_path: Path) -> None:
    first = await app.emit_event("paid", {"order": 1, "by": "cheque"})
    async with app.history() as history:
        assert [one.event_id for one in await history.events()] == [first]
    async with open_history(app._internals) as history:
        second = await app.emit_event("paid", {"order": 2, "by": "cheque"})
        assert [one.event_id for one in await history.events()] == [second, first]
    assert len(list((tmp_path / "cache").rglob("*.sqlite"))) == backend.is_shared


async def test_emptied_log_has_an_empty_history(app: TriggerEngine) -> None:
    async with app.history() as history:
        await app.emit_event("paid", {"order": 1, "by": "card"})
        assert len(await history.events()) == 1
        await (await app._internals.connections.session()).log.clear()
        assert not await history.events()
        event = await app.emit_event("paid", {"order": 2, "by": "card"})
        assert [one.event_id for one in await history.events()] == [event]
