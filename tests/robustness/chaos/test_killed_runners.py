"""Three runners on one SQLite file lose their lives again and again; the log tells whether anything was lost."""

import os
import random
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from tests.robustness.chaos.fleet import Fleet
from tests.support.reading import entries
from tests.support.waiting import wait_until
from tests.unit.engine.oracle import expected
from trigger_engine import TriggerEngine
from trigger_engine._audit.auditing import audit
from trigger_engine._engine.decision import Limits
from trigger_engine._engine.lifecycle import InvocationState
from trigger_engine._engine.validity import Validity
from trigger_engine._model.entries import (
    AnyEntry,
    EventEmitted,
    LeaderElected,
    Recovered,
    TriggerFired,
    TriggersDeclared,
)

EVENTS = 1_000
KILLS = 16
KILLS_IN_AN_APPEND = 3
SEED = 20_250_101


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_killed_runners_lose_nothing_and_do_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOS_DATABASE", str(tmp_path / "chaos.db"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    app = _app()
    acknowledged = tmp_path / "acknowledged"
    async with app:
        with Fleet(tmp_path / "chaos.db", runners=3) as fleet:
            emitter = fleet.start("emitter_process", str(EVENTS), str(acknowledged))
            leaders_killed = await _kill_again_and_again(app, fleet)
            await wait_until(lambda: emitter.poll() is not None, deadline=120)
            assert emitter.returncode == 0
            await wait_until(lambda: _all_has_ended(app, fleet), deadline=120)
            fleet.stop()
        assert leaders_killed >= 3
        log = await entries(app)
        lines = [line.split() for line in acknowledged.read_text().splitlines()]
        _check_events(log, lines)
        _check_runs(log, app)
        assert any(isinstance(entry, Recovered) for entry in log), "no kill found a task at work"
        await _check_history(app, log, tmp_path, monkeypatch)
        assert (await audit(app)).violations == ()


def _app() -> TriggerEngine:
    sys.modules.pop("tests.robustness.chaos.chaos_tasks", None)
    module: ModuleType = __import__("tests.robustness.chaos.chaos_tasks", fromlist=["app"])
    app = module.app
    assert isinstance(app, TriggerEngine)
    return app


async def _kill_again_and_again(app: TriggerEngine, fleet: Fleet) -> int:
    """Kills runners while work waits: any, the leader, or whichever is in the middle of an append."""
    chance = random.Random(SEED)
    leaders = in_an_append = 0
    for kill in count():
        if kill >= KILLS and in_an_append >= KILLS_IN_AN_APPEND:
            return leaders
        await wait_until(lambda: _work_waits(app), deadline=60)
        if kill % 4 == 3:
            fleet.mark.touch()
            in_an_append += await wait_until(fleet.replace_dead, deadline=60)
        elif kill % 4 == 1:
            leaders += fleet.kill(await wait_until(lambda: _leader(app, fleet), deadline=60))
        else:
            fleet.kill(chance.choice(await wait_until(lambda: _at_work(app, fleet), deadline=60)))
    raise AssertionError


async def _leader(app: TriggerEngine, fleet: Fleet) -> int:
    """The pid of the leader, 0 while none of the fleet leads."""
    elected = [entry for entry in await entries(app) if isinstance(entry, LeaderElected)]
    pids = await _pids(app, fleet)
    return pids.get(elected[-1].runner_id, 0) if elected else 0


async def _at_work(app: TriggerEngine, fleet: Fleet) -> list[int]:
    """The pids of the runners that hold invocations."""
    pids = await _pids(app, fleet)
    holders = {state.runner_id for state in _open(await entries(app)).values() if state.runner_id is not None}
    return [pid for runner_id, pid in pids.items() if runner_id in holders]


async def _pids(app: TriggerEngine, fleet: Fleet) -> dict[str, int]:
    """The live runners of the fleet."""
    rows = await (await app._internals.connections.session()).log.runners()
    living = {process.pid for process in fleet.runners}
    return {row.facts.runner_id: row.facts.pid for row in rows if row.facts.pid in living}


async def _work_waits(app: TriggerEngine) -> bool:
    log = await entries(app)
    return bool(_open(log)) or _unanswered(log) > 0


async def _all_has_ended(app: TriggerEngine, fleet: Fleet) -> bool:
    fleet.replace_dead()
    log = await entries(app)
    return not _open(log) and _unanswered(log) == 0


def _unanswered(log: Sequence[AnyEntry]) -> int:
    """Orders and shipments that no trigger run names."""
    events = {e.id for e in log if isinstance(e, EventEmitted) and e.event_code in {"order", "shipped"}}
    answered = {p.entry_id for e in log if isinstance(e, TriggerFired) for p in e.participants}
    return len(events - answered)


def _open(log: Sequence[AnyEntry]) -> dict[str, InvocationState]:
    validity = Validity(track_keys=False)
    for position, entry in enumerate(log, start=1):
        reason = validity.read(position, entry)
        assert reason is None, f"{entry.id} is void: {reason}"
    return dict(validity.open)


def _check_events(log: Sequence[AnyEntry], acknowledged: list[list[str]]) -> None:
    """Every acknowledged event is in the log once."""
    stored = Counter(entry.id for entry in log)
    assert len(acknowledged) == EVENTS
    assert all(stored[event_id] == 1 for event_id, _, _ in acknowledged)
    assert max(stored.values()) == 1


def _check_runs(log: Sequence[AnyEntry], app: TriggerEngine) -> None:
    """Each reaction ran once for what it reacts to, and for nothing else."""
    fired = [entry for entry in log if isinstance(entry, TriggerFired)]
    numbers = {"order": set[int](), "shipped": set[int]()}
    for entry in log:
        if isinstance(entry, EventEmitted) and entry.event_code in numbers:
            numbers[entry.event_code].add(_argument(entry.payload))
    orders = numbers["order"]
    taken = {number for number in orders if number % 50}
    assert numbers["shipped"] == {number for number in taken if number % 10 == 3}
    wanted = {
        "take_order": orders,
        "count_odd": {number for number in taken if number % 2},
        "compensate": orders - taken,
        "ship": numbers["shipped"],
    }
    for task, expected_numbers in wanted.items():
        runs = [_argument(run.arguments) for run in fired if run.task_id.endswith(f".{task}")]
        assert sorted(runs) == sorted(expected_numbers), task
    loads = [run for run in fired if run.task_id.endswith(".load")]
    assert {run.id for run in loads} == _expected_loads(log)
    assert len({run.invocation_id for run in fired}) == len(fired)


def _expected_loads(log: Sequence[AnyEntry]) -> set[str]:
    """What the naive oracle says of the trigger that waits for a pallet and a truck."""
    told = [
        (position, entry)
        for position, entry in enumerate(log, start=1)
        if isinstance(entry, (LeaderElected, TriggersDeclared))
        or (isinstance(entry, EventEmitted) and entry.event_code in {"pallet", "truck"})
    ]
    runs = expected(told, Limits(), lambda name, value: False, track_keys=False).runs
    return {run.run_id for run in runs}


def _argument(raw: msgspec.Raw) -> int:
    return int(msgspec.msgpack.decode(raw)["number"])


async def _check_history(
    app: TriggerEngine, log: Sequence[AnyEntry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read model that grew during the chaos, one folded afresh, and the log say the same."""
    grown = await _told_by_history(app)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / os.urandom(4).hex()))
    fresh = await _told_by_history(app)
    assert grown == fresh
    assert grown[0] == sorted(entry.id for entry in log if isinstance(entry, TriggerFired))


async def _told_by_history(app: TriggerEngine) -> tuple[list[str], list[tuple[str, str]], list[tuple[str, bool]]]:
    async with app.history() as history:
        runs = [run.run_id for run in await history.trigger_runs(limit=10_000)]
        invocations = [(one.invocation_id, str(one.status)) for one in await history.invocations(limit=10_000)]
        events = [(event.event_id, bool(event.trigger_run_ids)) for event in await history.events(limit=10_000)]
    return sorted(runs), sorted(invocations), sorted(events)
