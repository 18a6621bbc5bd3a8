"""Fault scripts: which call of a log fails, when, and how."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from random import Random
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import msgspec

from trigger_engine._model.entries import AnyEntry
from trigger_engine._suggestions import did_you_mean
from trigger_engine.backend._contract import Batch, Claims, Cursor, EventLog, Part
from trigger_engine.errors import BackendUnavailable

T = TypeVar("T")
Behaviour = Callable[[], Awaitable[object]]
Stage = Literal["before", "after", "answer"]

METHODS: frozenset[str] = frozenset(EventLog.__abstractmethods__ - {"close"}) | {"open"}
"""The calls that can fail: the log's methods, and the backend's `open`."""

GROUPS: dict[str, frozenset[str]] = {
    "leases": frozenset({"acquire", "release"}),
    "checkpoints": frozenset({"save_checkpoint", "load_checkpoint"}),
    "recover": frozenset({"orphans"}),
    "*": METHODS,
}
"""Names for groups of methods."""

CUT_SHORT: frozenset[str] = frozenset({"follow", "claim", "orphans"})
"""Methods that return a list and may return only a part of it by contract."""


class When(TypedDict, total=False):
    """The calls that a rule affects; by default, every call.

    nth: only the n-th call from now on, counted from 1. times: at most this many calls. chance: each call with this
    probability, drawn from the seed. entries: only appends that contain an entry of this type, or one of these types.
    """

    nth: int
    times: int
    chance: float
    entries: type[AnyEntry] | tuple[type[AnyEntry], ...]


class Rule:
    """One fault. `calls`: how many calls it could have affected; `struck`: how many it did."""

    def __init__(self, methods: frozenset[str], stage: Stage, behaviour: Behaviour, when: When, random: Random) -> None:
        self.methods = methods
        self.stage = stage
        self.calls: int = 0
        self.struck: int = 0
        self._behaviour = behaviour
        self._when = when
        self._random = random

    def strikes(self, method: str, parts: Sequence[Part]) -> bool:
        """Counts the call, and returns whether the rule affects it."""
        wanted = self._when.get("entries")
        if method not in self.methods or not (wanted is None or any(isinstance(e, wanted) for p in parts for e in p)):
            return False
        self.calls += 1
        nth, times, chance = self._when.get("nth"), self._when.get("times"), self._when.get("chance", 1.0)
        if nth not in {None, self.calls} or (times is not None and self.struck >= times):
            return False
        if chance < 1.0 and self._random.random() >= chance:
            return False
        self.struck += 1
        return True

    async def act(self) -> None:
        """Runs the fault's behaviour."""
        await self._behaviour()


class Hold:
    """Blocks calls until the test releases them. `waiting`: the number of calls blocked now."""

    def __init__(self) -> None:
        self.waiting: int = 0
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def reached(self) -> None:
        """Waits until a call is blocked."""
        await self._reached.wait()

    def release(self) -> None:
        """Unblocks the waiting calls and all later ones."""
        self._released.set()

    async def _wait(self) -> None:
        self.waiting += 1
        self._reached.set()
        try:
            await self._released.wait()
        finally:
            self.waiting -= 1


class Faults:
    """The fault script of one log.

    A fault stays active until `fix`. Several faults may affect one call, in the order they were added. `operations`
    are the log's methods by name (`append`, `follow`, `claim`, …), `open`, or one of the groups `leases`,
    `checkpoints`, `recover` and `*`; others raise ValueError. `calls` counts the calls by method. The same `seed` gives
    the same random choices.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.calls: Counter[str] = Counter()
        self._seed = seed
        self._made = 0
        self._rules: list[Rule] = []
        self._holds: list[Hold] = []

    def fail(
        self,
        *operations: str,
        after: bool = False,
        error: Callable[[], BaseException] | None = None,
        **when: Unpack[When],
    ) -> Rule:
        """Makes calls raise without taking effect, or, with `after`, raise although they took effect.

        `error`: creates the exception; default BackendUnavailable.
        """
        make_error = error or _unavailable

        async def raise_error() -> None:
            await asyncio.sleep(0)
            raise make_error()

        return self.call(*operations, behaviour=raise_error, after=after, **when)

    def cut_short(self, *operations: str, **when: Unpack[When]) -> Rule:
        """Makes calls return only the first half of their result, and fail the next time.

        A result of fewer than two items is lost: the call raises BackendUnavailable. Only for `follow`, `claim` and
        `recover`; others raise ValueError.
        """
        methods = _methods(operations)
        if not methods <= CUT_SHORT:
            raise ValueError(f"{sorted(methods - CUT_SHORT)} cannot be cut short: use one of {sorted(CUT_SHORT)}")
        return self._add(methods, "answer", _nothing, when)

    def hold(self, *operations: str, after: bool = False, **when: Unpack[When]) -> Hold:
        """Blocks calls, before or `after` they take effect, until the hold is released or `fix` is called."""
        hold = Hold()
        self._holds.append(hold)
        self.call(*operations, behaviour=hold._wait, after=after, **when)
        return hold

    def cancel(self, *operations: str, after: bool = False, **when: Unpack[When]) -> Rule:
        """Cancels the calling task during the call, before or `after` it takes effect."""

        async def cancel_caller() -> None:
            caller = asyncio.current_task()
            assert caller is not None
            caller.cancel("cancelled by an injected fault")
            await asyncio.sleep(0)

        return self.call(*operations, behaviour=cancel_caller, after=after, **when)

    def call(self, *operations: str, behaviour: Behaviour, after: bool = False, **when: Unpack[When]) -> Rule:
        """Makes calls await `behaviour()`, before or `after` they take effect. It may raise or wait."""
        return self._add(_methods(operations), "after" if after else "before", behaviour, when)

    def clear(self, rule: Rule | None = None) -> None:
        """Removes one rule, or all rules and holds."""
        if rule is not None:
            self._rules.remove(rule)
            return
        self._rules.clear()
        for hold in self._holds:
            hold.release()

    async def around(self, method: str, work: Callable[[], Awaitable[T]], parts: Sequence[Part] = ()) -> T:
        """Makes one call of a log, with the faults that affect it. `parts`: the parts it appends."""
        self.calls[method] += 1
        for rule in self._striking(method, parts, {"before"}):
            await rule.act()
        answer = await work()
        # Evaluated after the call, so that rules added while the call waits inside the log apply too.
        for rule in self._striking(method, parts, {"after", "answer"}):
            if rule.stage == "after":
                await rule.act()
            else:
                answer = self._first_half(method, answer)
        return answer

    def _striking(self, method: str, parts: Sequence[Part], stages: Collection[Stage]) -> list[Rule]:
        return [rule for rule in self._rules if rule.stage in stages and rule.strikes(method, parts)]

    def _add(self, methods: frozenset[str], stage: Stage, behaviour: Behaviour, when: When) -> Rule:
        self._made += 1
        rule = Rule(methods, stage, behaviour, when, Random(f"{self._seed}:{self._made}"))
        self._rules.append(rule)
        return rule

    def _first_half(self, method: str, answer: Any) -> Any:
        half = _first_half(answer)
        if half is None:
            raise _unavailable()
        self.fail(method, times=1)
        return half


def _methods(operations: Sequence[str]) -> frozenset[str]:
    found: set[str] = set()
    for operation in operations:
        if operation not in METHODS and operation not in GROUPS:
            known = sorted({*METHODS, *GROUPS})
            raise ValueError(
                f"a log has no operation {operation!r}{did_you_mean(operation, known)} (it has {', '.join(known)})"
            )
        found |= GROUPS.get(operation, {operation})
    if not found:
        raise ValueError("name at least one operation: a method of the log, or '*' for all")
    return frozenset(found)


def _first_half(answer: Any) -> Any:
    """The first half of a result, None if that is empty."""
    if isinstance(answer, Batch):
        entries = answer.entries[: len(answer.entries) // 2]
        if not entries:
            return None
        position, entry = entries[-1]
        return Batch(entries, Cursor(answer.cursor.log_id, position, entry.id))
    if isinstance(answer, Claims):
        started = answer.started[: len(answer.started) // 2]
        return msgspec.structs.replace(answer, started=started) if started else None
    return answer[: len(answer) // 2] or None


def _unavailable() -> BackendUnavailable:
    return BackendUnavailable("the backend is unavailable: an injected fault")


async def _nothing() -> None: ...
