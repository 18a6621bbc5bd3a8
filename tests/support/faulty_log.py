"""A log that fails when a test says so, before or after the step has taken effect."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from trigger_engine import BackendUnavailable, TriggerEngine
from trigger_engine.log.contract import Backend, Clock
from trigger_engine.session import Connections

Behaviour = Callable[[], Awaitable[None]]


class Faults:
    """What goes wrong, by the name of the log's method; `"*"` stands for all of them.

    `before` and `after` are called around a step, and may raise or wait. `calls` counts the calls of each method.
    `arguments` sees those of every call, and may raise.
    """

    def __init__(self) -> None:
        self.before: dict[str, Behaviour] = {}
        self.after: dict[str, Behaviour] = {}
        self.arguments: Callable[[str, tuple[Any, ...]], None] = lambda name, args: None
        self.calls: Counter[str] = Counter()

    def fail(self, *names: str) -> None:
        """These methods raise BackendUnavailable from now on, and do nothing."""
        self.before.update(dict.fromkeys(names, _unavailable))

    def fail_after(self, *names: str) -> None:
        """These methods take effect and then raise BackendUnavailable, from now on."""
        self.after.update(dict.fromkeys(names, _unavailable))

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        self.before.clear()
        self.after.clear()
        self.arguments = lambda name, args: None


async def _unavailable() -> None:
    await asyncio.sleep(0)
    raise BackendUnavailable("the test says that the backend is down")


class FaultyLog:
    """A log around another one."""

    def __init__(self, inner: Any, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(found) or name == "close":
            return found

        async def step(*args: Any, **kwargs: Any) -> Any:
            faults = self._faults
            faults.calls[name] += 1
            faults.arguments(name, args)
            for behaviour in (faults.before.get(name), faults.before.get("*")):
                if behaviour is not None:
                    await behaviour()
            result = await found(*args, **kwargs)
            for behaviour in (faults.after.get(name), faults.after.get("*")):
                if behaviour is not None:
                    await behaviour()
            return result

        return step


class _FaultyBackend:
    def __init__(self, inner: Backend, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def open(self, *, clock: Clock) -> Any:
        return FaultyLog(await self._inner.open(clock=clock), self._faults)


def inject_faults(app: TriggerEngine) -> Faults:
    """Puts a log that can fail between the app and its own; before the app is entered."""
    faults = Faults()
    connections = app._connections
    app._connections = Connections(_FaultyBackend(connections.backend, faults), connections.clock)  # type: ignore[arg-type]
    return faults
