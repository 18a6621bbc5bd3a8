"""Tasks that start each other without end: warned about where declarations show it, and ended in any case."""

import logging
from collections import Counter
from typing import Any

import pytest

from tests.support.apps import MakeApp
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import EventContext, TriggerBuilder, TriggerEngine, current_invocation
from trigger_engine._audit.auditing import audit
from trigger_engine._model.entries import ChainEnded, EventEmitted, TriggerFired


def kind_of(context: EventContext) -> dict[str, Any]:
    return {"kind": context.payload["kind"]}


async def test_loop_through_two_tasks_ends_and_is_explained(make_app: MakeApp) -> None:
    app = make_app(max_chain_length=6)
    ran: Counter[str] = Counter()

    @app.task(triggers=TriggerBuilder().on_event("pinged"), task_id="ping")
    async def ping() -> None:
        ran["ping"] += 1
        await app.emit_event("ponged")

    @app.task(triggers=TriggerBuilder().on_event("ponged"), task_id="pong")
    async def pong() -> None:
        ran["pong"] += 1
        await app.emit_event("pinged")

    async with app, app.runner():
        await app.emit_event("pinged")
        (ended,) = await wait_until(lambda: entries_of_type(app, ChainEnded))
        assert ran == {"ping": 3, "pong": 3}
        assert (ended.slot, ended.depth) == ("ping#0", 7)
        last = (await entries_of_type(app, EventEmitted))[-1]
        assert ended.entry_id == last.id
        async with app.history() as history:
            found = await history.explain(last.id, "ping")
            (explanation,) = found.explanations
            assert explanation.outcome == "chain ended"
            assert "the chain has reached max_chain_length" in explanation.text
            (notice,) = await history.notices(kind="chain-ended")
            assert notice.subject_id == last.id
    report = await audit(app)
    assert report.consistent, report.violations


async def test_loop_through_results_does_not_delay_other_triggers(make_app: MakeApp) -> None:
    app = make_app(max_chain_length=20)
    depths: list[int] = []
    others: list[str] = []

    @app.task(triggers=TriggerBuilder().on_any_result("back"), task_id="forth")
    async def forth() -> None:
        current = current_invocation()
        assert current is not None
        depths.append(current.depth)

    @app.task(triggers=TriggerBuilder().on_any_result(forth), task_id="back")
    def back() -> None:
        raise ValueError("again and again")

    @app.task(triggers=TriggerBuilder().on_event("other").with_args_from_event(kind_of))
    async def other(kind: str) -> None:
        others.append(kind)

    async with app, app.runner():
        await forth()
        await app.emit_event("other", {"kind": "beside"})
        await wait_until(lambda: entries_of_type(app, ChainEnded))
        await wait_until(lambda: others)
        fired = await entries_of_type(app, TriggerFired)
    assert depths == list(range(0, 21, 2))
    assert len([run for run in fired if run.task_id in ("forth", "back")]) == 20
    assert others == ["beside"]


async def test_branching_loop_stays_within_max_chain_length(make_app: MakeApp) -> None:
    app = make_app(max_chain_length=4)

    @app.task(triggers=TriggerBuilder().on_event("again"), task_id="twice")
    async def twice() -> None:
        await app.emit_events([("again", {"n": 1}), ("again", {"n": 2})])

    async with app, app.runner():
        await app.emit_event("again")
        await wait_until(lambda: _has(app, ChainEnded, 16))
        fired = await entries_of_type(app, TriggerFired)
    assert len(fired) == 1 + 2 + 4 + 8


async def test_declared_loop_is_warned_about_at_startup(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(max_chain_length=7)
    app.task(triggers=TriggerBuilder().on_status("second", "failed"), task_id="first")(_nothing)
    app.task(triggers=TriggerBuilder().on_any_result("first"), task_id="second")(_nothing)
    app.task(triggers=TriggerBuilder().on_event("a").on_status("third"), task_id="third")(_nothing)
    async with app, app.runner():
        pass
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    (told,) = warned
    assert told.startswith(
        "triggers form a loop: first starts second (any-result:first), which starts first (status:second[failed]); "
        "unless a filter ends it, "
    )
    assert told.endswith("each run starts the next, up to max_chain_length=7 links")


async def _nothing() -> None:
    pass


async def _has(app: TriggerEngine, kind: type[Any], count: int) -> bool:
    return len(await entries_of_type(app, kind)) == count
