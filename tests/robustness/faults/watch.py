"""Watching where tasks are suspended, and cancelling them there.

A task factory puts a `Watched` around each coroutine; what it costs is one look at the chain of awaits per suspension.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any, Literal, TypeVar

import anyio

from tests.robustness.faults.awaits import Site, suspended_at

T = TypeVar("T")
Way = Literal["scope", "task"]
WAYS: tuple[Way, ...] = ("scope", "task")

owner: ContextVar[anyio.CancelScope | None] = ContextVar("owner", default=None)
"""The scope around the user's code that has begun what runs now; tasks inherit it from who starts them."""

unwatched: ContextVar[bool] = ContextVar("unwatched", default=False)
"""True in the scenario's own looks at how far things are."""


class Strike:
    """One cancellation: at a site, when a task is suspended there for the `visit`-th time, in one way.

    `scope`: the scope around the code that owns the task, which cancels until it is left. `task`: only the task itself.
    """

    def __init__(self, site: Site, way: Way, *, visit: int = 1) -> None:
        self.site = site
        self.way = way
        self.struck = False
        self.task: asyncio.Task[Any] | None = None
        self._visits_left = visit

    def __str__(self) -> str:
        return f"cancelled by {self.way} at {self.site}"

    def look(self, chain: list[Site]) -> None:
        """Strikes when it is time to. Called in the task that is about to be suspended."""
        if self.struck or self.site not in chain:
            return
        self._visits_left -= 1
        scope = owner.get()
        if self._visits_left > 0 or (self.way == "scope" and scope is None):
            return
        self.struck = True
        if self.way == "scope":
            assert scope is not None
            scope.cancel()
        else:
            task = asyncio.current_task()
            assert task is not None
            self.task = task
            task.cancel()


class Watch:
    """What is seen of one event loop's tasks. `visits`: how often each site was waited at."""

    def __init__(self) -> None:
        self.visits: Counter[Site] = Counter()
        self.strikes: list[Strike] = []

    def install(self) -> None:
        """Watches the tasks that the running loop creates from now on."""
        asyncio.get_running_loop().set_task_factory(self._make_task)

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(Watched(coroutine, self), loop=loop, **options)

    def suspended(self, coroutine: object) -> None:
        """Called when a task is about to wait."""
        if unwatched.get():
            return
        chain = suspended_at(coroutine)
        self.visits.update(set(chain))
        for strike in self.strikes:
            strike.look(chain)


class Watched(Coroutine[Any, Any, T]):
    """A task's coroutine, as itself to everybody but the watch."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], watch: Watch) -> None:
        self._coroutine = coroutine
        self._watch = watch

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._coroutine, attribute)

    def send(self, value: Any, /) -> Any:
        yielded = self._coroutine.send(value)
        self._watch.suspended(self._coroutine)
        return yielded

    def throw(self, *error: Any) -> Any:
        yielded = self._coroutine.throw(*error)
        self._watch.suspended(self._coroutine)
        return yielded

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()
