"""Leadership: takeover, checkpoints, newer code, changing triggers, retention."""

import asyncio
from typing import Any

import pytest

from tests.support.apps import MakeApp, on_memory, sibling
from tests.support.reading import entries, entries_of_type, statuses
from tests.support.waiting import wait_until
from trigger_engine import EventContext, TriggerBuilder, TriggerContext, TriggerEngine
from trigger_engine._model.entries import (
    EventEmitted,
    FilterFailed,
    Judged,
    LeaderElected,
    RetentionApplied,
    TriggerFired,
    TriggerRejected,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)
from trigger_engine._runtime.leader.term import LEASE
from trigger_engine.testing import TestEngine, inject_faults
from trigger_engine.testing.conformance._harness import read_all

pytestmark = pytest.mark.every_backend


def order_of(context: EventContext) -> dict[str, Any]:
    return {"order": context.payload["order"]}


def is_paid(payload: dict[str, Any]) -> bool:
    return bool(payload["order"])


def all_orders(context: TriggerContext) -> dict[str, Any]:
    return {"orders": [one.payload["order"] for one in context.contexts if isinstance(one, EventContext)]}


def gathering(app: TriggerEngine) -> list[list[int]]:
    """Declares a task that waits for two events; returns the list of its arguments."""
    seen: list[list[int]] = []
    both = TriggerBuilder().on_event("a").on_event("b").with_args_from_trigger_context(all_orders)

    @app.task(triggers=both, task_id="gather")
    async def gather(orders: list[int]) -> None:
        seen.append(orders)

    return seen


def shipping(app: TriggerEngine, **options: Any) -> list[int]:
    """Declares a task that follows one event; returns the list of its arguments."""
    seen: list[int] = []
    paid = TriggerBuilder().on_event("paid").with_args_from_event(order_of)

    @app.task(triggers=paid, task_id="ship", **options)
    async def ship(order: int) -> None:
        seen.append(order)

    return seen


async def test_one_of_many_runners_leads(make_app: MakeApp) -> None:
    app = make_app(lease_ttl=60.0)
    seen = shipping(app)
    async with app, app.runner(), app.runner(), app.runner():
        for order in range(20):
            await app.emit_event("paid", {"order": order})
        await wait_until(lambda: len(seen) == 20)
        assert len(await entries_of_type(app, LeaderElected)) == 1
        assert len(await entries_of_type(app, TriggersDeclared)) == 1
    assert sorted(seen) == list(range(20))


async def test_another_runner_takes_over_immediately_when_the_leader_leaves(make_app: MakeApp) -> None:
    app = make_app(lease_ttl=30.0)
    seen = shipping(app)
    async with app:
        first = await app.runner().__aenter__()
        await app.emit_event("paid", {"order": 1})
        await wait_until(lambda: seen == [1])
        async with app.runner():
            await first.__aexit__(None, None, None)
            async with app.runner():
                await app.emit_event("paid", {"order": 2})
                await wait_until(lambda: seen == [1, 2], deadline=20)


async def test_another_runner_takes_over_when_the_leaders_lease_expires(make_app: MakeApp) -> None:
    app = make_app(lease_ttl=0.3)
    seen = shipping(app)
    async with app:
        log = (await app._internals.connections.session()).log
        assert await log.acquire(LEASE, "a leader that hangs", ttl=0.3)
        async with app.runner():
            await app.emit_event("paid", {"order": 1})
            await wait_until(lambda: seen == [1])


async def test_contributions_to_an_and_trigger_survive_a_takeover(make_app: MakeApp) -> None:
    app = make_app()
    seen = gathering(app)
    async with app:
        async with app.runner():
            await app.emit_event("a", {"order": 1})
            await wait_until(lambda: _evaluated(app))
            await app.emit_event("a", {"order": 2})
        async with app.runner():
            await app.emit_event("b", {"order": 3})
            await wait_until(lambda: seen)
        async with app.runner():
            await app.emit_event("a", {"order": 4})
            await app.emit_event("b", {"order": 5})
            await wait_until(lambda: len(seen) == 2)
        assert len(await entries_of_type(app, TriggerFired)) == 2
    assert seen == [[1, 2, 3], [4, 5]]


async def test_a_new_leader_starts_from_the_checkpoint_and_fires_nothing_again(make_app: MakeApp) -> None:
    app = make_app()
    seen = shipping(app)
    async with app:
        async with app.runner():
            for order in range(5):
                await app.emit_event("paid", {"order": order})
            await wait_until(lambda: len(seen) == 5)
        log = (await app._internals.connections.session()).log
        checkpoint = await log.load_checkpoint(LEASE)
        assert checkpoint is not None
        assert checkpoint.cursor.position > 5
        async with app.runner():
            await app.emit_event("paid", {"order": 5})
            await wait_until(lambda: len(seen) == 6)
        assert len(await entries_of_type(app, TriggerFired)) == 6
    assert sorted(seen) == list(range(6))


async def test_a_leader_without_a_checkpoint_replays_the_log(make_app: MakeApp) -> None:
    app = make_app(checkpoint_interval=1000.0)
    faults = inject_faults(app)
    seen = gathering(app)
    async with app:
        faults.fail("save_checkpoint")
        async with app.runner():
            await app.emit_event("a", {"order": 1})
            await wait_until(lambda: _evaluated(app))
        log = (await app._internals.connections.session()).log
        assert await log.load_checkpoint(LEASE) is None
        faults.clear()
        async with app.runner():
            await app.emit_event("b", {"order": 2})
            await wait_until(lambda: seen)
    assert seen == [[1, 2]]


async def test_a_takeover_longer_than_the_lease_succeeds(make_app: MakeApp) -> None:
    app = make_app(lease_ttl=0.6)
    faults = inject_faults(app)
    seen = shipping(app)
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def slow() -> None:
        await wait_until(lambda: loop.time() > begun + 1.5)

    faults.call("load_checkpoint", behaviour=slow)
    async with app, app.runner(), app.runner():
        await app.emit_event("paid", {"order": 1})
        await wait_until(lambda: seen == [1])
        assert len(await entries_of_type(app, LeaderElected)) == 1


async def test_a_leader_yields_to_newer_code(make_app: MakeApp) -> None:
    old_app = make_app(lease_ttl=0.3)
    new_app = sibling(old_app, lease_ttl=0.3)
    old_seen = shipping(old_app)
    new_seen = shipping(new_app)
    refunded: list[int] = []

    @new_app.task(triggers=TriggerBuilder().on_event("refunded").with_args_from_event(order_of), task_id="refund")
    async def refund(order: int) -> None:
        refunded.append(order)

    async with old_app, new_app, old_app.runner() as old_runner:
        await old_app.emit_event("paid", {"order": 1})
        await wait_until(lambda: old_seen == [1])
        async with new_app.runner() as new_runner:
            await wait_until(lambda: _leader_is(old_app, new_runner.runner_id))
            await wait_until(lambda: _count(old_app, TriggersDeclared, 2))
            await old_app.emit_event("refunded", {"order": 2})
            await old_app.emit_event("paid", {"order": 3})
            await wait_until(lambda: refunded == [2])
            await wait_until(lambda: sorted([*old_seen, *new_seen]) == [1, 3])
        await wait_until(lambda: _leader_is(old_app, old_runner.runner_id))
        assert old_runner.failed is None


async def test_a_trigger_without_code_is_suspended_and_keeps_its_contributions(
    make_app: MakeApp,
) -> None:
    full = make_app()
    part = sibling(full)
    seen = gathering(full)
    shipped = shipping(part)
    async with full, part:
        async with full.runner():
            await full.emit_event("a", {"order": 1})
            await wait_until(lambda: _evaluated(full))
        async with part.runner():
            await wait_until(lambda: _count(full, TriggerSuspended, 1))
            await full.emit_event("a", {"order": 2})
            await full.emit_event("paid", {"order": 3})
            await wait_until(lambda: shipped == [3])
        async with full.runner():
            await wait_until(lambda: _count(full, TriggerResumed, 1))
            await full.emit_event("b", {"order": 4})
            await wait_until(lambda: seen)
    assert seen == [[1, 4]]


async def test_a_trigger_missing_for_long_is_retired(make_app: MakeApp) -> None:
    full = make_app()
    part = sibling(full, retire_after=0.2)
    seen = gathering(full)
    async with full, part:
        async with full.runner():
            await full.emit_event("a", {"order": 1})
            await wait_until(lambda: _evaluated(full))
        async with part.runner():
            await wait_until(lambda: _count(full, TriggerRetired, 1))
        async with full.runner():
            await wait_until(lambda: _count(full, TriggersDeclared, 2))
            await full.emit_event("a", {"order": 2})
            await full.emit_event("b", {"order": 3})
            await wait_until(lambda: seen)
    assert seen == [[2, 3]], "a retired trigger loses its contributions"


async def test_a_changed_trigger_replaces_the_one_in_its_slot(make_app: MakeApp) -> None:
    old_app = make_app()
    new_app = sibling(old_app)
    old_seen = shipping(old_app)
    new_seen: list[int] = []

    @new_app.task(triggers=TriggerBuilder().on_event("sold").with_args_from_event(order_of), task_id="ship")
    async def ship(order: int) -> None:
        new_seen.append(order)

    async with old_app, new_app:
        async with old_app.runner():
            await old_app.emit_event("paid", {"order": 1})
            await wait_until(lambda: old_seen == [1])
        async with new_app.runner():
            await wait_until(lambda: _count(old_app, TriggersDeclared, 2))
            await old_app.emit_event("paid", {"order": 2})
            await old_app.emit_event("sold", {"order": 3})
            await wait_until(lambda: new_seen == [3])
    assert old_seen == [1]


async def test_triggers_declared_while_a_runner_is_up_become_active(make_app: MakeApp) -> None:
    app = make_app()
    async with app, app.runner():
        await wait_until(lambda: _count(app, TriggersDeclared, 1))
        seen = shipping(app)
        await wait_until(lambda: _count(app, TriggersDeclared, 2))
        await app.emit_event("paid", {"order": 1})
        await wait_until(lambda: seen == [1])


async def test_runners_continue_on_a_log_that_was_cleared(make_app: MakeApp) -> None:
    app = make_app()
    seen = shipping(app)
    async with app, app.runner() as first, app.runner() as second:
        await app.emit_event("paid", {"order": 1})
        await wait_until(lambda: seen == [1])
        await (await app._internals.connections.session()).log.clear()
        await wait_until(lambda: _count(app, TriggersDeclared, 1))
        await app.emit_event("paid", {"order": 2})
        await wait_until(lambda: seen == [1, 2])
        assert first.failed is second.failed is None


async def test_a_run_whose_start_is_appended_during_shutdown_still_runs(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)
    seen = shipping(app)
    written = asyncio.Event()

    async def hold() -> None:
        written.set()
        await wait_until(lambda: faults.calls["release"])

    async with app:
        async with app.runner():
            faults.call("append", behaviour=hold, after=True, entries=TriggerFired, times=1)
            await app.emit_event("paid", {"order": 1})
            await written.wait()
        (fired,) = await entries_of_type(app, TriggerFired)
        assert await statuses(app, fired.invocation_id) == ["registered", "pending", "running", "success"]
        assert seen == [1]


async def test_retention_removes_old_entries_and_keeps_open_work() -> None:
    app = on_memory(event_retention_days=7)
    seen = gathering(app)
    ran: list[int] = []

    @app.task
    async def later(x: int) -> None:
        ran.append(x)

    async with TestEngine(app) as engine:
        await app.emit_event("a", {"order": 1})
        await later.options(delay=20 * 86400.0)(7)
        for order in range(50):
            await app.emit_event("unheard", {"order": order})
        await engine.run_until_idle()
        before = await entries(app)
        await engine.advance(days=10)
        await engine.advance(minutes=2)
        after = await entries(app)
        assert len(after) < len(before)
        assert [entry for entry in after if isinstance(entry, EventEmitted)] == []
        for _ in range(5):
            await engine.advance(minutes=2)
        assert len(await entries(app)) <= len(after) + 1, "nothing is appended when nothing can be removed"
        await app.emit_event("b", {"order": 2})
        await engine.advance(days=15)
    assert seen == [[1, 2]]
    assert ran == [7]


async def test_retention_removes_old_entries_that_newer_ones_follow_closely() -> None:
    app = on_memory(event_retention_days=7)
    async with TestEngine(app) as engine:
        for day in range(20):
            await app.emit_event("unheard", {"day": day})
            await engine.advance(days=1)
            await engine.advance(minutes=2)
        kept = [e for e in await entries(app) if isinstance(e, EventEmitted)]
        applied = len(await entries_of_type(app, RetentionApplied))
        assert 6 <= len(kept) <= 8
        for _ in range(10):
            await engine.advance(minutes=2)
        assert len(await entries_of_type(app, RetentionApplied)) == applied


async def test_a_new_leader_continues_after_a_trim() -> None:
    app = on_memory(event_retention_days=7)
    seen = gathering(app)
    async with TestEngine(app) as engine:
        await app.emit_event("a", {"order": 1})
        for _ in range(5):
            await engine.advance(days=3)
        await engine._election.resign()
        await app.emit_event("b", {"order": 2})
        await engine.run_until_idle()
    assert seen == [[1, 2]]


async def test_without_auto_purge_nothing_is_removed() -> None:
    app = on_memory(event_retention_days=7, event_auto_purge_enabled=False)
    async with TestEngine(app) as engine:
        await app.emit_event("a", {"order": 1})
        for _ in range(5):
            await engine.advance(days=5)
        assert len([e for e in await entries(app) if isinstance(e, EventEmitted)]) == 1


async def _leader_is(app: TriggerEngine, runner_id: str) -> bool:
    return (await entries_of_type(app, LeaderElected))[-1].runner_id == runner_id


async def _evaluated(app: TriggerEngine) -> bool:
    return any(evaluated.kept for evaluated in await entries_of_type(app, Judged))


async def _count(app: TriggerEngine, kind: type[Any], count: int) -> bool:
    return len(await entries_of_type(app, kind)) >= count


async def test_a_leader_fires_triggers_that_only_another_live_runner_has(make_app: MakeApp) -> None:
    full = make_app()
    part = sibling(full)
    seen: list[tuple[int, str]] = []

    @full.task(triggers=TriggerBuilder().on_event("paid").with_args_static({"order": 7}), task_id="thank")
    async def thank(order: int, how: str = "warmly") -> None:
        seen.append((order, how))

    shipped = shipping(part)
    async with full, part, full.runner(), part.runner() as leader:
        await wait_until(lambda: _leader_is(full, leader.runner_id))
        await wait_until(lambda: _count(full, TriggersDeclared, 2))
        await full.emit_event("paid", {"order": 1})
        await wait_until(lambda: seen)
        await wait_until(lambda: shipped)
        assert leader.failed is None
    assert (seen, shipped) == ([(7, "warmly")], [1])


async def test_events_before_a_missing_trigger_is_suspended_are_recorded_as_failures(
    make_app: MakeApp,
) -> None:
    full = make_app()
    part = sibling(full)
    shipped = shipping(full)

    @full.task(triggers=TriggerBuilder().on_event("paid", payload_filter=is_paid), task_id="filtered")
    async def filtered() -> None: ...

    async with full, part:
        async with full.runner():
            pass
        await full.emit_event("paid", {"order": 1})
        async with part.runner() as leader:
            await wait_until(lambda: _count(full, TriggerSuspended, 2))
            await wait_until(lambda: _count(full, TriggerRejected, 1))
            assert leader.failed is None
        (failed,) = await entries_of_type(full, FilterFailed)
        (rejected,) = await entries_of_type(full, TriggerRejected)
    assert "no function tests.integration.runtime.test_leading.is_paid" in failed.error
    assert "no function tests.integration.runtime.test_leading.order_of" in rejected.error
    assert shipped == []


async def test_a_new_leader_soon_records_its_progress(make_app: MakeApp) -> None:
    app = make_app()
    shipping(app)
    async with app:
        await app.emit_events([("paid", {"order": order}) for order in range(400)])
        async with app.runner():
            await wait_until(lambda: entries_of_type(app, Judged))
        first, *_ = await entries_of_type(app, Judged)
        log = (await app._internals.connections.session()).log
        assert len([position for position, _ in await read_all(log) if position <= first.upto]) < 100
