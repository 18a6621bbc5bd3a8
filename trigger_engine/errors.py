"""The errors of this package. Every error that it raises on purpose is a `TriggerEngineError`."""

from __future__ import annotations

from functools import partial

__all__ = [
    "BackendNotInstalled",
    "BackendUnavailable",
    "ConfigError",
    "DeclarationError",
    "InvocationCancelled",
    "InvocationNotFound",
    "LogReplaced",
    "LogTrimmed",
    "NothingStored",
    "PayloadTooLarge",
    "QueryError",
    "RecordNotFound",
    "ResultTimeout",
    "RunnerLost",
    "SerializationError",
    "SyncInAsyncError",
    "TaskFailed",
    "TaskTimeout",
    "TriggerEngineError",
    "UnknownTask",
]


class TriggerEngineError(Exception):
    """Base class of all errors of this package. A driver's own error is kept as `__cause__`."""


class ConfigError(TriggerEngineError, ValueError):
    """The configuration is invalid. The message names the key, its source and the fix."""


class BackendNotInstalled(ConfigError):
    """The distribution of the configured backend is not installed. The message names what to install."""


class DeclarationError(TriggerEngineError, ValueError):
    """A task or trigger declaration is invalid. Raised at the declaration; the message names the fix."""


class UnknownTask(TriggerEngineError):
    """No task with this id is declared. The message suggests the closest known id."""


class SerializationError(TriggerEngineError, TypeError):
    """A value cannot be encoded or decoded. Raised before anything is stored."""


class PayloadTooLarge(TriggerEngineError, ValueError):
    """An encoded payload, result or set of arguments exceeds `max_payload_bytes`."""


class ResultTimeout(TriggerEngineError, TimeoutError):
    """`Invocation.result(timeout=…)` timed out. The invocation continues."""


class TaskFailed(TriggerEngineError):
    """The invocation ended FAILED.

    Attributes: `invocation_id`, `task_id`, `exception_type` (class name), `exception_message` (also as `message`),
    `traceback` (text).
    """

    def __init__(
        self, *, invocation_id: str, task_id: str, exception_type: str, exception_message: str, traceback: str
    ) -> None:
        super().__init__(f"{task_id} (invocation:{invocation_id}) failed: {exception_type}: {exception_message}")
        self.invocation_id = invocation_id
        self.task_id = task_id
        self.exception_type = exception_type
        self.exception_message = exception_message
        self.traceback = traceback

    @property
    def message(self) -> str:
        """The same as `exception_message`."""
        return self.exception_message

    def __reduce__(self) -> tuple[partial[TaskFailed], tuple[()]]:
        # By default exceptions are pickled with positional arguments, but this class takes keywords only.
        names = ("invocation_id", "task_id", "exception_type", "exception_message", "traceback")
        return partial(TaskFailed, **{name: getattr(self, name) for name in names}), ()


class TaskTimeout(TriggerEngineError):
    """A task ran longer than its `timeout`. The attempt fails with this exception type."""


class InvocationCancelled(TriggerEngineError):
    """The invocation was cancelled, so it has no result."""


class InvocationNotFound(TriggerEngineError):
    """The log has no invocation with this id: it is unknown, or retention removed it."""


class RecordNotFound(TriggerEngineError, LookupError):
    """The history has no record with this id: it is unknown, or retention removed it."""


class QueryError(TriggerEngineError, ValueError):
    """A history query has an invalid argument, such as a naive datetime, a limit out of range or a foreign cursor."""


class RunnerLost(TriggerEngineError):
    """The runner of the invocation was lost more than `max_recoveries` times. It is not run again."""


class SyncInAsyncError(TriggerEngineError, RuntimeError):
    """`app.sync` was called in a thread that runs an event loop. Await the same method of the app instead."""


class BackendUnavailable(TriggerEngineError, ConnectionError):
    """The backend cannot be reached or used. The message names the backend and the next step."""


class NothingStored(BackendUnavailable):
    """The backend is unavailable, and the call certainly had no effect and never will."""


class LogReplaced(TriggerEngineError):
    """The log was restored, replaced or failed over while it was being read. Read it from the start."""


class LogTrimmed(TriggerEngineError):
    """Retention removed the entry at the requested position. Start from the newest checkpoint."""
