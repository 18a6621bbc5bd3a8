"""The checks of `trigger-engine doctor` on an app's data."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.integration.cli.data import emit, in_app
from tests.support.tasks import task_of
from trigger_engine import InvocationStatus, TriggerEngine
from trigger_engine._cli.data_checks import Facts, check_data, gather
from trigger_engine._cli.finding import Finding
from trigger_engine._config.settings import Settings
from trigger_engine._model.definitions import EventCondition, MappingFilter, TriggerDefinition
from trigger_engine._readmodel.records import (
    EventRecord,
    InvocationRecord,
    NoticeRecord,
    OverviewRecord,
    RunnerRecord,
    TriggerRecord,
    TriggerRunRecord,
)

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
EMPTY_MAP = msgspec.Raw(b"\x80")


def record(kind: type[Any], **fields: Any) -> Any:
    """Returns a record with only the relevant fields set."""
    defaults: dict[str, Any] = dict.fromkeys(kind.__struct_fields__)
    times = [
        name for name in kind.__struct_fields__ if name in ("timestamp", "last_seen", "declared_at", "state_since")
    ]
    return kind(**{**defaults, **dict.fromkeys(times, NOW), **fields})


def runner(**fields: Any) -> RunnerRecord:
    known: dict[str, Any] = {
        "runner_id": "r1",
        "host": "box",
        "pid": 7,
        "alive": True,
        "leads": True,
        "version": "1.0",
        "tasks": ("shop.notify",),
        "trigger_ids": ("t1",),
        "queues": (),
    }
    found: RunnerRecord = record(RunnerRecord, **{**known, **fields})
    return found


def definition(payload_filter: MappingFilter | None = None, *, code: str = "user.login") -> TriggerDefinition:
    condition = EventCondition(id=f"event:{code}", event_code=code, payload_filter=payload_filter)
    return TriggerDefinition(
        id="t1", slot="shop.notify#0", task_id="shop.notify", logic="and", conditions=(condition,), providers=()
    )


def overview(**fields: Any) -> OverviewRecord:
    found: OverviewRecord = record(OverviewRecord, **{"position": 9, "evaluated_upto": 9, "invocations": {}, **fields})
    return found


def facts(**fields: Any) -> Facts:
    """Returns the facts of a healthy app with one live runner, overridden by `fields`."""
    healthy: dict[str, Any] = {
        "target": "shop:app",
        "now": NOW,
        "settings": Settings(),
        "declared": {"shop.notify#0": definition()},
        "overview": overview(),
        "runners": [runner()],
    }
    return Facts(**{**healthy, **fields})


def problems(found: Facts) -> list[tuple[str, str, str, str | None]]:
    return [(one.level, one.check, one.text, one.fix) for one in check_data(found) if one.level != "ok"]


def only(found: Facts) -> Finding:
    """Returns the only finding that is not ok."""
    (finding,) = [one for one in check_data(found) if one.level != "ok"]
    return finding


def test_healthy_app_has_no_problems() -> None:
    assert problems(facts()) == []
    assert {one.check: one.text for one in check_data(facts())} == {
        "runners": "1 alive: box (process 7)",
        "leader": "runner:r1 is the leader and keeps up",
        "backlog": "0 invocations are waiting",
        "clock": "no time in the data is ahead of this machine's clock",
    }


def test_no_live_runner_is_a_warning() -> None:
    finding = only(facts(runners=[runner(alive=False, leads=False)]))
    assert finding == Finding(
        "warning", "runners", "no runner is alive (1 were lost)", "start one: trigger-engine run shop:app"
    )
    assert only(facts(runners=[], target="")).fix == "start one: trigger-engine run"


def test_runners_of_different_versions_are_a_warning() -> None:
    finding = only(facts(runners=[runner(), runner(runner_id="r2", version="1.1", leads=False)]))
    assert (finding.level, finding.text) == ("warning", "they have different versions: 1.0, 1.1")


def test_runner_with_other_triggers_is_a_warning() -> None:
    finding = only(facts(runners=[runner(trigger_ids=("t1", "t2"))]))
    assert (finding.level, finding.check) == ("warning", "rollout")
    assert finding.text == "runner:r1 has other triggers than this code (t2)"


def test_live_runners_without_a_leader_are_a_warning() -> None:
    finding = only(facts(runners=[runner(leads=False)]))
    assert (finding.check, finding.text) == ("leader", "no live runner is the leader, so nothing is evaluated")
    assert "within 5 s (lease_ttl)" in str(finding.fix)


def test_leader_that_is_behind_is_a_warning() -> None:
    event = record(EventRecord, event_id="e1", position=12, timestamp=NOW - timedelta(minutes=2))
    finding = only(facts(settled=event))
    assert finding.text == "runner:r1 is more than a minute behind: event:e1 is not evaluated"
    assert problems(facts(settled=event, overview=overview(evaluated_upto=12))) == []


def test_suspended_trigger_is_a_warning() -> None:
    suspended = record(TriggerRecord, trigger_id="t9", slot="old#0", state="suspended", runs=0)
    finding = only(facts(triggers=[suspended]))
    assert finding.text == "old#0 is suspended since 2026-01-02 12:00 UTC: no live runner has its code"


def test_large_backlog_is_a_warning() -> None:
    waiting = {InvocationStatus.REGISTERED: 90_000, InvocationStatus.RETRY: 20_000, InvocationStatus.SUCCESS: 5}
    finding = only(facts(overview=overview(invocations=waiting)))
    assert finding.text == "110,000 invocations are waiting, max_backlog is 100,000"


def waiting(task_id: str, queue: str = "default") -> InvocationRecord:
    found: InvocationRecord = record(InvocationRecord, task_id=task_id, queue=queue, status=InvocationStatus.REGISTERED)
    return found


def test_waiting_tasks_without_a_live_runner_that_has_them_fail() -> None:
    finding = only(facts(waiting=[waiting("shop.notfy"), waiting("shop.notfy"), waiting("shop.notify")]))
    assert (finding.level, finding.check) == ("failed", "waiting work")
    assert finding.text == (
        "2 invocations of shop.notfy are waiting, but no live runner has that task, did you mean 'shop.notify'?"
    )
    assert "trigger_task_modules" in str(finding.fix)


def test_waiting_work_in_an_unserved_queue_fails() -> None:
    finding = only(facts(waiting=[waiting("shop.notify", "slow")], runners=[runner(queues=("default", "fast"))]))
    assert (finding.level, finding.text) == (
        "failed",
        "1 invocations are waiting in the queue 'slow', but no live runner serves it",
    )
    assert finding.fix == "start one: trigger-engine run --queue slow shop:app"
    assert problems(facts(waiting=[waiting("shop.notify", "slow")])) == []


def test_waiting_work_is_not_reported_without_live_runners() -> None:
    assert only(facts(runners=[], waiting=[waiting("shop.unknown")])).check == "runners"


def test_failing_filter_is_reported_once() -> None:
    notices = [
        record(NoticeRecord, text=f"shop.is_large: KeyError: '{name}'", subject_id=f"event-{name}") for name in "ab"
    ]
    finding = only(facts(failures=notices))
    assert finding.text == "shop.is_large failed within the last day, which counts as false: KeyError: 'a'"
    assert finding.fix == "fix it; to see its input: trigger-engine explain event-a shop:app"


def test_rejected_runs_are_reported_once_for_each_trigger() -> None:
    runs = [record(TriggerRunRecord, slot="shop.notify#0", error=f"provide: KeyError: '{name}'") for name in "ab"]
    finding = only(facts(rejected=runs))
    assert finding.text == "runs of shop.notify#0 were rejected within the last day: provide: KeyError: 'a'"


def test_event_code_never_emitted_but_similar_to_another_is_a_warning() -> None:
    events = [record(EventRecord, event_code="user.login")]
    finding = only(facts(events=events, silent=["user.lgin", "order.paid"]))
    assert finding.text == "no event 'user.lgin' was ever emitted, did you mean 'user.login'?"


@pytest.mark.parametrize(("runs", "hours", "warned"), [(10_000, 2, True), (5_000, 2, False), (3_700, 0, True)])
def test_unfiltered_trigger_with_frequent_runs_is_a_warning(runs: int, hours: int, warned: bool) -> None:
    frequent = record(
        TriggerRecord,
        trigger_id="t1",
        slot="shop.notify#0",
        state="active",
        runs=runs,
        declared_at=NOW - timedelta(hours=hours),
    )
    found = problems(facts(triggers=[frequent]))
    assert [check for _, check, _, _ in found] == (["filters"] if warned else [])
    filtered = {"shop.notify#0": definition(MappingFilter(value=EMPTY_MAP))}
    assert problems(facts(triggers=[frequent], declared=filtered)) == []


def test_times_ahead_of_the_clock_are_a_warning() -> None:
    ahead = record(EventRecord, event_code="x", timestamp=NOW + timedelta(minutes=2))
    finding = only(facts(events=[ahead]))
    assert (finding.check, finding.text) == ("clock", "the data has times 120 s ahead of this machine's clock")
    seen = only(facts(runners=[runner(last_seen=NOW + timedelta(seconds=30))]))
    assert seen.text == "the data has times 30 s ahead of this machine's clock"


def test_loop_of_tasks_and_emitted_events_is_a_warning() -> None:
    events = [record(EventRecord, event_code="user.login", emitter_task_id=task) for task in ("shop.notify", None)]
    finding = only(facts(events=events))
    assert (finding.level, finding.check) == ("warning", "loops")
    assert finding.text == "tasks and the events they emit form a loop: shop.notify starts itself (event:user.login)"
    assert "add a filter that ends it" in str(finding.fix)
    assert problems(facts(events=events[1:])) == []


def test_ended_chains_are_reported_once_for_each_trigger() -> None:
    text = "shop.notify#0 does not fire: the chain has reached max_chain_length"
    notices = [record(NoticeRecord, text=text, trigger_id="t1", subject_id=f"event-{name}") for name in "ab"]
    finding = only(facts(ended_chains=notices))
    assert (finding.level, finding.check) == ("warning", "loops")
    assert finding.text == f"a chain was ended within the last day: {text}"
    assert finding.fix == "to see what led to it: trigger-engine explain event-a shop:app"


@pytest.mark.usefixtures("shop")
def test_facts_are_gathered_from_a_running_app() -> None:
    emit("shop:app", "user.logout")

    async def work(app: TriggerEngine) -> Facts:
        await task_of(app, "shop.fail").options(delay=3600)(reason="later")
        async with app.history() as history:
            return await gather(app, "shop:app", history, datetime.now(UTC))

    found: Facts = in_app("shop:app", work, runner=True)
    assert [one.task_id for one in found.waiting] == ["shop.fail"]
    assert [one.event_code for one in found.events] == ["user.logout"]
    assert found.settled is None
    assert list(found.silent) == ["user.login"]
    assert len(found.alive) == 1


@pytest.mark.usefixtures("shop")
def test_running_app_has_no_failed_check() -> None:
    async def work(app: TriggerEngine) -> list[Finding]:
        async with app.history() as history:
            return list(check_data(await gather(app, "shop:app", history, datetime.now(UTC))))

    assert [one.check for one in in_app("shop:app", work, runner=True) if one.level == "failed"] == []
