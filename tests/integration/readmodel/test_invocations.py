"""Invocations: statuses with times and runners, results, and relatives."""

import pytest

from tests.integration.readmodel.story import Story, at, invocation_of, on_event, on_status, trigger
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.entries import Claimed, HandedBack
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import InvocationRecord
from trigger_engine.errors import InvocationNotFound, QueryError

welcome = trigger("welcome", on_event("login"))
after = trigger("after", on_status("task", "success"))


def path(record: InvocationRecord) -> list[str]:
    return [status.status.value for status in record.statuses]


async def test_invocation_has_arguments_statuses_and_result(story: Story, history: History) -> None:
    invocation_id = story.register("task", {"x": 1}, queue="slow", parent_invocation_id="p", rerun_of="r")
    story.start(invocation_id, runner="runner-7")
    story.succeed(invocation_id, {"y": [1, 2.0, None]}, runner="runner-7")
    record = await history.invocation(invocation_id)
    assert (record.task_id, record.queue, record.arguments) == ("task", "slow", {"x": 1})
    assert (record.status, record.result, record.attempt) == (InvocationStatus.SUCCESS, {"y": [1, 2.0, None]}, 1)
    assert (record.parent_invocation_id, record.rerun_of, record.trigger_run_id) == ("p", "r", None)
    assert (record.registered_at, record.changed_at) == (at(0), at(2))
    assert path(record) == ["registered", "pending", "running", "success"]
    assert [status.timestamp for status in record.statuses] == [at(0), at(1), at(1), at(2)]
    assert [status.runner_id for status in record.statuses] == [None, "runner-7", "runner-7", "runner-7"]


async def test_separate_claim_is_a_separate_status(story: Story, history: History) -> None:
    invocation_id = story.register()
    story.move(Claimed, invocation_id)
    story.start(invocation_id)
    record = await history.invocation(invocation_id)
    assert path(record) == ["registered", "pending", "running"]
    assert [status.timestamp for status in record.statuses] == [at(0), at(1), at(2)]


async def test_each_attempt_has_its_own_exception(story: Story, history: History) -> None:
    invocation_id = story.register()
    story.start(invocation_id)
    story.retry(invocation_id, message="not yet")
    waiting = await history.invocation(invocation_id)
    assert (waiting.status, waiting.not_before) == (InvocationStatus.RETRY, at(12))
    story.start(invocation_id, attempt=2)
    story.fail(invocation_id, "ValueError", "never", attempt=2)
    record = await history.invocation(invocation_id)
    assert path(record) == ["registered", "pending", "running", "retry", "pending", "running", "failed"]
    assert [status.attempt for status in record.statuses] == [1, 1, 1, 1, 2, 2, 2]
    assert (record.exception_type, record.exception_message) == ("ValueError", "never")
    assert record.traceback == "the traceback"
    assert (record.statuses[3].exception_type, record.statuses[3].exception_message) == ("OSError", "not yet")
    assert (record.attempt, record.result, record.not_before) == (2, None, None)


async def test_recoveries_are_counted_but_hand_backs_are_not(story: Story, history: History) -> None:
    invocation_id = story.register()
    story.start(invocation_id, claim="first")
    story.recover(invocation_id, claim="first")
    story.start(invocation_id, claim="second", runner="other")
    story.move(HandedBack, invocation_id, claim="second", runner="other")
    record = await history.invocation(invocation_id)
    assert (record.recoveries, record.status, record.runner_id) == (1, InvocationStatus.REGISTERED, None)
    assert path(record) == ["registered", "pending", "running", "registered", "pending", "running", "registered"]


async def test_cancelled_invocation_keeps_its_runner(story: Story, history: History) -> None:
    invocation_id = story.register()
    story.start(invocation_id, runner="runner-7")
    story.cancel(invocation_id)
    record = await history.invocation(invocation_id)
    assert (record.status, record.runner_id) == (InvocationStatus.CANCELLED, "runner-7")


async def test_later_statuses_are_added(story: Story, history: History) -> None:
    invocation_id = story.register()
    assert path(await history.invocation(invocation_id)) == ["registered"]
    story.start(invocation_id)
    assert path(await history.invocation(invocation_id)) == ["registered", "pending", "running"]
    story.succeed(invocation_id, 7)
    record = await history.invocation(invocation_id)
    assert (path(record)[-1], record.result) == ("success", 7)


async def test_invocation_started_by_a_trigger_has_the_run_id(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    event_id = story.event("login")
    run_id = story.fire(welcome, {"event:login": event_id}, arguments={"user": "ann"}, queue="mail")
    record = await history.invocation(invocation_of(run_id))
    assert (record.trigger_run_id, record.trigger_id) == (run_id, "welcome:1")
    assert (record.queue, record.arguments, record.depth) == ("mail", {"user": "ann"}, 1)
    assert [one.invocation_id for one in await history.invocations(event_id=event_id)] == [invocation_of(run_id)]


async def test_invocations_are_filtered(story: Story, history: History) -> None:
    one = story.register("a")
    two = story.register("b")
    three = story.register("a")
    story.run(one)
    story.start(two)
    story.fail(two)

    async def found(**filters: object) -> list[str]:
        return [record.invocation_id for record in await history.invocations(**filters)]  # type: ignore[arg-type]

    assert await found() == [three, two, one]
    assert await found(task_id="a") == [three, one]
    assert await found(status=InvocationStatus.SUCCESS) == [one]
    assert await found(status="FAILED") == [two]
    assert await found(status=["success", InvocationStatus.FAILED]) == [two, one]
    assert await found(task_id="a", status="registered") == [three]
    assert await found(since=at(1), until=at(2)) == [two]
    assert await found(task_id="nothing") == []
    with pytest.raises(QueryError, match="status='done': give one or more of registered"):
        await found(status="done")


async def test_unknown_invocation_is_an_error(history: History) -> None:
    with pytest.raises(InvocationNotFound, match="invocation:nothing is not in the history"):
        await history.invocation("nothing")


async def test_family_has_ancestors_and_descendants(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome, after)
    top = story.register("task")
    event_id = story.event("login", emitter_invocation_id=top)
    run = story.fire(welcome, {"event:login": event_id})
    middle = invocation_of(run)
    called = story.register("task", parent_invocation_id=middle)
    ended = story.run(called)
    last = invocation_of(story.fire(after, {"status:task[success]": ended}))
    again = story.register("task", rerun_of=called)
    stranger = story.register("task")
    family = await history.family(middle)
    generations = {member.invocation_id: member.generation for member in family.members}
    assert generations == {top: -1, middle: 0, called: 1, last: 2, again: 2}
    assert stranger not in generations
    links = {(link.source_invocation_id, link.invocation_id): link for link in family.links}
    assert {pair: link.relation for pair, link in links.items()} == {
        (top, middle): "triggered",
        (middle, called): "called",
        (called, last): "triggered",
        (called, again): "rerun",
    }
    assert (links[top, middle].run_id, links[top, middle].entry_id) == (run, event_id)
    assert family.complete


async def test_large_family_is_limited(story: Story, history: History) -> None:
    top = story.register()
    for _ in range(10):
        story.register(parent_invocation_id=top)
    family = await history.family(top, limit=4)
    assert (len(family.members), family.complete) == (5, False)
    assert len((await history.family(top)).members) == 11
