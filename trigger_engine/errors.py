"""The whole error tree: every error that the package raises on purpose is a `TriggerEngineError`."""

from __future__ import annotations

from functools import partial


class TriggerEngineError(Exception):
    """Root of every error of this package; a driver's own error stays as `__cause__`."""


class ConfigError(TriggerEngineError, ValueError):
    """The configuration cannot be used; the message names the key, its source and the mend."""


class BackendNotInstalled(ConfigError):
    """The configured backend's distribution is not installed; the message names what to install."""


class DeclarationError(TriggerEngineError, ValueError):
    """A task or trigger is declared wrongly; raised where it is declared, with the mend."""


class UnknownTask(TriggerEngineError):
    """A task id that nothing declares; the message suggests the nearest known id."""


class SerializationError(TriggerEngineError, TypeError):
    """A value cannot be encoded or decoded; raised before anything is stored."""


class PayloadTooLarge(TriggerEngineError, ValueError):
    """An encoded payload, argument set or result is over `max_payload_bytes`."""


class ResultTimeout(TriggerEngineError, TimeoutError):
    """`Invocation.result(timeout=…)` ran out; the invocation goes on."""


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
        """As `exception_message`."""
        return self.exception_message

    def __reduce__(self) -> tuple[partial[TaskFailed], tuple[()]]:
        # Exceptions are pickled with their positional arguments, which this one does not take.
        names = ("invocation_id", "task_id", "exception_type", "exception_message", "traceback")
        return partial(TaskFailed, **{name: getattr(self, name) for name in names}), ()


class TaskTimeout(TriggerEngineError):
    """A task ran longer than its `timeout`; the invocation ends FAILED (or RETRY) with this type."""


class InvocationCancelled(TriggerEngineError):
    """The invocation whose result was asked for was cancelled."""


class InvocationNotFound(TriggerEngineError):
    """No invocation with that id is in the log (unknown, or trimmed by retention)."""


class RecordNotFound(TriggerEngineError, LookupError):
    """History has no event, trigger run or other record with that id (unknown, or purged by retention)."""


class QueryError(TriggerEngineError, ValueError):
    """A question to history that cannot be answered: a time without a zone, a wrong limit, a foreign cursor."""


class RunnerLost(TriggerEngineError):
    """The invocation took its runner down more than `max_recoveries` times and was given up."""


class SyncInAsyncError(TriggerEngineError, RuntimeError):
    """`app.sync` was called on a thread that runs an event loop; await the call on the app instead."""


class BackendUnavailable(TriggerEngineError, ConnectionError):
    """The backend cannot be reached or used now; the message names it and the next step."""


class NothingStored(BackendUnavailable):
    """As BackendUnavailable, and certain: the call has had no effect and never will have one."""


class LogReplaced(TriggerEngineError):
    """The log is not the one that was being read (restored, replaced or failed over): read it from the start."""


class LogTrimmed(TriggerEngineError):
    """The position to read from was removed by retention: start from the newest checkpoint."""
