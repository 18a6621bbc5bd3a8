"""Compares the log with the memory log, which is assumed to be correct, over random sequences of calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trigger_engine._model.entries import AnyEntry, LeaderElected, StatusEntry
from trigger_engine._model.ids import run_invocation_id
from trigger_engine._storage.memory.log import MemTrigger
from trigger_engine.backend._contract import (
    Accepted,
    Checkpoint,
    Cursor,
    EventLog,
    Invocation,
    Outcome,
    Part,
    Refused,
)
from trigger_engine.backend._ids import fresh_id
from trigger_engine.errors import LogReplaced
from trigger_engine.testing.conformance import _sample_entries as make
from trigger_engine.testing.conformance._harness import LogHarness, LogSuite, eventually, read_all

TASKS = ("tasks.a", "tasks.b", "tasks.c")
QUEUES = ("default", "slow")
RUNNERS = ("runner-1", "runner-2")

APPENDS = ("event", "register", "register", "elect", "evaluate", "fire", "settle", "settle", "settle", "cancel")
OTHERS = ("claim", "claim", "claim", "look_up", "trim", "lease", "checkpoint", "pass_time", "clear")

# All examples of a test share its store, each with its own app id; backends share the test through subclasses.
COMPARISON_SETTINGS = settings(
    deadline=None,
    suppress_health_check=(
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.differing_executors,
    ),
)

ComparisonStep = tuple[str, int, int, int, int]
"""The action, three small numbers that choose its arguments, and which opening makes the call."""

_number = st.integers(0, 5)
COMPARISON_STEPS: st.SearchStrategy[list[ComparisonStep]] = st.lists(
    st.tuples(st.sampled_from(APPENDS + OTHERS), _number, _number, _number, st.integers(0, 1)), min_size=15, max_size=40
)


@dataclass
class Side:
    """A log with one or more openings, and what it returned; the same index means the same thing on both sides."""

    opened: Sequence[EventLog]
    terms: list[int] = field(default_factory=lambda: [0])
    seen: list[Invocation] = field(default_factory=list)
    cursors: list[Cursor] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = self.opened[0]

    async def change_to(self, number: int) -> None:
        """Switches to another opening of the log, once it has caught up."""
        before, self.log = self.log, self.opened[number % len(self.opened)]
        if self.log is not before:
            await eventually(self._has_caught_up_with(before))

    def _has_caught_up_with(self, other: EventLog) -> Callable[[], Awaitable[bool]]:
        async def has_caught_up() -> bool:
            return await self.log.tail() == await other.tail()

        return has_caught_up

    def names(self) -> dict[str, str]:
        """Names for the claim ids, which each log generates itself."""
        claims = [each.state.claim_id for each in self.seen if each.state.claim_id]
        return {claim_id: f"claim-{number}" for number, claim_id in enumerate(dict.fromkeys(claims))}


class ComparisonSuite(LogSuite):
    """The log under test has the same effects as the memory log.

    A slow backend overrides the test with fewer examples: `settings(COMPARISON_SETTINGS, max_examples=20)`.
    """

    @settings(COMPARISON_SETTINGS)
    @given(steps=COMPARISON_STEPS)
    async def test_any_calls_have_the_same_effects_as_on_the_memory_log(
        self, harness: LogHarness, steps: list[ComparisonStep]
    ) -> None:
        await compare_with_memory(harness, steps)


async def compare_with_memory(harness: LogHarness, steps: list[ComparisonStep]) -> None:
    """Takes these steps on both logs, and compares what they return."""
    app_id = f"app-{fresh_id()}"
    async with await harness.open(app_id) as log, await harness.open(app_id) as same:
        if not log.tells_stale:
            pytest.skip("this log stores void entries of leaders, so it differs from memory until it is folded")
        async with await MemTrigger(app_id="oracle", steady=harness.clock).open(clock=harness.clock) as oracle:
            comparison = Comparison(harness, Side([log, same]), Side([oracle]))
            for number, step in enumerate(steps):
                await comparison.take(step, last=number == len(steps) - 1)
            await comparison.compare()


class Comparison:
    """Takes every step on both sides, and compares what they return."""

    def __init__(self, harness: LogHarness, subject: Side, oracle: Side) -> None:
        self._harness = harness
        self._sides = (subject, oracle)
        # Ids of void entries that the subject stores and its folds drop.
        self._void: set[str] = set()
        self._number = 0
        # Read once for each step: both sides get the same times.
        self._now = harness.clock()
        # If the clock is not steered, nothing becomes due or expires within an example.
        self._second = 1.0 if harness.steered else 10_000.0

    async def take(self, step: ComparisonStep, *, last: bool) -> None:
        """Takes one step; some appends are collected and sent with the next one."""
        what, a, b, c, who = step
        self._number += 1
        for side in self._sides:
            await side.change_to(who)
        self._now = self._harness.clock()
        if what in APPENDS:
            for side in self._sides:
                side.parts += self._parts(side, what, a, b)
            if not last and c % 2:
                return
        await self._flush()
        match what:
            case "claim":
                await self._claim(a, b, c)
            case "look_up":
                await self._look_up(f"call-{a}" if b % 2 else run_invocation_id(f"fire-{a}"))
            case "trim":
                await self._trim(a, b)
            case "lease":
                await self._lease(a, b, c)
            case "checkpoint":
                await self._checkpoint(a, b)
            case "clear" if a == 0:
                for side in self._sides:
                    await side.log.clear()
            case "pass_time" if self._harness.steered:
                await self._harness.pass_time(a)
            case _:
                pass

    def _parts(self, side: Side, what: str, a: int, b: int) -> list[Part]:
        name = f"{what}-{a}"
        term = side.terms[-1 - b % min(2, len(side.terms))]
        evaluated = make.evaluated(f"evaluate-{self._number}", term)
        match what:
            case "event":
                return [(make.event(name, keyed=bool(a % 2)), make.event(f"event-{b}", keyed=bool(b % 2)))]
            case "register":
                not_before = self._now + b * self._second if b > 2 else None
                call = make.registration(
                    f"call-{a}", task_id=TASKS[b % 3], queue=QUEUES[a % 2], not_before=not_before, keyed=a > 2
                )
                return [(call,)]
            case "elect":
                return [(make.elected(f"elect-{self._number}"),)]
            case "evaluate":
                return [(evaluated,)]
            case "fire":
                return [(make.fired(name, term, task_id=TASKS[a % 3]), evaluated)]
            case _:
                return self._status_parts(side, what, a, b)

    def _status_parts(self, side: Side, what: str, a: int, b: int) -> list[Part]:
        if not side.seen:
            return []
        invocation = side.seen[-1 - a % len(side.seen)]
        settled: list[AnyEntry] = [
            make.succeeded(invocation),
            make.failed(invocation),
            make.retried(invocation, self._now + (a % 3) * self._second),
            make.recovered(invocation),
            make.handed_back(invocation),
        ]
        return [(make.cancelled(invocation) if what == "cancel" else settled[b % len(settled)],)]

    async def _flush(self) -> None:
        """Appends the collected parts. A void entry that the subject stores must be void for the oracle."""
        subject, oracle = self._sides
        parts = subject.parts
        results, expected = await self._append(subject), await self._append(oracle)
        for number, part in enumerate(parts):
            is_move = isinstance(part[0], StatusEntry) and not subject.log.refuses_void
            if is_move and expected[number] is Refused:
                results[number] = Refused
                self._void.add(part[0].id)
        assert results == expected
        for side in self._sides:
            side.cursors.append(await self._newest_cursor(side.log))

    async def _append(self, side: Side) -> list[type[Outcome]]:
        """Appends the parts of one side, and records the terms of new leaders."""
        parts, side.parts = side.parts, []
        outcomes = await side.log.append(parts)
        for part, outcome in zip(parts, outcomes, strict=True):
            if isinstance(part[0], LeaderElected) and isinstance(outcome, Accepted):
                side.terms.append(outcome.position)
        return [type(outcome) for outcome in outcomes]

    async def _newest_cursor(self, log: EventLog) -> Cursor:
        """The cursor of the newest entry that is not void."""
        tail = await log.tail()
        if not log.refuses_void:
            for position, entry in reversed(await read_all(log)):
                if entry.id not in self._void:
                    return Cursor(tail.log_id, position, entry.id)
        return tail

    async def _claim(self, a: int, b: int, c: int) -> None:
        runner_id = RUNNERS[a % 2]
        results = []
        for side in self._sides:
            own = [each.state.claim_id for each in side.seen if each.state.runner_id == runner_id]
            claims = await side.log.claim(
                runner_id,
                tasks=TASKS[: 2 + c % 2],
                queues=QUEUES[: 1 + b % 2],
                holding=own if c > 2 else own[:c],
                limit=b,
            )
            side.seen += [*claims.started, *claims.stranded]
            names = side.names()
            results.append(
                (
                    [_plain(each, names) for each in claims.started],
                    [_plain(each, names) for each in claims.stranded],
                    {names[claim_id] for claim_id in claims.revoked},
                    claims.unknown,
                )
            )
        assert results[0] == results[1]

    async def _look_up(self, invocation_id: str) -> None:
        results = []
        for side in self._sides:
            found = await side.log.invocation(invocation_id)
            results.append(None if found is None else _plain(found, side.names()))
            side.seen += [] if found is None else [found]
        assert results[0] == results[1]

    async def _trim(self, a: int, b: int) -> None:
        results = []
        for side in self._sides:
            cursor = side.cursors[-1 - a % len(side.cursors)]
            try:
                while await side.log.trim(cursor, keys_before=make.TIME - 1, limit=1 + b):
                    pass
                results.append("trimmed")
            except LogReplaced:
                results.append("replaced")
        assert results[0] == results[1]

    async def _lease(self, a: int, b: int, c: int) -> None:
        if b > 3:
            for side in self._sides:
                await side.log.release("match", RUNNERS[a % 2])
        else:
            ttl = (c + 1) * self._second
            results = [await side.log.acquire("match", RUNNERS[a % 2], ttl=ttl) for side in self._sides]
            assert results[0] == results[1]

    async def _checkpoint(self, a: int, b: int) -> None:
        results = []
        for side in self._sides:
            cursor = side.cursors[-1 - a % len(side.cursors)]
            saved = Checkpoint(side.terms[-1 - b % len(side.terms)], cursor, f"{self._number}".encode())
            done = await side.log.save_checkpoint("match", saved)
            loaded = await side.log.load_checkpoint("match")
            results.append((done, None if loaded is None else loaded.data))
        assert results[0] == results[1]

    async def compare(self) -> None:
        """Compares everything that both logs hold now."""
        results = []
        for side in self._sides:
            names = side.names()
            results.append(
                (
                    [
                        _plain_entry(entry, names, side.terms)
                        for _, entry in await read_all(side.log, limit=7)
                        if entry.id not in self._void
                    ],
                    [_plain(each, names) for each in await side.log.orphans()],
                    [await side.log.invocation(f"call-{n}") is None for n in range(6)],
                )
            )
        assert results[0] == results[1]


def _plain(invocation: Invocation, names: dict[str, str]) -> tuple[str, object]:
    """An invocation without positions, and with common names for claim ids."""
    state = invocation.state
    claim = names.get(state.claim_id, "")
    return invocation.registration.id, msgspec.structs.replace(state, claim_id=claim, changed_at=0)


def _plain_entry(entry: AnyEntry, names: dict[str, str], terms: list[int]) -> dict[str, Any]:
    fields = msgspec.structs.asdict(entry) | {"kind": type(entry).__name__, "time": 0.0}
    if "term" in fields:
        fields["term"] = terms.index(fields["term"])
    for key, value in fields.items():
        for claim_id, name in names.items() if isinstance(value, str) else ():
            fields[key] = fields[key].replace(claim_id, name)
    return fields
