"""What can be asked afterwards of events, of what they started, and of how it all hangs together."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.driving import MARKER, Driven, driven
from tests.support.apps import MakeApp
from trigger_engine import (
    EventContext,
    InvocationNotFound,
    InvocationStatus,
    TriggerBuilder,
    TriggerContext,
    TriggerEngine,
    TriggerEngineError,
)
from trigger_engine._client.task import Task

ADMINS = 'event:login{"role":"admin"}'


def user_of(ctx: EventContext) -> dict[str, Any]:
    return {"user": ctx.payload["user"]}


def report_of(ctx: TriggerContext) -> dict[str, Any]:
    assert ctx.event is not None
    assert ctx.status is not None
    return {"user": ctx.event.payload["user"], "greeting": ctx.status.invocation_id}


class House:
    """What is declared, and what has happened in it: four logins and what followed from them."""

    def __init__(self, app: TriggerEngine) -> None:
        self.app = app
        self.happened: Driven
        self.ids: dict[str, str] = {}

        @app.task(triggers=TriggerBuilder().on_event("login", {"role": "admin"}).with_args_from_event(user_of))
        async def greet(user: str) -> str:
            return await app.emit_event("greeted", {"user": user})

        @app.task(
            triggers=TriggerBuilder().on_event("greeted").on_status(greet).with_args_from_trigger_context(report_of)
        )
        async def report(user: str, greeting: str) -> None:
            pass

        @app.task(triggers=TriggerBuilder().on_event("login", {"role": "guest"}).on_event("host.came"))
        async def introduce() -> None:
            pass

        self.greet: Task[Any, Any] = greet
        self.report: Task[Any, Any] = report
        self.introduce: Task[Any, Any] = introduce

    async def receive(self) -> None:
        emit = self.app.emit_event
        self.ids["ada"] = await emit("login", {"user": "ada", "role": "admin"})
        self.ids["bob"] = await emit("login", {"user": "bob", "role": "guest"})
        self.ids["eve"] = await emit("login", {"user": "eve"})
        self.ids["broken"] = await emit("login", {"role": "admin"})
        self.ids["cat"] = await emit("cat.came", {"name": "Tiger"})
        await self.happened.settle()

    @property
    def history(self) -> Any:
        return self.happened.history

    async def names(self, **filters: Any) -> set[str]:
        """The names of the logins, and the codes of other events, that a question finds."""
        by_id = {event_id: name for name, event_id in self.ids.items()}
        page = await self.history.events(**filters)
        return {by_id.get(one.event_id, one.event_code) for one in page if one.event_code != MARKER}


@pytest.fixture
async def house(make_app: MakeApp) -> AsyncIterator[House]:
    house = House(make_app())
    async with driven(house.app) as house.happened:
        await house.receive()
        yield house


async def test_events_are_filtered_by_their_outcome(house: House) -> None:
    assert await house.names() == {"ada", "bob", "eve", "broken", "cat", "greeted"}
    assert await house.names(event_code="login") == {"ada", "bob", "eve", "broken"}
    assert await house.names(matched=False) == {"eve", "cat"}, "only recorded"
    assert await house.names(matched=True) == {"ada", "bob", "broken", "greeted"}, "met a condition"
    assert await house.names(triggered=True) == {"ada", "greeted"}, "started something"
    assert await house.names(matched=True, triggered=False) == {"bob", "broken"}
    assert await house.names(event_code="login", triggered=False) == {"bob", "eve", "broken"}
    assert await house.names(event_code="logout") == set()


async def test_events_are_filtered_by_time(house: House) -> None:
    ada, cat = [await house.history.event(house.ids[name]) for name in ("ada", "cat")]
    later = ada.timestamp + timedelta(microseconds=1)
    assert "ada" in await house.names(since=ada.timestamp)
    assert "ada" not in await house.names(since=later)
    assert "ada" in await house.names(until=later)
    assert "cat" not in await house.names(until=cat.timestamp), "since <= t < until"
    assert await house.names(since=datetime.now(UTC) + timedelta(hours=1)) == set()
    with pytest.raises(TriggerEngineError, match="zone"):
        await house.names(since=datetime.now())  # noqa: DTZ005


async def test_event_record_lists_conditions_matches_and_runs(house: House) -> None:
    ada = await house.history.event(house.ids["ada"])
    assert (ada.event_code, ada.payload) == ("login", {"user": "ada", "role": "admin"})
    assert (ada.emitter_task_id, ada.emitter_invocation_id) == (None, None)
    assert set(ada.valid_condition_ids) == {ADMINS, 'event:login{"role":"guest"}'}
    assert ada.matched_condition_ids == (ADMINS,)
    (run,) = await house.history.trigger_runs(event_id=ada.event_id)
    assert ada.trigger_run_ids == (run.run_id,)
    (greeting,) = await house.history.invocations(event_id=ada.event_id)
    assert ada.invocation_ids == (greeting.invocation_id,)
    assert (greeting.task_id, dict(greeting.arguments)) == (house.greet.task_id, {"user": "ada"})

    bob = await house.history.event(house.ids["bob"])
    assert bob.matched_condition_ids == ('event:login{"role":"guest"}',)
    assert (bob.matched, bob.triggered, bob.trigger_run_ids) == (True, False, ())

    cat = await house.history.event(house.ids["cat"])
    assert (cat.valid_condition_ids, cat.matched_condition_ids, cat.payload) == ((), (), {"name": "Tiger"})


async def test_an_event_whose_run_was_rejected_shows_the_error(house: House) -> None:
    broken = await house.history.event(house.ids["broken"])
    (run,) = await house.history.trigger_runs(event_id=broken.event_id)
    assert run.error is not None
    assert "user_of: KeyError: 'user'" in run.error
    assert (run.invocation_id, run.arguments) == (None, None)
    assert (broken.matched, broken.triggered, broken.invocation_ids) == (True, False, ())


async def test_invocation_links_to_its_cause_and_its_consequences(house: House) -> None:
    (greeting,) = await house.history.invocations(task_id=house.greet.task_id)
    (run,) = await house.history.trigger_runs(invocation_id=greeting.invocation_id)
    assert greeting.trigger_run_id == run.run_id
    assert [one.entry_id for one in run.participants] == [house.ids["ada"]]

    (greeted,) = await house.history.events(emitted_by=greeting.invocation_id)
    assert greeted.event_code == "greeted"
    assert (greeted.emitter_task_id, greeted.emitter_invocation_id) == (house.greet.task_id, greeting.invocation_id)
    assert [one.event_id for one in await house.history.events(emitted_by=house.greet.task_id)] == [greeted.event_id]

    (downstream,) = await house.history.trigger_runs(source_invocation_id=greeting.invocation_id)
    assert downstream.task_id == house.report.task_id
    (reported,) = await house.history.invocations(event_id=greeted.event_id)
    assert reported.invocation_id == downstream.invocation_id
    assert dict(reported.arguments) == {"user": "ada", "greeting": greeting.invocation_id}


async def test_a_run_has_a_participant_for_each_condition_that_it_satisfied(house: House) -> None:
    (run,) = await house.happened.runs(house.report)
    (greeting,) = await house.happened.invocations(house.greet)
    by_kind = {one.kind: one for one in run.participants}
    assert set(by_kind) == {"event", "status"}
    assert by_kind["event"].condition_id == "event:greeted"
    assert by_kind["event"].event_code == "greeted"
    assert by_kind["event"].entry_id == greeting.result
    assert by_kind["status"].condition_id == f"status:{house.greet.task_id}[success]"
    assert by_kind["status"].invocation_id == greeting.invocation_id
    assert by_kind["status"].status is InvocationStatus.SUCCESS
    assert await house.history.trigger_run(run.run_id) == run
    (trigger,) = await house.history.triggers(task_id=house.report.task_id)
    assert (trigger.trigger_id, trigger.runs, trigger.logic) == (run.trigger_id, 1, "and")
    assert [one.run_id for one in await house.history.trigger_runs(trigger_id=trigger.trigger_id)] == [run.run_id]


async def test_waiting_and_lists_its_missing_conditions(house: House) -> None:
    (trigger,) = await house.history.triggers(task_id=house.introduce.task_id)
    assert dict(trigger.waiting) == {'event:login{"role":"guest"}': 1, "event:host.came": 0}
    assert trigger.missing == ("event:host.came",)


async def test_invocation_record_has_its_status_history(house: House) -> None:
    (greeting,) = await house.history.invocations(task_id=house.greet.task_id, status="success")
    assert [one.status for one in greeting.statuses] == ["registered", "pending", "running", "success"]
    assert greeting == await house.history.invocation(greeting.invocation_id)
    assert (greeting.parent_invocation_id, greeting.rerun_of, greeting.depth) == (None, None, 1)
    assert not await house.history.invocations(status=[InvocationStatus.FAILED, "CANCELLED"])
    assert await house.history.invocations(status="Success") == await house.history.invocations(status="success")


async def test_lists_come_in_pages_newest_first(house: House) -> None:
    whole = list(await house.history.events())
    assert whole == sorted(whole, key=lambda one: one.position, reverse=True)
    pages, cursor = [], None
    while True:
        page = await house.history.events(limit=2, cursor=cursor)
        assert len(page) <= 2
        pages += list(page)
        if (cursor := page.next_cursor) is None:
            break
        await house.app.emit_event("another.cat")
    assert pages == whole, "what is new stands before the first page"


async def test_active_runner_is_listed(house: House) -> None:
    (runner,) = await house.history.runners()
    assert (runner.alive, runner.leads) == (True, True)
    assert {house.greet.task_id, house.report.task_id} <= set(runner.tasks)


async def test_tokens_in_log_lines_resolve_to_records(house: House) -> None:
    (run,) = await house.happened.runs(house.report)
    event_id = house.ids["ada"]
    assert await house.history.search(f"event:{event_id}") == await house.history.event(event_id)
    assert await house.history.search(f"trigger-run:{run.run_id}") == run
    found = await house.history.search(f"invocation:{run.invocation_id}")
    assert found == await house.history.invocation(run.invocation_id)


async def test_missing_record_raises_record_not_found(house: House) -> None:
    for ask in (house.history.event, house.history.trigger_run):
        with pytest.raises(TriggerEngineError, match="nothing-has-this-id") as caught:
            await ask("nothing-has-this-id")
        assert isinstance(caught.value, LookupError)
    with pytest.raises(InvocationNotFound, match="nothing-has-this-id"):
        await house.history.invocation("nothing-has-this-id")


async def test_a_cap_keeps_the_newest_records(make_app: MakeApp) -> None:
    app = make_app(event_max_records=3, trigger_run_max_records=2)

    @app.task(triggers=TriggerBuilder().on_event("order"))
    async def note() -> None:
        pass

    async with driven(app) as happened:
        ids = [await app.emit_event("order", {"n": n}) for n in range(6)]
        await happened.settle()
        kept = await happened.history.events()
        assert len(kept) == 3
        assert len(await happened.history.trigger_runs()) == 2
        with pytest.raises(LookupError):
            await happened.history.event(ids[0])
