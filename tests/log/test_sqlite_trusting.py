"""An append trusts what its process knows of the file; here that is wrong, or there are very many rows."""

from pathlib import Path

from tests.log.sqlite_files import open_log
from trigger_engine.core.lifecycle import InvocationState, InvocationStatus
from trigger_engine.log.contract import Accepted, Refused
from trigger_engine.log.sqlite import known_rows
from trigger_engine.log.sqlite.batches import MOST_ROWS
from trigger_engine.log.sqlite.invocations import Row
from trigger_engine.log.sqlite.known_rows import KnownRows
from trigger_engine.testing.conformance.claiming import claim, claim_one
from trigger_engine.testing.conformance.harness import ids
from trigger_engine.testing.conformance.sample_entries import cancelled, event, recovered, registration, succeeded

SOURCE = ("log", (1, 2))
MANY = 2 * MOST_ROWS + 88


def row(status: InvocationStatus = InvocationStatus.RUNNING, place: int = 1) -> Row:
    return Row(place, "default", InvocationState(status))


async def test_what_another_process_has_cancelled_is_not_settled(tmp_path: Path) -> None:
    async with await open_log(tmp_path / "a.db") as ours, await open_log(tmp_path / "a.db") as theirs:
        await ours.append([(registration("i"),)])
        held = await claim_one(ours)
        await theirs.append([(cancelled(held),)])
        [outcome] = await ours.append([(succeeded(held),)])
        assert isinstance(outcome, Refused)
        found = await ours.invocation("i")
        assert found is not None
        assert found.state.status is InvocationStatus.CANCELLED


async def test_a_refused_part_does_not_refuse_its_neighbours(tmp_path: Path) -> None:
    async with await open_log(tmp_path / "a.db") as ours, await open_log(tmp_path / "a.db") as theirs:
        await ours.append([(registration("i"),)])
        held = await claim_one(ours)
        await theirs.append([(recovered(held),)])
        outcomes = await ours.append([(event("before"),), (succeeded(held),), (event("behind"),)])
        assert [type(outcome) for outcome in outcomes] == [Accepted, Refused, Accepted]
        assert (await ids(ours))[-2:] == ["before", "behind"]


async def test_an_id_that_another_process_has_stored_is_not_stored_again(tmp_path: Path) -> None:
    async with await open_log(tmp_path / "a.db") as ours, await open_log(tmp_path / "a.db") as theirs:
        await theirs.append([(event("e"),), (registration("i"),)])
        outcomes = await ours.append([(event("new"),), (registration("i"),), (event("e"),)])
        assert outcomes == [Accepted(3), Accepted(2), Accepted(1)]
        assert await ids(ours) == ["e", "i", "new"]


async def test_more_rows_than_one_statement_takes(tmp_path: Path) -> None:
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


def test_rows_of_open_invocations_are_known_until_they_end() -> None:
    known = KnownRows()
    known.note(SOURCE, {"a": row(), "b": row(place=2)})
    known.note(SOURCE, {"b": row(InvocationStatus.SUCCESS, place=2)})
    assert known.find(SOURCE, ["a", "b", "c"]) == {"a": row()}


def test_rows_of_another_log_or_file_are_not_taken_for_these() -> None:
    known = KnownRows()
    known.note(SOURCE, {"a": row()})
    assert known.find(("log", (1, 3)), ["a"]) == {}
    assert known.find(SOURCE, ["a"]) == {}


def test_only_so_many_rows_are_known() -> None:
    known = KnownRows()
    known.note(SOURCE, {str(number): row() for number in range(known_rows.MOST + 1)})
    assert known.find(SOURCE, ["0", "1"]) == {"1": row()}
