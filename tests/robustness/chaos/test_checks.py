"""Each check sees what it is there for."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.robustness.chaos.driver import checks
from tests.robustness.chaos.driver.deeds import Deed
from tests.robustness.chaos.driver.findings import Findings
from tests.robustness.chaos.driver.place import Place, add_line
from trigger_engine._model.entries import (
    AnyEntry,
    CronTicked,
    EventEmitted,
    InvocationRegistered,
    Recovered,
    Started,
    Succeeded,
    TriggersDeclared,
)

SEED = 5
TTL = 1.5
BATCH = next(number for number in range(1, 500) if len(Deed.of(SEED, number).events) == 3)
CALL = next(number for number in range(1, 500) if not Deed.of(SEED, number).events)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "emitted").mkdir()
    return Place(tmp_path, "sqlite")


@pytest.fixture
def findings() -> Findings:
    return Findings(seed=SEED, store="sqlite", seconds=0.0)


def raw(**value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


def placed(*entries: AnyEntry) -> list[tuple[int, AnyEntry]]:
    return list(enumerate(entries, start=1))


def events(number: int, *ids: str) -> list[AnyEntry]:
    return [EventEmitted(id=one, time=0.0, event_code="order", payload=raw(number=number)) for one in ids]


def call(invocation_id: str = "call", **options: Any) -> AnyEntry:
    return InvocationRegistered(
        id=invocation_id, time=0.0, invocation_id=invocation_id, task_id="parcel", arguments=raw(number=CALL), **options
    )


def status(kind: Any, claim: str, *, runner: str = "runner", time: float = 0.0, **news: Any) -> AnyEntry:
    entry: AnyEntry = kind(
        id=f"{kind.__name__}-{claim}",
        time=time,
        invocation_id="call",
        task_id="parcel",
        arguments=raw(number=CALL),
        attempt=1,
        claim_id=claim,
        runner_id=runner,
        **news,
    )
    return entry


def emitted(place: Place, number: int, *ids: str) -> None:
    add_line(place.emitted / "0", f"begin {number}")
    if ids:
        add_line(place.emitted / "0", f"done {number} {' '.join(ids)}")


def test_acknowledged_and_stored_events_are_accepted(place: Place, findings: Findings) -> None:
    emitted(place, BATCH, "a", "b", "c")
    emitted(place, CALL)
    checks.check_emitted(placed(*events(BATCH, "a", "b", "c")), place, SEED, findings)
    assert (findings.acknowledged, findings.unacknowledged, findings.stored_unacknowledged) == (3, 1, 0)
    assert findings.violations == []


@pytest.mark.parametrize(
    ("ids", "lost", "doubled"),
    [((), 3, 0), (("a", "b"), 1, 0), (("a", "b", "c", "d"), 0, 1), (("a", "b", "d"), 1, 0)],
    ids=["lost", "lost in part", "there twice", "there under another id"],
)
def test_an_acknowledged_event_is_there_once(
    place: Place, findings: Findings, ids: tuple[str, ...], lost: int, doubled: int
) -> None:
    emitted(place, BATCH, "a", "b", "c")
    checks.check_emitted(placed(*events(BATCH, *ids)), place, SEED, findings)
    assert (findings.lost, findings.doubled) == (lost, doubled)
    assert findings.violations


def test_an_unacknowledged_batch_is_there_as_a_whole_or_not_at_all(place: Place, findings: Findings) -> None:
    emitted(place, BATCH)
    checks.check_emitted(placed(*events(BATCH, "a", "b")), place, SEED, findings)
    assert findings.violations == [f"deed {BATCH}: 2 entries instead of 3 or none"]


def test_event_that_nobody_emitted_is_reported(place: Place, findings: Findings) -> None:
    checks.check_emitted(placed(*events(BATCH, "a")), place, SEED, findings)
    assert findings.violations == [f"nobody emitted {{{BATCH}: ['a']}}"]


def test_unfinished_invocation_is_reported(findings: Findings) -> None:
    checks.check_lives(placed(call(), status(Started, "one")), findings)
    assert [one.partition(":")[0] for one in findings.violations] == ["1 invocations have not ended"]


def test_early_start_is_reported(findings: Findings) -> None:
    ended = status(Succeeded, "one", result=raw())
    checks.check_lives(placed(call(not_before=10.0), status(Started, "one", time=8.0), ended), findings)
    assert findings.violations == ["1 invocations began before they were due: ['Started-one']"]


def _lives(place: Place, *, killed: set[int] | None = None) -> checks.Losses:
    return checks.Losses(place, ttl=TTL, killed=killed or set(), paused=set())


RECOVERED = [call(), status(Started, "one"), status(Recovered, "one"), status(Started, "two")]


def test_work_of_a_killed_runner_may_run_again(place: Place, findings: Findings) -> None:
    add_line(place.beats, "runner 17 0.0 0.1")
    for claim in ("one", "two"):
        add_line(place.executions, f"call 1 {claim}")
    checks.check_executions(placed(*RECOVERED), place, _lives(place, killed={17}), findings)
    assert (findings.executions, findings.executed_twice, findings.violations) == (2, 0, [])
    assert findings.restarted == {"after a kill": 1}


def test_work_of_a_silent_runner_may_run_again(place: Place, findings: Findings) -> None:
    add_line(place.beats, "runner 17 0.0 0.1")
    add_line(place.beats, "runner 17 1.0 1.6")
    checks.check_executions(placed(*RECOVERED), place, _lives(place), findings)
    assert findings.restarted == {"after silence on a busy machine": 1}


def test_work_taken_from_a_live_runner_is_reported(place: Place, findings: Findings) -> None:
    add_line(place.beats, "runner 17 0.0 0.1")
    add_line(place.beats, "runner 17 1.0 1.1")
    checks.check_executions(placed(*RECOVERED), place, _lives(place), findings)
    assert findings.executed_twice == 1
    assert findings.violations == ["Recovered-one took work from runner, which was alive"]


@pytest.mark.parametrize("claims", [("one", "one"), ("other",), ("-", "-")])
def test_execution_without_its_own_claim_is_reported(place: Place, findings: Findings, claims: tuple[str, ...]) -> None:
    for claim in claims:
        add_line(place.executions, f"call 1 {claim}")
    checks.check_executions(placed(call(), status(Started, "one")), place, _lives(place), findings)
    assert findings.executed_twice == 1
    assert findings.violations


@pytest.mark.parametrize(("ticks", "sound"), [((60, 120), True), ((60,), False), ((60, 120, 180), False)])
def test_every_passed_cron_time_needs_one_tick(findings: Findings, ticks: tuple[int, ...], sound: bool) -> None:
    declared = TriggersDeclared(id="declared:1:first", time=1.0, term=1, triggers=())
    ticked = [CronTicked(id=str(at), time=0.0, term=1, condition_id="cron", scheduled_for=float(at)) for at in ticks]
    checks.check_ticks(placed(declared, *ticked), [(1.0, 0.0), (21.0, 100.0)], 30.0, 60.0, findings)
    assert (findings.violations == []) is sound
