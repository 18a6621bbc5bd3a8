"""The invocation that the running code belongs to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol


class Outbox(Protocol):
    """Forwards the emits and calls of a task that runs in a child process."""

    def emit(self, events: Sequence[tuple[str, Mapping[str, Any] | None, str | None]]) -> list[str]:
        """Emits events (code, payload, idempotency key) through the parent process; returns their ids."""
        ...

    def enqueue(self, call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Calls a task (or a task with options) through the parent process; returns its invocation."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentInvocation:
    """The invocation that the calling code runs in.

    Attributes: `app_id`, `invocation_id`, `task_id`; `attempt` counts from 1; `arguments` maps parameter names to
    values; `trigger_run_id` is None unless a trigger started the invocation; `depth` is the number of trigger runs in
    the chain that led to it.
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
        """Numbers the emits and calls of an attempt. A re-executed attempt gets the same numbers."""
        return next(self._ordinals)


running: ContextVar[CurrentInvocation | None] = ContextVar("trigger_engine_invocation", default=None)


def current_invocation() -> CurrentInvocation | None:
    """The invocation that the calling code runs in, None outside tasks."""
    return running.get()


def _reset_after_fork() -> None:
    """Clears the invocation: a forked child has neither the runner's loop nor a connection to the runner."""
    running.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
