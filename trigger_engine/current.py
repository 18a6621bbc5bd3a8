"""Which invocation the running code belongs to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from trigger_engine.event import Event


class Outbox(Protocol):
    """Where a task's emits and calls go when it does not run in the engine's own process."""

    def emit(self, events: Sequence[Event]) -> list[str]:
        """Emits through the parent process; returns the event ids."""
        ...

    def enqueue(self, call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Calls a task (or a task with options) through the parent process; returns its invocation."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentInvocation:
    """The invocation that the calling code runs in.

    Attributes: `app_id`, `invocation_id`, `task_id`; `attempt` counts from 1; `arguments` maps parameter names to
    values; `trigger_run_id` is None for a plain call; `depth` is the number of triggers behind it.
    """

    app_id: str
    invocation_id: str
    task_id: str
    attempt: int
    arguments: Mapping[str, Any]
    trigger_run_id: str | None
    depth: int
    claim_id: str = ""
    loop: asyncio.AbstractEventLoop | None = field(default=None, repr=False)
    outbox: Outbox | None = field(default=None, repr=False)
    _ordinals: count[int] = field(default_factory=count, repr=False)

    def next_ordinal(self) -> int:
        """A number for the next emit or call of this attempt, the same when the attempt is run again."""
        return next(self._ordinals)


running: ContextVar[CurrentInvocation | None] = ContextVar("trigger_engine_invocation", default=None)


def current_invocation() -> CurrentInvocation | None:
    """The invocation that the calling code runs in, None outside a task."""
    return running.get()


def _forget() -> None:
    """A forked child has neither the runner's loop nor its own connection to a runner."""
    running.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
