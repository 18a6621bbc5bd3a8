"""Claiming: due work goes to one runner at a time, oldest first, and lost replies lose no work."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator

from trigger_engine._engine.lifecycle import InvocationState, InvocationStatus
from trigger_engine._model.entries import Claimed, Started
from trigger_engine.backend._claim_tracking import start_entry
from trigger_engine.backend._contract import Claims, EventLog, Invocation
from trigger_engine.testing.conformance._harness import PATIENCE, LogHarness, LogSuite, append, eventually, read_all
from trigger_engine.testing.conformance._sample_entries import (
    TASK,
    TIME,
    cancelled,
    elected,
    fired,
    recovered,
    registration,
    retried,
    succeeded,
)


async def claim(
    log: EventLog,
    runner_id: str = "runner-1",
    *,
    tasks: Collection[str] = (TASK,),
    queues: Collection[str] = ("default",),
    holding: Collection[str] = (),
    limit: int = 10,
    wait: float = 0.0,
) -> Claims:
    """Claims as a runner of `TASK` would."""
    return await log.claim(runner_id, tasks=tasks, queues=queues, holding=holding, limit=limit, wait=wait)


async def claim_one(log: EventLog, runner_id: str = "runner-1", *, holding: Collection[str] = ()) -> Invocation:
    """Claims the one invocation that is due."""
    (invocation,) = (await claim(log, runner_id, holding=holding, wait=PATIENCE)).started
    return invocation


def names(invocations: Collection[Invocation]) -> list[str]:
    """Invocation ids."""
    return [invocation.registration.invocation_id for invocation in invocations]


class _View(Collection[str]):
    """A live view of the claims that a runner holds. `read`: the claims when the log read them."""

    def __init__(self, held: Collection[str]) -> None:
        self._held = held
        self.read: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[str]:
        self.read = frozenset(self._held)
        return iter(self.read)

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, claim_id: object) -> bool:
        return claim_id in self._held


class ClaimingSuite(LogSuite):
    """Claims start due work."""

    async def test_a_claim_starts_registered_work(self, log: EventLog) -> None:
        position = await append(log, registration("i1"))
        invocation = await claim_one(log)
        assert invocation.registration == registration("i1")
        assert invocation.registered_at >= position
        assert invocation.state.status in {InvocationStatus.RUNNING, InvocationStatus.PENDING}
        assert (invocation.state.attempt, invocation.state.runner_id) == (1, "runner-1")
        assert isinstance(invocation.latest, (Started, Claimed))
        assert invocation.latest.claim_id == invocation.state.claim_id != ""

    async def test_the_start_is_in_the_log_and_in_the_store(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        invocation = await claim_one(log)
        assert (await read_all(log))[-1] == (invocation.state.changed_at, invocation.latest)
        assert await log.invocation("i1") == invocation

    async def test_a_trigger_run_is_claimed_like_a_call(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        await append(log, fired("r1", term))
        assert (await claim_one(log)).registration == fired("r1", term)

    async def test_a_claim_without_work_is_empty(self, log: EventLog) -> None:
        assert await claim(log) == Claims()
        assert await claim(log, wait=0.02) == Claims()

    async def test_the_oldest_work_comes_first_up_to_the_limit(self, log: EventLog) -> None:
        await append(log, *(registration(f"i{n}", task_id=f"t{n % 2}") for n in range(6)))
        tasks = ("t0", "t1")
        first = await claim(log, tasks=tasks, limit=4)
        assert names(first.started) == ["i0", "i1", "i2", "i3"]
        held = [each.state.claim_id for each in first.started]
        assert names((await claim(log, tasks=tasks, holding=held, limit=4)).started) == ["i4", "i5"]

    async def test_a_claim_with_limit_zero_takes_nothing(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        assert (await claim(log, limit=0)).started == []
        assert names((await claim(log)).started) == ["i1"]

    async def test_only_the_named_queues_are_served(self, log: EventLog) -> None:
        await append(log, registration("i1", queue="slow"), registration("i2"), registration("i3", queue="bulk"))
        assert names((await claim(log, "runner-1", queues=("default", "bulk"))).started) == ["i2", "i3"]
        assert names((await claim(log, "runner-2", queues=("slow",))).started) == ["i1"]

    async def test_no_queues_means_all_queues(self, log: EventLog) -> None:
        await append(log, registration("i1", queue="slow"), registration("i2"), registration("i3", task_id="other"))
        claims = await claim(log, queues=())
        assert (names(claims.started), claims.unknown) == (["i1", "i2"], frozenset({"other"}))

    async def test_unknown_tasks_are_reported_and_left(self, log: EventLog) -> None:
        await append(log, registration("i1", task_id="other"), registration("i2", task_id="more", queue="slow"))
        claims = await claim(log)
        assert (claims.started, claims.unknown) == ([], frozenset({"other"}))
        assert names((await claim(log, tasks=("other",))).started) == ["i1"]

    async def test_unknown_tasks_do_not_hide_known_ones(self, log: EventLog) -> None:
        await append(log, *(registration(f"o{n}", task_id="other") for n in range(20)), registration("i1"))
        assert names((await claim(log, limit=1)).started) == ["i1"]

    async def test_new_work_wakes_a_waiting_runner(self, harness: LogHarness) -> None:
        async with await harness.open() as runner, await harness.open() as caller:
            waiting = asyncio.create_task(claim(runner, wait=10 * PATIENCE))
            await asyncio.sleep(0)
            await append(caller, registration("i1"))
            async with asyncio.timeout(PATIENCE):
                assert names((await waiting).started) == ["i1"]

    async def test_an_unknown_task_ends_a_wait_only_once(self, log: EventLog) -> None:
        await append(log, registration("i1", task_id="other"))
        async with asyncio.timeout(PATIENCE):
            assert (await claim(log, wait=10 * PATIENCE)).unknown == {"other"}
        waiting = asyncio.create_task(claim(log, wait=10 * PATIENCE))
        await append(log, registration("i2"))
        async with asyncio.timeout(PATIENCE):
            assert names((await waiting).started) == ["i2"]

    async def test_a_cancelled_claim_loses_nothing(self, log: EventLog) -> None:
        await append(log, *(registration(f"i{n}") for n in range(5)))
        claiming = asyncio.create_task(claim(log))
        await asyncio.sleep(0)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
        claims = await claim(log)
        assert sorted(names([*claims.started, *claims.stranded])) == [f"i{n}" for n in range(5)]

    async def test_racing_runners_never_get_the_same_work(self, harness: LogHarness) -> None:
        async def work(log: EventLog, runner_id: str) -> list[Invocation]:
            done: list[Invocation] = []
            while claims := (await claim(log, runner_id, limit=3)).started:
                await log.append([(succeeded(each),) for each in claims])
                done += claims
            return done

        async with await harness.open() as one, await harness.open() as two:
            await append(one, *(registration(f"i{n:02}") for n in range(60)))
            done = await asyncio.gather(*(work(log, f"runner-{n}") for n, log in enumerate((one, one, two, two))))
            given = [invocation for each in done for invocation in each]
            assert sorted(names(given)) == [f"i{n:02}" for n in range(60)]
            starts = [entry for _, entry in await read_all(one) if isinstance(entry, Started)]
            # Later starts of an invocation are void.
            first = {entry.invocation_id: entry.claim_id for entry in reversed(starts)}
            assert {each.registration.invocation_id: each.state.claim_id for each in given} == first
            assert len(starts) == 60 or not one.refuses_void


class DueSuite(LogSuite):
    """Delayed work waits until it is due by the store's clock."""

    async def test_delayed_work_is_not_given_before_it_is_due(self, harness: LogHarness, log: EventLog) -> None:
        await append(log, registration("later", not_before=harness.clock() + harness.moment), registration("now"))
        assert names((await claim(log)).started) == ["now"]
        await harness.pass_time(1.5 * harness.moment)
        assert names((await claim(log, "runner-2")).started) == ["later"]

    async def test_a_past_not_before_delays_nothing(self, harness: LogHarness, log: EventLog) -> None:
        await append(log, registration("i1", not_before=harness.clock() - 5))
        assert names((await claim(log)).started) == ["i1"]

    async def test_delayed_work_keeps_its_place_in_the_queue(self, harness: LogHarness, log: EventLog) -> None:
        await append(log, registration("i1", not_before=harness.clock() + harness.moment), registration("i2"))
        await harness.pass_time(1.5 * harness.moment)
        assert names((await claim(log)).started) == ["i1", "i2"]

    async def test_an_unknown_task_is_reported_only_when_due(self, harness: LogHarness, log: EventLog) -> None:
        await append(log, registration("i1", task_id="other", not_before=harness.clock() + harness.moment))
        assert (await claim(log)).unknown == frozenset()
        await harness.pass_time(1.5 * harness.moment)
        assert (await claim(log)).unknown == {"other"}

    async def test_a_retry_waits_until_it_is_due(self, harness: LogHarness, log: EventLog) -> None:
        await append(log, registration("i1"))
        await append(log, retried(await claim_one(log), harness.clock() + harness.moment))
        assert (await claim(log)).started == []
        await harness.pass_time(1.5 * harness.moment)
        assert (await claim_one(log)).state.attempt == 2

    async def test_a_retry_waits_until_due_in_other_openings_too(self, harness: LogHarness) -> None:
        async with await harness.open() as one, await harness.open() as another:
            await append(one, registration("i1"))

            async def waits_there() -> bool:
                return (await claim(another, "runner-2", tasks=["other"])).unknown == {TASK}

            await eventually(waits_there)
            await append(one, retried(await claim_one(one), harness.clock() + harness.moment))
            # After this, the fold of the other opening has read the retry.
            await another.tail()
            assert (await claim(another, "runner-2")).started == []
            await harness.pass_time(1.5 * harness.moment)
            assert (await claim_one(another, "runner-2")).state.attempt == 2


class HoldingSuite(LogSuite):
    """The store and the runner compare the claims that the runner holds."""

    async def test_claims_unknown_to_the_runner_are_stranded(self, log: EventLog) -> None:
        await append(log, registration("i1"), registration("i2"))
        known, lost = (await claim(log)).started
        claims = await claim(log, holding=[known.state.claim_id])
        assert claims == Claims(stranded=[lost])
        assert await claim(log, holding=[known.state.claim_id, lost.state.claim_id]) == Claims()

    async def test_a_stranded_invocation_ends_the_wait(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        lost = await claim_one(log)
        async with asyncio.timeout(PATIENCE):
            assert (await claim(log, wait=10 * PATIENCE)).stranded == [lost]

    async def test_holding_is_read_again_while_waiting(self, harness: LogHarness) -> None:
        async with await harness.open() as runner, await harness.open() as caller:
            await append(caller, registration("i1"))
            held = await claim_one(runner)
            holding = {held.state.claim_id}
            waiting = asyncio.create_task(claim(runner, holding=holding, wait=10 * PATIENCE))
            await asyncio.sleep(0)
            await append(runner, succeeded(held))
            holding.clear()
            await append(caller, registration("i2"))
            async with asyncio.timeout(PATIENCE):
                claims = await waiting
            assert (names(claims.started), claims.revoked) == (["i2"], frozenset())

    async def test_work_started_during_a_claim_is_not_revoked(self, harness: LogHarness) -> None:
        async with await harness.open() as log:
            held: set[str] = set()
            appended = asyncio.Event()

            async def check() -> None:
                while not appended.is_set():
                    holding = _View(held)
                    claims = await claim(log, holding=holding, limit=0)
                    assert not claims.revoked & holding.read
                    await asyncio.sleep(0)

            async def start_work() -> None:
                for number in range(50):
                    call = registration(f"i{number}")
                    start = start_entry(call, InvocationState(), runner_id="runner-1", now=TIME)
                    await log.append([(call,), (start,)])
                    held.add(start.claim_id)
                appended.set()

            await asyncio.gather(check(), start_work())
            assert (await claim(log, holding=held, limit=0)) == Claims()

    async def test_other_runners_see_none_of_it(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        await claim_one(log)
        assert await claim(log, "runner-2") == Claims()

    async def test_a_cancelled_invocation_is_revoked(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        held = await claim_one(log)
        await append(log, cancelled(held))
        assert (await claim(log, holding=[held.state.claim_id])).revoked == {held.state.claim_id}
        assert (await claim(log)).revoked == frozenset()

    async def test_a_cancel_wakes_the_waiting_holder(self, harness: LogHarness) -> None:
        async with await harness.open() as runner, await harness.open() as other:
            await append(other, registration("i1"))
            held = await claim_one(runner)
            waiting = asyncio.create_task(claim(runner, holding=[held.state.claim_id], wait=10 * PATIENCE))
            await asyncio.sleep(0)
            await append(other, cancelled(held))
            async with asyncio.timeout(PATIENCE):
                assert (await waiting).revoked == {held.state.claim_id}

    async def test_a_recovered_invocation_is_revoked_and_given_to_another_runner(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        held = await claim_one(log, "runner-1")
        await append(log, recovered(held))
        taken = await claim_one(log, "runner-2")
        assert taken.state.claim_id != held.state.claim_id
        assert (taken.state.attempt, taken.state.recoveries) == (1, 1)
        assert (await claim(log, "runner-1", holding=[held.state.claim_id])).revoked == {held.state.claim_id}

    async def test_a_settled_claim_that_is_still_held_is_revoked(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        held = await claim_one(log)
        await append(log, succeeded(held))
        assert (await claim(log, holding=[held.state.claim_id])).revoked == {held.state.claim_id}


class InvocationSuite(LogSuite):
    """An invocation can be looked up at any time."""

    async def test_an_unknown_invocation_is_none(self, log: EventLog) -> None:
        assert await log.invocation("nothing") is None

    async def test_a_waiting_invocation_is_as_registered(self, log: EventLog) -> None:
        position = await append(log, registration("i1", not_before=5.0))
        found = await log.invocation("i1")
        assert found is not None
        assert found.registration == found.latest == registration("i1", not_before=5.0)
        assert found.registered_at >= position
        assert found.state == InvocationState(not_before=5.0, changed_at=found.registered_at)

    async def test_an_ended_invocation_has_its_result(self, log: EventLog) -> None:
        await append(log, registration("i1"))
        end = succeeded(await claim_one(log), {"answer": 42})
        await append(log, end)

        async def ended() -> bool:
            found = await log.invocation("i1")
            return found is not None and found.latest == end and found.state.status == InvocationStatus.SUCCESS

        await eventually(ended)

    async def test_a_resent_call_is_the_same_invocation(self, log: EventLog) -> None:
        await append(log, registration("i1", keyed=True))
        await append(log, succeeded(await claim_one(log)))
        await append(log, registration("i1", keyed=True))
        assert await claim(log) == Claims()
