"""The script of a log that fails: each kind of fault, each way to say when, and that nothing else goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.support.waiting import wait_until
from trigger_engine import BackendUnavailable
from trigger_engine._model.entries import EventEmitted, InvocationRegistered
from trigger_engine._storage.memory.log import MemTrigger
from trigger_engine.backend._contract import Cursor, EventLog
from trigger_engine.testing import Faults, FaultyBackend, FaultyLog
from trigger_engine.testing._faults import GROUPS, METHODS
from trigger_engine.testing.conformance._harness import append, ids
from trigger_engine.testing.conformance._sample_entries import TASK, event, registration, runner_facts


@pytest.fixture
def faults() -> Faults:
    return Faults(seed=1)


@pytest.fixture
async def log(faults: Faults) -> AsyncIterator[EventLog]:
    async with await FaultyBackend(MemTrigger(app_id="shop"), faults).open(clock=lambda: 0.0) as log:
        yield log


async def claim(log: EventLog) -> list[str]:
    claims = await log.claim("r1", tasks=[TASK], queues=[], holding=[], limit=10)
    return [each.registration.invocation_id for each in claims.started]


CALLS: dict[str, Callable[[EventLog], Awaitable[Any]]] = {
    "append": lambda log: log.append([(event("a"),)]),
    "follow": lambda log: log.follow(Cursor(log.log_id, 0)),
    "tail": lambda log: log.tail(),
    "start": lambda log: log.start(),
    "claim": claim,
    "heartbeat": lambda log: log.heartbeat(runner_facts("r1"), ttl=1.0),
    "leave": lambda log: log.leave("r1"),
    "runners": lambda log: log.runners(),
    "orphans": lambda log: log.orphans(),
    "acquire": lambda log: log.acquire("match", "r1", ttl=1.0),
    "release": lambda log: log.release("match", "r1"),
    "save_checkpoint": lambda log: log.save_checkpoint("match", None),  # type: ignore[arg-type]
    "load_checkpoint": lambda log: log.load_checkpoint("match"),
    "invocation": lambda log: log.invocation("i1"),
    "trim": lambda log: log.trim(Cursor(log.log_id, 0), keys_before=0.0),
    "clear": lambda log: log.clear(),
}


@pytest.mark.parametrize("method", CALLS)
async def test_every_call_of_a_log_can_fail(log: EventLog, faults: Faults, method: str) -> None:
    faults.fail(method)
    with pytest.raises(BackendUnavailable, match="an injected fault"):
        await CALLS[method](log)
    assert faults.calls == {"open": 1, method: 1}


def test_the_calls_are_all_that_a_log_has() -> None:
    assert set(CALLS) == METHODS - {"open"} == EventLog.__abstractmethods__ - {"close"}


def test_properties_of_the_inner_log_are_passed_through() -> None:
    said = {name for name, kind in EventLog.__annotations__.items() if "ClassVar" in str(kind)} | {"log_id"}
    assert said >= {"refuses_void", "resends"}
    assert [name for name in sorted(said) if not isinstance(vars(FaultyLog).get(name), property)] == []


async def test_opening_can_fail() -> None:
    faults = Faults()
    faults.fail("open")
    with pytest.raises(BackendUnavailable):
        await FaultyBackend(MemTrigger(app_id="shop"), faults).open(clock=lambda: 0.0)


async def test_log_is_closed_when_its_opening_fails() -> None:
    faults, backend = Faults(), MemTrigger(app_id="shop")
    faults.fail("open", after=True)
    with pytest.raises(BackendUnavailable):
        await FaultyBackend(backend, faults).open(clock=lambda: 0.0)
    assert not backend.store._notifiers


async def test_fault_before_the_call_stores_nothing_and_after_it_everything(log: EventLog, faults: Faults) -> None:
    before = faults.fail("append")
    with pytest.raises(BackendUnavailable):
        await append(log, event("a"))
    faults.clear(before)
    faults.fail("append", after=True)
    with pytest.raises(BackendUnavailable):
        await append(log, event("b"))
    assert await ids(log) == ["b"]


async def test_fault_affects_only_the_selected_calls(log: EventLog, faults: Faults) -> None:
    second = faults.fail("tail", nth=2)
    twice = faults.fail("start", times=2)
    assert [await _fails(log.tail) for _ in range(4)] == [False, True, False, False]
    assert [await _fails(log.start) for _ in range(4)] == [True, True, False, False]
    assert (second.calls, second.struck, twice.calls, twice.struck) == (4, 1, 4, 2)


async def test_fault_may_select_appends_by_content(log: EventLog, faults: Faults) -> None:
    faults.fail("append", entries=(InvocationRegistered,), nth=2)
    await append(log, event("a"), registration("i1"))
    await append(log, event("b"))
    with pytest.raises(BackendUnavailable):
        await append(log, event("c"), registration("i2"))
    assert await ids(log) == ["a", "i1", "b"]
    faults.clear()
    faults.fail("append", entries=EventEmitted)
    assert await _fails(lambda: append(log, event("d")))


async def test_same_seed_gives_the_same_faults() -> None:
    struck = [await _struck(seed) for seed in (1, 1, 2)]
    assert struck[0] == struck[1] != struck[2]
    assert 10 < sum(struck[0]) < 30


async def _struck(seed: int) -> list[bool]:
    faults = Faults(seed=seed)
    async with await FaultyBackend(MemTrigger(app_id="shop"), faults).open(clock=lambda: 0.0) as log:
        faults.fail("tail", chance=0.5)
        return [await _fails(log.tail) for _ in range(40)]


async def test_a_read_cut_short_gives_its_first_half_and_then_fails(log: EventLog, faults: Faults) -> None:
    await append(log, *(event(name) for name in "abcd"))
    faults.cut_short("follow", nth=1)
    batch = await log.follow(await log.start())
    assert [entry.id for _, entry in batch.entries] == ["a", "b"]
    assert await _fails(lambda: log.follow(batch.cursor))
    rest = await log.follow(batch.cursor)
    assert [entry.id for _, entry in rest.entries] == ["c", "d"]


async def test_a_claim_cut_short_leaves_the_rest_stranded(log: EventLog, faults: Faults) -> None:
    await append(log, *(registration(name) for name in ("i1", "i2")))
    faults.cut_short("claim", nth=1)
    assert await claim(log) == ["i1"]
    assert await _fails(lambda: claim(log))
    again = await log.claim("r1", tasks=[TASK], queues=[], holding=[], limit=10)
    assert [each.registration.invocation_id for each in again.stranded] == ["i1", "i2"]


async def test_indivisible_answer_is_lost_entirely(log: EventLog, faults: Faults) -> None:
    await append(log, registration("i1"))
    faults.cut_short("follow", "claim", "recover")
    for method in ("follow", "claim", "orphans"):
        assert await _fails(lambda call=CALLS[method]: call(log))  # type: ignore[misc]


async def test_recovery_cut_short_sees_half_of_what_is_lost(log: EventLog, faults: Faults) -> None:
    await append(log, *(registration(name) for name in ("i1", "i2")))
    await claim(log)
    faults.cut_short("recover", nth=1)
    assert [each.registration.invocation_id for each in await log.orphans()] == ["i1"]
    assert await _fails(log.orphans)
    assert len(await log.orphans()) == 2


async def test_a_held_call_waits_until_it_is_released(log: EventLog, faults: Faults) -> None:
    hold = faults.hold("append", after=True)
    appending = asyncio.create_task(append(log, event("a")))
    await hold.reached()
    assert await ids(log) == ["a"]
    assert (hold.waiting, appending.done()) == (1, False)
    hold.release()
    await appending
    await append(log, event("b"))
    assert (hold.waiting, await ids(log)) == (0, ["a", "b"])


async def test_fixing_releases_held_calls(log: EventLog, faults: Faults) -> None:
    hold = faults.hold("*")
    tail = asyncio.create_task(log.tail())
    await wait_until(lambda: hold.waiting == 1)
    faults.clear()
    await tail
    await log.start()


@pytest.mark.parametrize("after", [False, True])
async def test_cancelled_call_cancels_its_caller(log: EventLog, faults: Faults, after: bool) -> None:
    faults.cancel("append", after=after, times=1)
    caller = asyncio.create_task(append(log, event("a")))
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert await ids(log) == (["a"] if after else [])


async def test_custom_fault_may_do_anything(log: EventLog, faults: Faults) -> None:
    seen: list[int] = []

    async def note() -> None:
        seen.append(faults.calls["tail"])

    faults.call("tail", behaviour=note)
    faults.fail("tail", error=ZeroDivisionError, nth=2)
    await log.tail()
    with pytest.raises(ZeroDivisionError):
        await log.tail()
    assert seen == [1, 2]


@pytest.mark.parametrize(("group", "methods"), [(name, sorted(methods)) for name, methods in GROUPS.items()])
async def test_a_group_stands_for_its_methods(log: EventLog, faults: Faults, group: str, methods: list[str]) -> None:
    faults.fail(group)
    for method, call in CALLS.items():
        assert method not in methods or await _fails(lambda call=call: call(log)), method  # type: ignore[misc]


def test_unknown_operation_is_refused(faults: Faults) -> None:
    with pytest.raises(ValueError, match="a log has no operation 'apend', did you mean 'append'"):
        faults.fail("apend")
    with pytest.raises(ValueError, match="name at least one operation"):
        faults.fail()
    with pytest.raises(ValueError, match="cannot be cut short"):
        faults.cut_short("append")


async def _fails(call: Callable[[], Awaitable[Any]]) -> bool:
    try:
        await call()
    except BackendUnavailable:
        return True
    return False
