"""Tasks by their ids."""

from typing import Any

from trigger_engine import AsyncTask, SyncTask, Task, TriggerEngine


def task_of(app: TriggerEngine, task_id: str) -> Task[..., Any]:
    """The task that the app declares under this id. Raises UnknownTask."""
    definition = app._internals.registry.task(task_id)
    kind = AsyncTask if definition.is_async else SyncTask
    return kind(app._internals, definition)
