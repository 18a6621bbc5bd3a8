"""trigger-engine: an asyncio-native, event-sourced trigger engine.

A rule ("run this task when …") is declared on the task that reacts. Everything that happens is appended to an event
log; a matcher folds the log and fires triggers; runners execute their tasks.
"""

import logging

from trigger_engine.app import TriggerEngine
from trigger_engine.core.contexts import (
    CallArguments,
    CronContext,
    EventContext,
    ExceptionContext,
    ResultContext,
    StatusContext,
    TriggerContext,
)
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.current import CurrentInvocation, current_invocation
from trigger_engine.engine_builder import TriggerEngineBuilder
from trigger_engine.errors import (
    BackendNotInstalled,
    BackendUnavailable,
    ConfigError,
    DeclarationError,
    InvocationCancelled,
    InvocationNotFound,
    LogReplaced,
    LogTrimmed,
    PayloadTooLarge,
    QueryError,
    RecordNotFound,
    ResultTimeout,
    RunnerLost,
    SerializationError,
    SyncInAsyncError,
    TaskFailed,
    TaskTimeout,
    TriggerEngineError,
    UnknownTask,
)
from trigger_engine.event import Event
from trigger_engine.invocation import Invocation
from trigger_engine.sync import SyncInvocation
from trigger_engine.task import AsyncTask, SyncTask, Task
from trigger_engine.trigger_builder import TriggerBuilder

__all__ = [
    "AsyncTask",
    "BackendNotInstalled",
    "BackendUnavailable",
    "CallArguments",
    "ConfigError",
    "CronContext",
    "CurrentInvocation",
    "DeclarationError",
    "Event",
    "EventContext",
    "ExceptionContext",
    "Invocation",
    "InvocationCancelled",
    "InvocationNotFound",
    "InvocationStatus",
    "LogReplaced",
    "LogTrimmed",
    "PayloadTooLarge",
    "QueryError",
    "RecordNotFound",
    "ResultContext",
    "ResultTimeout",
    "RunnerLost",
    "SerializationError",
    "StatusContext",
    "SyncInAsyncError",
    "SyncInvocation",
    "SyncTask",
    "Task",
    "TaskFailed",
    "TaskTimeout",
    "TriggerBuilder",
    "TriggerContext",
    "TriggerEngine",
    "TriggerEngineBuilder",
    "TriggerEngineError",
    "UnknownTask",
    "current_invocation",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
