"""A declared task as data: its function, its signature, and how it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from trigger_engine._declare.signature import TaskSignature
from trigger_engine._declare.values import is_text
from trigger_engine._engine.retry import RetryPolicy
from trigger_engine.errors import DeclarationError

TASK_OPTIONS = ("triggers", "task_id", "max_retries", "retry_for", "timeout", "queue", "run_in")
"""The keywords of `@app.task(…)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """How a task runs. `timeout`: seconds, None for no limit; `run_in`: None lets the runner decide for `def` tasks."""

    retries: RetryPolicy
    timeout: float | None
    queue: str
    run_in: Literal["thread", "process"] | None


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """What `@app.task` declares, without a way to call it: runners work with this.

    `is_async`: declared with `async def`.
    """

    task_id: str
    func: Callable[..., Any]
    signature: TaskSignature
    settings: TaskSettings
    is_async: bool


def make_settings(
    task_id: str,
    *,
    is_async: bool,
    max_retries: Any,
    retry_for: Any,
    timeout: timedelta | float | None,
    queue: Any,
    run_in: Any,
) -> TaskSettings:
    """Checked settings of a task. Raises DeclarationError naming the task and the option."""
    check_name(task_id, "task_id", task_id)
    classes = retry_for if isinstance(retry_for, tuple) else (retry_for,)
    if not isinstance(max_retries, int) or isinstance(max_retries, bool) or max_retries < 0:
        raise DeclarationError(f"task {task_id}: max_retries is {max_retries!r}: give a whole number, 0 or more")
    if not all(inspect.isclass(c) and issubclass(c, BaseException) for c in classes):
        raise DeclarationError(f"task {task_id}: retry_for is {retry_for!r}: give exception classes, one or a tuple")
    limit = None if timeout is None else seconds(timeout)
    if timeout is not None and (limit is None or not limit > 0):
        raise DeclarationError(f"task {task_id}: timeout is {timeout!r}: give seconds above 0, or None for no limit")
    check_name(task_id, "queue", queue)
    if is_async and run_in is not None:
        raise DeclarationError(
            f"task {task_id}: run_in is for def tasks, an async task runs on the event loop: drop it"
        )
    if run_in not in (None, "thread", "process"):
        raise DeclarationError(f'task {task_id}: run_in is {run_in!r}: give "thread" or "process"')
    retries = RetryPolicy(max_retries=max_retries, retry_for=classes)
    return TaskSettings(retries=retries, timeout=limit, queue=queue, run_in=run_in)


def seconds(given: object) -> float | None:
    """A timedelta or a number as seconds, None for anything else."""
    if isinstance(given, timedelta):
        return given.total_seconds()
    return given if isinstance(given, (int, float)) and not isinstance(given, bool) else None


def check_name(task_id: str, option: str, name: object) -> None:
    """Raises DeclarationError for a name that is empty or that no log could store."""
    if not isinstance(name, str) or not name.strip() or not is_text(name):
        raise DeclarationError(f"task {task_id}: {option} is {name!r}: give a non-empty string")
