"""The driver: starts the processes of a run, does to them what the schedule says, and brings everything to rest."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

import msgspec

from tests.robustness.chaos.driver.archive import Archive, ArchivedFirst
from tests.robustness.chaos.driver.fleet import VERSIONS, Fleet, Seat
from tests.robustness.chaos.driver.place import MovedClock, Place, add_line, lines
from tests.robustness.chaos.driver.schedule import Step, steps
from tests.robustness.chaos.driver.stores import STORES
from tests.support.waiting import wait_until
from trigger_engine import TriggerEngine
from trigger_engine._client.connections import Session
from trigger_engine._engine.validity import Validity
from trigger_engine._model.entries import (
    AnyEntry,
    EventEmitted,
    InvocationRegistered,
    Judged,
    LeaderElected,
    Position,
    StatusEntry,
)
from trigger_engine._runtime.leader.retention import apply_retention
from trigger_engine.backend._contract import EventLog

_DAY, _HOUR = 86_400.0, 3_600.0
_KEPT_SECONDS = 5.0
"""Age at which a purge lets entries go."""
_CRON_PERIOD = 180.0
_PATIENCE = 10.0
"""Seconds that the driver waits for a sign of progress before it goes on."""
_POLL = 0.05
_QUIET = 1.5
"""Seconds without an entry after which a run is taken to be at rest, when nothing is open."""
_STUCK, _LONGEST = 120.0, 1_800.0
"""Seconds without an entry, and in all, after which it is not taken to come to rest by itself any more."""

_JUDGED = (EventEmitted, InvocationRegistered, StatusEntry)
"""What leaders must say that they have evaluated; of their own entries they need not."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long a run is: until there were `seconds`, `steps`, and `acknowledged` events and calls.

    `pace`: by what the schedule's times between steps are multiplied. `each_once`: as in `schedule.steps`.
    """

    seed: int
    store: str = "sqlite"
    seconds: float = 0.0
    steps: int = 0
    acknowledged: int = 0
    pace: float = 1.0
    each_once: bool = False


class Chaos:
    """One run.

    `faults`: what was done, by kind. `purged`: entries that retention removed. `clock_moves`: (seconds of `time.time`,
    offset from then on). `stopped_at`: when the runners were told to stop, by `time.time`.
    """

    def __init__(self, plan: Plan, place: Place, app: TriggerEngine, log: EventLog) -> None:
        self.plan = plan
        self.place = place
        self.app = app
        self.archive = Archive(log)
        self.faults: Counter[str] = Counter()
        self.purged = 0
        self.stopped_at = 0.0
        self.troubles: list[str] = []
        self._log = log
        self._clock = MovedClock(place.clock)
        self.clock_moves = [(time.time(), 0.0)]
        self._pausing: asyncio.TaskGroup
        self._evaluated = 0
        self._rest = _Rest()
        seats = [Seat("runner", index, VERSIONS[index % 2]) for index in range(3)]
        seats += [Seat("emitter", index) for index in range(2)] + [Seat("reader", 0)]
        self.fleet = Fleet(place, plan.seed, seats)
        self._doings: dict[str, Callable[[Step], Awaitable[None]]] = {
            "kill a runner": lambda step: self._kill("runner", step),
            "kill the leader": self._kill_the_leader,
            "kill a runner in an append": lambda _: self._mark("runner", "in"),
            "kill a runner after a commit": lambda _: self._mark("runner", "after"),
            "kill an emitter": lambda step: self._kill("emitter", step),
            "kill an emitter in an append": lambda _: self._mark("emitter", "in"),
            "kill an emitter after a commit": lambda _: self._mark("emitter", "after"),
            "kill a history reader": lambda step: self._kill("reader", step),
            "pause the leader": self._pause_the_leader,
            "pause a runner": self._pause_a_runner,
            "restart a runner gracefully": self._restart,
            "set the clock forward": lambda step: self._set_clock(step.amount),
            "set the clock back": lambda step: self._set_clock(-step.amount),
            "change the code of a runner": self._change_code,
            "purge": self._purge,
        }

    async def run(self) -> None:
        """Everything, from the first process to the last entry. What went wrong on the way is in `troubles`."""
        try:
            async with asyncio.TaskGroup() as group:
                copying = group.create_task(self.archive.keep_up())
                await self._harm()
                await self._come_to_rest()
                self.stopped_at = time.time()
                await asyncio.to_thread(self.fleet.stop, "runner")
                await self.archive.reach((await self._log.tail()).position)
                copying.cancel()
            await wait_until(lambda: not self.fleet.leftovers(), deadline=10)
        except AssertionError as exc:
            self.troubles.append(str(exc))
        except BaseExceptionGroup as exc:
            if exc.subgroup(AssertionError) is None:
                raise
            self.troubles += [str(one) for one in exc.exceptions]
        finally:
            self.fleet.close()
            self.troubles += self.fleet.strange

    async def _harm(self) -> None:
        self.fleet.start()
        await self._the_leader()
        begun = time.monotonic()
        schedule = steps(self.plan.seed, tuple(STORES[self.plan.store].faults), each_once=self.plan.each_once)
        async with asyncio.TaskGroup() as self._pausing:
            for number, step in enumerate(schedule):
                if number >= self.plan.steps and time.monotonic() - begun >= self.plan.seconds and self._did_enough():
                    break
                await asyncio.sleep(step.after * self.plan.pace)
                await self._progress()
                self.fleet.replace_dead()
                await (self._doings.get(step.kind) or self._fault_of_store)(step)
                self.faults[step.kind] += 1
                add_line(self.place.folder / "steps", f"{datetime.now(UTC):%H:%M:%S.%f} {step}")

    async def _progress(self) -> None:
        """Waits until something was evaluated since the last step: a busy machine must not be stopped from all work."""
        deadline = time.monotonic() + _PATIENCE
        while self.archive.counts[Judged] == self._evaluated and time.monotonic() < deadline:
            self.fleet.replace_dead()
            await asyncio.sleep(_POLL)
        self._evaluated = self.archive.counts[Judged]

    def _did_enough(self) -> bool:
        written = (line for file in self.place.emitted.iterdir() for line in lines(file))
        return sum(len(ids) for word, _, *ids in written if word == "done") >= self.plan.acknowledged

    async def _fault_of_store(self, step: Step) -> None:
        await STORES[self.plan.store].faults[step.kind](self.place.folder)

    async def _one(self, role: str, step: Step) -> Seat:
        """The process of a role that the schedule has chosen among those that are not paused."""
        seats = await wait_until(lambda: self.fleet.of_role(role), deadline=60)
        return seats[int(step.choice * len(seats))]

    async def _kill(self, role: str, step: Step) -> None:
        self.fleet.kill(await self._one(role, step))

    async def _kill_the_leader(self, _: Step) -> None:
        self.fleet.kill(await self._the_leader())

    async def _mark(self, role: str, moment: str) -> None:
        """One process of the role dies in the middle of its next append, or right after it."""
        mark = self.place.mark(role, moment)
        mark.touch()
        await wait_until(lambda: not mark.exists(), deadline=60)
        await wait_until(self.fleet.replace_dead, deadline=60)

    async def _pause_the_leader(self, step: Step) -> None:
        self._pause(await self._the_leader(), step.amount)

    async def _pause_a_runner(self, step: Step) -> None:
        self._pause(await self._one("runner", step), step.amount)

    def _pause(self, seat: Seat, seconds: float) -> None:
        self.fleet.pause(seat)

        async def resume_later() -> None:
            await asyncio.sleep(seconds)
            self.fleet.resume(seat)

        self._pausing.create_task(resume_later())

    async def _restart(self, step: Step) -> None:
        await asyncio.to_thread(self.fleet.restart, await self._one("runner", step))

    async def _change_code(self, step: Step) -> None:
        """Another version of the code, by a graceful restart or by a kill."""
        seat = await self._one("runner", step)
        seat.version = next(version for version in VERSIONS if version != seat.version)
        if step.amount < 0.5:
            await asyncio.to_thread(self.fleet.restart, seat)
        else:
            self.fleet.kill(seat)

    async def _set_clock(self, seconds: float) -> None:
        """Never before the beginning, so that what the schedules owe stays plain."""
        self._clock.offset = max(0.0, self._clock.offset + seconds)
        self.clock_moves.append((time.time(), self._clock.offset))

    async def _purge(self, _: Step) -> None:
        session = Session(ArchivedFirst(self._log, self.archive))
        settings = msgspec.structs.replace(self.app._internals.settings, event_retention_days=_KEPT_SECONDS / _DAY)
        self.purged += await apply_retention(session, settings, self._clock)
        await session.commits.aclose()

    async def _the_leader(self) -> Seat:
        return (await wait_until(self._leaders, deadline=60))[0]

    async def _leaders(self) -> list[Seat]:
        """The process that leads; none while nobody does, or it is paused."""
        elected = self.archive.newest.get(LeaderElected)
        leads = elected.runner_id if isinstance(elected, LeaderElected) else None
        pids = {row.facts.pid for row in await self._log.runners() if row.facts.runner_id == leads}
        return [seat for seat in self.fleet.of_role("runner") if seat.pid in pids]

    async def _come_to_rest(self) -> None:
        """Stops emitters and readers, gives all work a runner that knows it and a time at which it is due."""
        self.fleet.replace_dead()
        self.place.stop.touch()
        await asyncio.to_thread(self.fleet.end, "emitter")
        await asyncio.to_thread(self.fleet.end, "reader")
        for seat, version in zip(self.fleet.of_role("runner"), itertools.cycle(VERSIONS)):
            if seat.version != version:
                seat.version = version
                await asyncio.to_thread(self.fleet.restart, seat)
        ahead = max(offset for _, offset in self.clock_moves) + 4 * _HOUR
        ahead += _CRON_PERIOD - (time.time() + ahead) % _CRON_PERIOD + 1.0
        await self._set_clock(ahead - self._clock.offset)
        await self._work_ends()

    async def _work_ends(self) -> None:
        """Returns when nothing is open or not evaluated, and nothing came for a while.

        Raises AssertionError when something is, and nothing has come for long: a busy machine may take its time.
        """
        begun = came = time.monotonic()
        while time.monotonic() - begun < _LONGEST:
            self.fleet.replace_dead()
            if self._rest.read(self.archive.items):
                came = time.monotonic()
            elif not self._rest.open and time.monotonic() - came > _QUIET:
                return
            assert time.monotonic() - came < _STUCK, f"for {_STUCK} s nothing came, but not all has ended"
            await asyncio.sleep(_POLL)
        raise AssertionError(f"after {_LONGEST} s, entries still come")


class _Rest:
    """How far a log is from rest, read as it grows."""

    def __init__(self) -> None:
        self._validity = Validity(track_keys=False)
        self._read = self._evaluated = self._to_evaluate = 0

    def read(self, items: list[tuple[Position, AnyEntry]]) -> bool:
        """Reads what has come since the last time; whether something has."""
        new = items[self._read :]
        for position, entry in new:
            self._validity.read(position, entry)
            if isinstance(entry, Judged):
                self._evaluated = max(self._evaluated, entry.upto)
            elif isinstance(entry, _JUDGED):
                self._to_evaluate = position
        self._read += len(new)
        return bool(new)

    @property
    def open(self) -> bool:
        """Whether an invocation has not ended, or an entry is not evaluated."""
        return bool(self._validity.open) or self._to_evaluate > self._evaluated


@contextmanager
def new_place(folder: Path, store: str) -> Iterator[Place]:
    """An empty place in a folder, which this process is told of, too."""
    place = Place(folder, store)
    for path in (place.emitted, place.logs, *map(place.code, VERSIONS)):
        path.mkdir(parents=True)
    for age, version in enumerate(VERSIONS):
        copy = place.code(version) / "reactions.py"
        shutil.copyfile(Path(__file__).with_name(f"{version}_reactions.py"), copy)
        now = time.time()
        os.utime(copy, (now, now + age))
    former = dict(os.environ)
    os.environ.update(place.environment)
    try:
        yield place
    finally:
        os.environ.clear()
        os.environ.update(former)


def fresh_shop() -> ModuleType:
    """The app's module, for the place of this process, with no version of the reactions."""
    sys.modules.pop("tests.robustness.chaos.driver.shop", None)
    return import_module("tests.robustness.chaos.driver.shop")
