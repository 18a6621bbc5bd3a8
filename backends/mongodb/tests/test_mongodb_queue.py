"""The run queue that each process folds from rows and the log, while others choose the same work."""

import time
from collections.abc import AsyncIterator

import pytest
from trigger_engine_mongodb import claiming, run_queue
from trigger_engine_mongodb.backend import MongoTrigger
from trigger_engine_mongodb.log import MongoLog
from trigger_engine_mongodb.settings import MongoSettings

from tests.support.servers.shared import SharedServers
from trigger_engine.backend import InvocationState, RecentClaimers, Started, fresh_id, ranks_first, start_entry
from trigger_engine.testing.conformance._claiming import claim, names
from trigger_engine.testing.conformance._harness import append, read_all
from trigger_engine.testing.conformance._sample_entries import event, handed_back, registration, succeeded

pytestmark = pytest.mark.servers


@pytest.fixture
def backend(servers: SharedServers) -> MongoTrigger:
    settings = MongoSettings(url=servers.url("mongodb"), database=f"test-{fresh_id()}")
    return MongoTrigger(settings, app_id="shop")


@pytest.fixture
async def log(backend: MongoTrigger) -> AsyncIterator[MongoLog]:
    async with await backend.open(clock=time.time) as log:
        yield log


async def test_a_queue_longer_than_the_kept_registrations_is_served_completely(
    log: MongoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_queue, "REGISTRATIONS_KEPT", 2)
    await append(log, *(registration(f"i{n}") for n in range(6)))
    first = (await claim(log, limit=3)).started
    second = (await claim(log, limit=3)).started
    assert names(first) == ["i0", "i1", "i2"]
    assert names(second) == ["i3", "i4", "i5"]
    assert [each.registration.id for each in first] == [registration(f"i{n}").id for n in range(3)]


async def test_ended_invocations_are_forgotten(log: MongoLog) -> None:
    await append(log, *(registration(f"i{n}") for n in range(4)))
    for runner_id in ("runner-1", "runner-2"):
        for ended in (await claim(log, runner_id, limit=2)).started:
            await append(log, succeeded(ended))
    assert (await claim(log)).started == []
    queue = log._queue
    assert (queue._open, queue._at, queue._held) == ({}, {}, {})
    await append(log, registration("i4"))
    await queue.follow_nowait()
    assert [each.invocation_id for each in queue._kept] == ["i4"]


async def test_a_late_opener_finds_earlier_work_in_the_rows(backend: MongoTrigger, log: MongoLog) -> None:
    await append(log, *(registration(f"i{n}") for n in range(4)))
    (ended,) = (await claim(log, limit=1)).started
    await append(log, succeeded(ended))
    (held,) = (await claim(log, limit=1)).started
    await log._projection.follow()
    await append(log, registration("i4"))
    async with await backend.open(clock=time.time) as late:
        claims = await claim(late, held.state.runner_id or "")
        assert names(claims.started) == ["i2", "i3", "i4"]
        assert claims.stranded == [held]


async def test_invocations_ended_after_the_recorded_progress_stay_ended(backend: MongoTrigger, log: MongoLog) -> None:
    await append(log, event("a"))
    await log._projection.follow()
    before = await log._store.head()
    await append(log, registration("i1"))
    (ended,) = (await claim(log)).started
    await append(log, succeeded(ended))
    await log._projection.follow()
    # As if rows were written whose progress is not recorded yet.
    meta = log._server.collection(log._store.meta)
    await meta.update_one({"_id": "projection"}, {"$set": {"upto": before.projected}})
    async with await backend.open(clock=time.time) as late:
        assert (await claim(late)).started == []


async def test_the_loser_of_a_race_claims_the_next_work(
    backend: MongoTrigger, log: MongoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await backend.open(clock=time.time) as other:
        await append(log, *(registration(f"i{n}") for n in range(6)))
        await other._queue.follow()
        monkeypatch.setattr(other._queue, "follow_nowait", other._store.head)
        assert names((await claim(log, "runner-1", limit=2)).started) == ["i0", "i1"]
        assert names((await claim(other, "runner-2", limit=2)).started) == ["i2", "i3"]
        starts = [entry for _, entry in await read_all(log) if isinstance(entry, Started)]
        assert [each.invocation_id for each in starts] == ["i0", "i1", "i0", "i1", "i2", "i3"]
        assert names((await claim(log, "runner-1")).started) == ["i4", "i5"]


async def test_a_waiting_runner_leaves_other_runners_their_share_for_a_moment(
    log: MongoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "GRACE_SECONDS", 60.0)
    monkeypatch.setattr(RecentClaimers, "RECENT_SECONDS", 60.0)
    await append(log, registration("before"))
    await claim(log, "runner-1")
    ids = [f"i{n}" for n in range(20)]
    await append(log, *map(registration, ids))
    share = [each for each in ids if ranks_first("runner-2", ["runner-1"], each)]
    assert 0 < len(share) < len(ids)
    assert names((await claim(log, "runner-2", limit=30, wait=5.0)).started) == share
    monkeypatch.setattr(claiming, "GRACE_SECONDS", 0.0)
    assert names((await claim(log, "runner-2", limit=30, wait=5.0)).started) == [
        each for each in ids if each not in share
    ]


async def test_a_settlement_behind_a_hole_is_not_stranded(log: MongoLog) -> None:
    await append(log, registration("i1"))
    (held,) = (await claim(log, "runner-1")).started
    await append(log, event("a"))
    meta = log._server.collection(log._store.meta)
    # As another process does before it fills its position, or dies.
    await meta.update_one({"_id": "log"}, {"$inc": {"number": 1}})
    await append(log, succeeded(held))
    assert (await claim(log, "runner-1")).stranded == []


async def test_a_claim_behind_a_hole_is_not_revoked(log: MongoLog) -> None:
    await append(log, registration("i1"))
    (held,) = (await claim(log, "runner-1")).started
    await append(log, handed_back(held))
    await claim(log, limit=0)
    meta = log._server.collection(log._store.meta)
    await meta.update_one({"_id": "log"}, {"$inc": {"number": 1}})
    again = start_entry(held.registration, InvocationState(), runner_id="runner-1", now=time.time())
    await append(log, again)
    assert (await claim(log, "runner-1", holding=[again.claim_id])).revoked == frozenset()


async def test_a_queue_starts_over_after_a_clear(backend: MongoTrigger, log: MongoLog) -> None:
    await append(log, registration("i1"), registration("i2"))
    assert names((await claim(log, limit=1)).started) == ["i1"]
    async with await backend.open(clock=time.time) as other:
        await other.clear()
        await append(other, registration("i3"))
        assert names((await claim(log)).started) == ["i3"]
        assert names((await claim(other)).started) == []


async def test_stranded_claims_are_reported_without_updating_the_rows(log: MongoLog) -> None:
    await append(log, registration("i1"), registration("i2"))
    started = (await claim(log, "runner-1")).started
    before = await log._store.head()
    assert (await claim(log, "runner-1", limit=0)).stranded == started
    assert (await log._store.head()).projected == before.projected
