"""What goes wrong below a log's contract, by a test's script: which call fails, when, and in which way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from random import Random
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import msgspec

from trigger_engine.entries.facts import AnyEntry
from trigger_engine.errors import BackendUnavailable
from trigger_engine.log.contract import Batch, Bookmark, Claims, EventLog, Part
from trigger_engine.suggestions import did_you_mean

T = TypeVar("T")
Behaviour = Callable[[], Awaitable[object]]
Stage = Literal["before", "after", "answer"]

METHODS: frozenset[str] = frozenset(EventLog.__abstractmethods__ - {"close"}) | {"open"}
"""The calls that can go wrong: the log's methods by their names, and `open`, the backend's."""

GROUPS: dict[str, frozenset[str]] = {
    "leases": frozenset({"acquire", "release"}),
    "checkpoints": frozenset({"save_checkpoint", "load_checkpoint"}),
    "recover": frozenset({"orphans"}),
    "*": METHODS,
}
"""Names that stand for several methods."""

CUT_SHORT: frozenset[str] = frozenset({"follow", "claim", "orphans"})
"""Methods whose answer is a list, of which the contract lets a part be given."""


class When(TypedDict, total=False):
    """Which of the calls it strikes; every one unless told otherwise.

    nth: only the n-th call from now on, counted from 1. times: at most so many. chance: each with this probability,
    drawn from the seed. entries: only appends that hold an entry of this type, or of one of these.
    """

    nth: int
    times: int
    chance: float
    entries: type[AnyEntry] | tuple[type[AnyEntry], ...]


class Rule:
    """One thing that goes wrong. `calls`: how many it could have struck; `struck`: how many it did."""

    def __init__(self, methods: frozenset[str], stage: Stage, behaviour: Behaviour, when: When, random: Random) -> None:
        self.methods = methods
        self.stage = stage
        self.calls = 0
        self.struck = 0
        self._behaviour = behaviour
        self._when = when
        self._random = random

    def strikes(self, method: str, parts: Sequence[Part]) -> bool:
        """Whether it strikes this call, which is counted."""
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
        """Does what it is there for."""
        await self._behaviour()


class Hold:
    """Calls that are slow for as long as the test says. `waiting`: how many wait now."""

    def __init__(self) -> None:
        self.waiting = 0
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def reached(self) -> None:
        """Returns when a call has been held."""
        await self._reached.wait()

    def release(self) -> None:
        """Lets go of what is held, and holds nothing more."""
        self._released.set()

    async def _wait(self) -> None:
        self.waiting += 1
        self._reached.set()
        try:
            await self._released.wait()
        finally:
            self.waiting -= 1


class Faults:
    """The script of one log. Faults stay until `mend`; several may strike one call, in the order of their making.

    Operations are the log's methods by name (`append`, `follow`, `claim`, …), `open`, or one of the groups `leases`,
    `checkpoints`, `recover` and `*`; ValueError for others. `calls` counts the calls of each method. The same `seed`
    draws the same chances.
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
        """They raise, without effect; or `after` they took effect, so that the caller cannot know that they did.

        `error` makes what is raised; BackendUnavailable unless told otherwise.
        """
        make_error = error or _unavailable

        async def raise_error() -> None:
            await asyncio.sleep(0)
            raise make_error()

        return self.call(*operations, behaviour=raise_error, after=after, **when)

    def cut_short(self, *operations: str, **when: Unpack[When]) -> Rule:
        """They answer with the first half of what they have, and fail the next time; what has no half is lost whole.

        For `follow`, `claim` and `recover`; ValueError for others.
        """
        methods = _methods(operations)
        if not methods <= CUT_SHORT:
            raise ValueError(f"{sorted(methods - CUT_SHORT)} have no answer of parts: cut short {sorted(CUT_SHORT)}")
        return self._add(methods, "answer", _nothing, when)

    def hold(self, *operations: str, after: bool = False, **when: Unpack[When]) -> Hold:
        """They are slow: they wait, before or `after` they take effect, until the hold is released or all is mended."""
        hold = Hold()
        self._holds.append(hold)
        self.call(*operations, behaviour=hold._wait, after=after, **when)
        return hold

    def cancel(self, *operations: str, after: bool = False, **when: Unpack[When]) -> Rule:
        """The task that makes the call is cancelled in it, before or `after` it takes effect."""

        async def cancel_caller() -> None:
            caller = asyncio.current_task()
            assert caller is not None
            caller.cancel("cancelled by the test's fault")
            await asyncio.sleep(0)

        return self.call(*operations, behaviour=cancel_caller, after=after, **when)

    def call(self, *operations: str, behaviour: Behaviour, after: bool = False, **when: Unpack[When]) -> Rule:
        """They await a function of your own, before or `after` they take effect; it may raise or wait."""
        return self._add(_methods(operations), "after" if after else "before", behaviour, when)

    def mend(self, rule: Rule | None = None) -> None:
        """Takes back one rule, or all of them; then nothing goes wrong any more, and what is held goes on."""
        if rule is not None:
            self._rules.remove(rule)
            return
        self._rules.clear()
        for hold in self._holds:
            hold.release()

    async def around(self, method: str, work: Callable[[], Awaitable[T]], parts: Sequence[Part] = ()) -> T:
        """Makes one call of a log, with what strikes it. `parts`: what it appends."""
        self.calls[method] += 1
        for rule in self._striking(method, parts, {"before"}):
            await rule.act()
        answer = await work()
        # Asked now, so that a call that waits inside the log while the rule is made is struck, too.
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
            raise ValueError(f"a log has no {operation!r}{did_you_mean(operation, known)} (it has {', '.join(known)})")
        found |= GROUPS.get(operation, {operation})
    if not found:
        raise ValueError("say which operations: the names of the log's methods, or '*' for all")
    return frozenset(found)


def _first_half(answer: Any) -> Any:
    """The beginning of an answer, None where it has no half."""
    if isinstance(answer, Batch):
        entries = answer.entries[: len(answer.entries) // 2]
        if not entries:
            return None
        position, entry = entries[-1]
        return Batch(entries, Bookmark(answer.bookmark.log_id, position, entry.id))
    if isinstance(answer, Claims):
        started = answer.started[: len(answer.started) // 2]
        return msgspec.structs.replace(answer, started=started) if started else None
    return answer[: len(answer) // 2] or None


def _unavailable() -> BackendUnavailable:
    return BackendUnavailable("the backend is away: the test's fault")


async def _nothing() -> None: ...
