"""The logs of working apps are consistent."""

from datetime import timedelta

import msgspec
import pytest

from tests.integration.audit.list_log import ListLog, find, spread
from tests.integration.audit.mixed_app import EVENTS, arrive, declare
from tests.support.apps import MakeApp, make_app, on_memory, sibling
from tests.support.reading import entries_of_type
from tests.support.tasks import task_of
from tests.support.waiting import wait_until
from trigger_engine import TriggerBuilder, TriggerEngine
from trigger_engine._audit.auditing import audit
from trigger_engine._audit.join_state import AuditLimits
from trigger_engine._audit.report import AuditReport
from trigger_engine._audit.user_code import UserCode
from trigger_engine._model.entries import (
    AnyEntry,
    ChainEnded,
    Judged,
    LeaderElected,
    RetentionApplied,
    Succeeded,
    TriggerFired,
    TriggerResumed,
    TriggersDeclared,
    TriggerSuspended,
)
from trigger_engine._model.ids import status_entry_id
from trigger_engine.testing import TestEngine
from trigger_engine.testing.conformance._harness import read_all

__all__ = ["make_app"]
LIMITS = AuditLimits(max_chain_length=5)


def assert_consistent(report: AuditReport) -> None:
    assert report.violations == ()
    assert report.consistent


async def test_log_with_every_kind_of_entry_is_consistent() -> None:
    app = on_memory(max_chain_length=5)
    declare(app)
    async with TestEngine(app, allow_failures=True) as engine:
        await app.emit_events(EVENTS)
        await engine.run_until_idle()
        await app.emit_event("order", {"number": 3, "kind": "book"}, idempotency_key="order-3")
        cancelled = await task_of(app, "enqueued").options(delay=3600)(number=5)
        assert await cancelled.cancel()
        await engine.advance(timedelta(minutes=3))
        await arrive(app)
        await engine.run_until_idle()
        report = await audit(app)
    assert_consistent(report)
    assert report.unverifiable == {"ids from idempotency keys or late ordinals": 3}
    assert report.outcomes.keys() == {"fired", "kept", "filtered", "filter failed", "rejected", "chain ended"}
    assert report.checked["runs"] == report.outcomes["fired"] + report.outcomes["rejected"] > 10
    assert report.entries["tick"] == report.entries["retried"] + 2 == 3
    assert report.entries["cancelled"] == report.entries["filter-failed"] == 1


@pytest.mark.every_backend
async def test_log_of_several_leaders_is_consistent(make_app: MakeApp) -> None:
    app = make_app()
    declare(app)
    async with app:
        async with app.runner(), app.runner():
            await app.emit_events(EVENTS)
            await wait_until(lambda: _has_settled(app), deadline=60)
        async with app.runner():
            await app.emit_events(EVENTS)
            await wait_until(lambda: _has_settled(app), deadline=60)
        async with app.runner(), app.runner():
            await arrive(app)
            await wait_until(lambda: _has_settled(app), deadline=60)
        leaders = await entries_of_type(app, LeaderElected)
        report = await audit(app)
    assert len(leaders) >= 3
    assert_consistent(report)
    assert report.outcomes["fired"] == report.entries["fired"] > 10
    assert "not yet evaluated" not in report.outcomes


async def test_log_with_suspended_triggers_is_consistent(make_app: MakeApp) -> None:
    full = make_app()
    part = sibling(full)
    for app, code in ((full, "a"), (part, "b")):
        app.task(triggers=TriggerBuilder().on_event(code).on_event("both"), task_id=f"take-{code}")(_nothing)
    async with full, part:
        async with full.runner():
            await full.emit_event("a")
            await wait_until(lambda: _has_settled(full))
        async with part.runner():
            await wait_until(lambda: entries_of_type(full, TriggerSuspended))
            await full.emit_event("a")
            await full.emit_event("both")
            await wait_until(lambda: _has_settled(full))
        async with full.runner():
            await wait_until(lambda: entries_of_type(full, TriggerResumed))
            await full.emit_event("both")
            await wait_until(lambda: entries_of_type(full, TriggerFired))
        report = await audit(full)
    assert_consistent(report)
    assert report.outcomes["suspended"] >= 2


async def _nothing() -> None: ...


async def _has_settled(app: TriggerEngine) -> bool:
    """Returns whether everything is evaluated and every invocation has ended."""
    log = await _positioned(app)
    evaluated = max((entry.upto for _, entry in log if isinstance(entry, Judged)), default=0)
    newest = max(at for at, entry in log if not isinstance(entry, (Judged, LeaderElected)))
    kinds = [type(entry).__name__ for _, entry in log]
    ended = sum(kind in {"Succeeded", "Failed", "Cancelled"} for kind in kinds)
    registered = sum(kind in {"TriggerFired", "InvocationRegistered"} for kind in kinds)
    outputs = {"TriggerFired", "TriggerRejected", "FilterFailed", "ChainEnded", "TriggersDeclared"}
    behind = [entry for at, entry in log if evaluated < at <= newest and type(entry).__name__ not in outputs]
    return registered == ended and not behind and "EventEmitted" in kinds


async def test_log_with_dropped_contributions_and_chain_ends_is_consistent() -> None:
    app = on_memory(max_contributions=3, max_chain_length=4)

    @app.task(triggers=TriggerBuilder().on_event("a").on_event("b"), task_id="both")
    async def both() -> None: ...

    @app.task(triggers=TriggerBuilder().on_event("again"), task_id="again")
    async def again() -> None:
        await app.emit_event("again")

    async with TestEngine(app) as engine:
        for _ in range(5):
            await app.emit_event("a")
            await engine.run_until_idle()
        await app.emit_events([("b", {}), ("again", {})])
        await engine.run_until_idle()
        (run,) = [entry for entry in await entries_of_type(app, TriggerFired) if entry.task_id == "both"]
        assert len(await entries_of_type(app, ChainEnded)) == 1
        report = await audit(app)
    assert (len(run.participants), run.dropped) == (4, 2)
    assert_consistent(report)
    assert report.outcomes["chain ended"] == 1


async def test_log_with_unevaluated_events_is_consistent() -> None:
    app = on_memory(max_chain_length=5)
    declare(app)
    async with TestEngine(app) as engine:
        await engine.run_until_idle()
        await app.emit_events([("order", {"number": 1, "kind": "book"}), ("truck", {})])
        report = await audit(app)
    assert_consistent(report)
    assert report.outcomes == {"not yet evaluated": 2}


async def test_empty_log_is_consistent(make_app: MakeApp) -> None:
    report = await audit(make_app())
    assert_consistent(report)
    assert report.upto == 0


async def test_emptied_app_is_audited_as_a_new_log(make_app: MakeApp) -> None:
    app = make_app()
    declare(app)
    async with app:
        await app.emit_events(EVENTS)
        await (await app._internals.connections.session()).log.clear()
        async with app.runner():
            await app.emit_events(EVENTS)
            await wait_until(lambda: _has_settled(app), deadline=60)
        report = await audit(app)
    assert_consistent(report)
    assert not report.trimmed
    assert report.start > 0
    assert report.outcomes["fired"] > 5


async def test_trimmed_log_is_consistent_from_any_start() -> None:
    app = on_memory(max_chain_length=5)
    declare(app)
    async with TestEngine(app, allow_failures=True) as engine:
        await app.emit_events(EVENTS)
        await engine.run_until_idle()
        await arrive(app)
        await engine.run_until_idle()
        whole = await _positioned(app)
    retention = RetentionApplied(id="retention", time=0.0, before=whole[-1][0], keys_before=0.0)
    for cut in range(1, len(whole)):
        kept = [*whole[cut:], (whole[-1][0] + 1, retention)]
        report = await audit(ListLog(kept, start=whole[cut - 1][0], dense_positions=True), limits=LIMITS)
        assert_consistent(report)
        assert report.trimmed


async def test_late_report_for_a_trimmed_invocation_is_consistent_if_the_log_stores_void_entries() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_event("order"))
    async def order() -> None: ...

    @app.task(triggers=TriggerBuilder().on_status(order))
    async def notify() -> None: ...

    async with TestEngine(app) as engine:
        await app.emit_event("order")
        await engine.run_until_idle()
        whole = spread(await _positioned(app))
    end = find(whole, Succeeded)
    position, ended = whole[end]
    assert isinstance(ended, Succeeded)
    declared = whole[find(whole, TriggersDeclared)][1]
    late_id = status_entry_id("succeeded", ended.invocation_id, "lost")
    late = msgspec.structs.replace(ended, id=late_id, claim_id="lost")
    retention = RetentionApplied(id="retention", time=0.0, before=position, keys_before=0.0)
    kept = [(position + 1, declared), (position + 2, late), *whole[end + 1 :], (whole[-1][0] + 1, retention)]
    assert_consistent(await audit(ListLog(kept, start=position, refuses_void=False)))


async def test_filters_without_code_are_unverifiable() -> None:
    app = on_memory(max_chain_length=5)
    declare(app)
    async with TestEngine(app, allow_failures=True) as engine:
        await app.emit_events(EVENTS)
        await engine.run_until_idle()
        await arrive(app)
        await engine.run_until_idle()
        with_code, without = await audit(app), await audit(app, code=UserCode({}))
    assert_consistent(without)
    assert without.unverifiable["filters whose code is missing or has changed"] > 3
    assert with_code.outcomes == without.outcomes


async def test_progress_is_reported_up_to_the_end() -> None:
    app = on_memory()
    reported: list[tuple[int, int]] = []
    async with app:
        for _ in range(3):
            await app.emit_events([("order", {})] * 800)
        report = await audit(app, progress=lambda reached, last: reported.append((reached, last)))
    assert reported == [(1000, 2400), (2000, 2400), (2400, 2400)]
    assert report.entries == {"event": 2400}


async def _positioned(app: TriggerEngine) -> list[tuple[int, AnyEntry]]:
    return await read_all((await app._internals.connections.session()).log)


@pytest.mark.parametrize("kept", [0, 2])
async def test_only_the_first_violations_are_described(kept: int) -> None:
    app = on_memory()
    async with app:
        await app.emit_events([("order", {})] * 10)
        log = [(position, entry) for position, entry in await _positioned(app) for _ in range(2)]
    report = await audit(ListLog(log), keep=kept)
    assert len(report.violations) == kept
    assert report.violation_counts == {"positions": 10, "unique ids": 10}
