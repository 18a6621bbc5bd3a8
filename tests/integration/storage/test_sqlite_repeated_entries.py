"""An append first assumes that its ids are new; here they are not, or there are very many rows."""

from pathlib import Path

from tests.integration.storage.sqlite_files import open_log
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._storage.sqlite.rows import MAX_ROWS
from trigger_engine.backend._contract import Accepted, Part, Refused
from trigger_engine.testing.conformance._claiming import claim, claim_one
from trigger_engine.testing.conformance._harness import append, ids
from trigger_engine.testing.conformance._sample_entries import cancelled, event, recovered, registration, succeeded

MANY = 2 * MAX_ROWS + 88


async def test_invocation_cancelled_by_another_process_cannot_be_settled(tmp_path: Path) -> None:
    async with await open_log(tmp_path / "a.db") as ours, await open_log(tmp_path / "a.db") as theirs:
        await ours.append([(registration("i"),)])
        held = await claim_one(ours)
        await theirs.append([(cancelled(held),)])
        [outcome] = await ours.append([(succeeded(held),)])
        assert isinstance(outcome, Refused)
        found = await ours.invocation("i")
        assert found is not None
        assert found.state.status is InvocationStatus.CANCELLED


async def test_refused_part_does_not_affect_its_neighbours(tmp_path: Path) -> None:
    async with await open_log(tmp_path / "a.db") as ours, await open_log(tmp_path / "a.db") as theirs:
        await ours.append([(registration("i"),)])
        held = await claim_one(ours)
        await theirs.append([(recovered(held),)])
        outcomes = await ours.append([(event("before"),), (succeeded(held),), (event("behind"),)])
        assert [type(outcome) for outcome in outcomes] == [Accepted, Refused, Accepted]
        assert (await ids(ours))[-2:] == ["before", "behind"]


async def test_id_stored_by_another_process_is_not_stored_again(tmp_path: Path) -> None:
    async with await open_log(tmp_path / "a.db") as ours, await open_log(tmp_path / "a.db") as theirs:
        await theirs.append([(event("e"),), (registration("i"),)])
        outcomes = await ours.append([(event("new"),), (registration("i"),), (event("e"),)])
        assert outcomes == [Accepted(3), Accepted(2), Accepted(1)]
        assert await ids(ours) == ["e", "i", "new"]


async def test_repeated_batch_returns_the_positions_of_the_first(tmp_path: Path) -> None:
    async with await open_log(tmp_path / "a.db") as log:
        await log.append([(registration("i"),)])
        batch: list[Part] = [(event("e"),), (succeeded(await claim_one(log)),), (registration("j"), event("f"))]
        first = await log.append(batch)
        assert await log.append(batch) == first
        assert len(await ids(log)) == 6


async def test_registration_that_was_trimmed_is_not_stored_again(tmp_path: Path) -> None:
    async with await open_log(tmp_path / "a.db") as log:
        await log.append([(registration("i"),)])
        await append(log, event("last"))
        assert await log.trim(await log.tail(), keys_before=0) == 1
        outcomes = await log.append([(registration("i"),), (event("new"),)])
        assert outcomes == [Accepted(1), Accepted(3)]
        assert await ids(log) == ["last", "new"]


async def test_batch_larger_than_one_statement_is_stored(tmp_path: Path) -> None:
    async with await open_log(tmp_path / "a.db") as log:
        names = [f"i{number}" for number in range(MANY)]
        await log.append([(registration(name),) for name in names])
        claims = await claim(log, limit=MANY)
        assert [each.registration.invocation_id for each in claims.started] == names
        outcomes = await log.append([(succeeded(each),) for each in claims.started])
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        found = [await log.invocation(name) for name in names]
        assert {each.state.status for each in found if each is not None} == {InvocationStatus.SUCCESS}
        assert len(await ids(log)) == 3 * MANY
