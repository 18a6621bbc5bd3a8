"""Sites at which no scenario waits, each with the reason. A site that is waited at all the same must leave the list."""

from __future__ import annotations

from dataclasses import dataclass

from tests.robustness.faults.awaits import Kind, Site, source_line

_NEVER_WAITS = "this end of it returns without waiting"
_KEEPS_VOID = "only where a log keeps void entries; memory and SQLite refuse them"


@dataclass(frozen=True, slots=True)
class Unvisited:
    """Sites of a module, or of every one ("*"), by what stands on their line."""

    module: str
    text: str
    kinds: tuple[Kind, ...]
    reason: str

    def holds(self, site: Site) -> bool:
        """Whether it speaks of this site."""
        of_module = self.module in {"*", site.module}
        return of_module and site.kind in self.kinds and self.text in source_line(site)


UNVISITED = (
    Unvisited("*", "async with asyncio.timeout", ("enter", "exit"), _NEVER_WAITS),
    Unvisited("*", "async with asyncio.TaskGroup(", ("enter",), _NEVER_WAITS),
    Unvisited("*", "AsyncExitStack() as stack:", ("enter",), _NEVER_WAITS),
    Unvisited("*", "asyncio.Lock()", ("exit",), _NEVER_WAITS),
    Unvisited("_readmodel/catch_up.py", "async with self._lock:", ("exit",), _NEVER_WAITS),
    Unvisited("_storage/memory/log.py", "await self.runners()", ("await",), "no call of the memory log waits"),
    Unvisited(
        "_client/invocation.py",
        "session = await self._internals.connections.session()",
        ("await",),
        "in `result` the session is open, for `_stored` has opened it; the others are visited",
    ),
    Unvisited(
        "_client/invocation.py",
        "session.results.ended(self.invocation_id)).latest",
        ("await",),
        _KEEPS_VOID,
    ),
    Unvisited("_readmodel/catch_up.py", "void_only = await self._find_void_only(batch)", ("await",), _KEEPS_VOID),
    Unvisited("_readmodel/catch_up.py", "unregistered = await self._database.update", ("await",), _KEEPS_VOID),
    Unvisited("_readmodel/catch_up.py", "(await self._invocations(unregistered))", ("await",), _KEEPS_VOID),
    Unvisited(
        "_runtime/worker/processes.py",
        "await child.kill()",
        ("await",),
        "a child has to die in the moment in which it is taken: tests/integration/runtime/test_child_processes.py",
    ),
    Unvisited(
        "_runtime/worker/processes.py",
        "await child.send(await self._answer(message))",
        ("await",),
        "an answer is smaller than what a connection takes at once; its making is visited",
    ),
)

SELDOM: tuple[Unvisited, ...] = ()
"""Sites at which something waits now and then, so that a cancellation there need not come about; all others must."""
