"""The history of a whole app: an event can be followed to everything it caused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trigger_engine import EventContext, InvocationStatus, TriggerBuilder, TriggerEngine, TriggerEngineBuilder
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.opening import open_history
from trigger_engine.testing import TestEngine


def order_of(ctx: EventContext) -> dict[str, object]:
    return {"order": ctx.payload["order"]}


def no_order_of(ctx: EventContext) -> dict[str, object]:
    raise LookupError("the order is unknown")


@pytest.fixture
def app() -> TriggerEngine:
    app = TriggerEngine(app_id="shop", trigger_cls="MemTrigger")

    @app.task(task_id="pack")
    async def pack(order: int) -> str:
        await app.emit_event("packed", {"order": order})
        return f"parcel {order}"

    @app.task(task_id="on_paid", triggers=TriggerBuilder().on_event("paid").with_args_from_event(order_of))
    async def on_paid(order: int) -> None:
        await pack(order=order)

    @app.task(
        task_id="ship",
        triggers=TriggerBuilder().on_event("packed").on_status("pack").on_event("address").with_logic("and"),
    )
    async def ship() -> None: ...

    @app.task(
        task_id="bill",
        triggers=TriggerBuilder().on_event("paid", {"by": "card"}).with_args_from_event(no_order_of),
    )
    async def bill(order: int) -> None: ...

    return app


async def test_event_can_be_followed_to_everything_it_caused(app: TriggerEngine) -> None:
    async with TestEngine(app, allow_failures=True) as engine, app.history() as history:
        unheard = await app.emit_event("unheard")
        paid = await app.emit_event("paid", {"order": 7, "by": "card"})
        await engine.run_until_idle()

        assert [record.event_id for record in await history.events(matched=False)] == [unheard]
        record = await history.event(paid)
        assert len(record.valid_condition_ids) == len(record.matched_condition_ids) == 2
        fired, rejected = [await history.trigger_run(run_id) for run_id in record.trigger_run_ids]
        assert (fired.arguments, fired.error) == ({"order": 7}, None)
        assert "LookupError" in (rejected.error or "")
        on_paid = await history.invocation(record.invocation_ids[0])
        assert on_paid.trigger_run_id == fired.run_id

        (packed,) = await history.events(event_code="packed")
        pack = await history.invocation(packed.emitter_invocation_id or "")
        assert (pack.parent_invocation_id, pack.result) == (on_paid.invocation_id, "parcel 7")
        ship = next(one for one in await history.triggers() if one.task_id == "ship")
        assert list(ship.waiting.values()) == [1, 1, 0]

        await app.emit_event("address")
        await engine.run_until_idle()
        (run,) = await history.trigger_runs(source_invocation_id=pack.invocation_id)
        assert [one.kind for one in run.participants] == ["event", "status", "event"]
        family = await history.family(on_paid.invocation_id)
        assert {member.task_id: member.generation for member in family.members} == {"on_paid": 0, "pack": 1, "ship": 2}
        assert (await history.overview()).invocations[InvocationStatus.SUCCESS] == 3
        assert not await history.void()


async def test_history_of_a_memory_app_leaves_no_file(app: TriggerEngine, cache_home: Path) -> None:
    async with app.history() as history:
        await app.emit_event("paid")
        assert len(await history.events()) == 1
    assert not list(_files(cache_home))


async def test_history_of_a_sqlite_app_is_persistent(tmp_path: Path, cache_home: Path) -> None:
    def shop() -> TriggerEngine:
        return TriggerEngineBuilder().sqlite(str(tmp_path / "shop.db")).app_id("shop").build()

    app = shop()
    async with app:
        first = await app.emit_event("paid")
        async with app.history() as history:
            assert [record.event_id for record in await history.events()] == [first]
    again = shop()
    async with open_history(again._internals) as history:
        second = await again.emit_event("paid")
        assert [record.event_id for record in await history.events()] == [second, first]
    assert isinstance(history, History)
    assert len(list(_files(cache_home))) == 1


@pytest.fixture
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: folder / name)
    return folder


def _files(folder: Path) -> Iterator[Path]:
    return folder.rglob("*.sqlite")
