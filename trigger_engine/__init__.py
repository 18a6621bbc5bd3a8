"""trigger-engine: an asyncio-native, event-sourced trigger engine.

A trigger ("run this task when …") is declared on the task that it runs. Events, task calls and their outcomes are
appended to an event log. A matcher reads the log and fires triggers, and runners execute the tasks.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from trigger_engine._app.app import TriggerEngine
from trigger_engine._app.builder import TriggerEngineBuilder
from trigger_engine._client.current import CurrentInvocation, current_invocation
from trigger_engine._client.events import Event
from trigger_engine._client.invocation import Invocation
from trigger_engine._client.sync import SyncInvocation
from trigger_engine._client.task import AsyncTask, SyncTask, Task
from trigger_engine._declare.builder import TriggerBuilder
from trigger_engine._engine.contexts import (
    CallArguments,
    CronContext,
    EventContext,
    ExceptionContext,
    ResultContext,
    StatusContext,
    TriggerContext,
)
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._readmodel.records import (
    ActivityRecord,
    ConditionRecord,
    EventRecord,
    Family,
    FamilyLink,
    FamilyMember,
    FilterRecord,
    FunctionRecord,
    InvocationRecord,
    NoticeRecord,
    OverviewRecord,
    Page,
    ParticipantRecord,
    ProviderRecord,
    RunnerRecord,
    StatusRecord,
    TriggerRecord,
    TriggerRunRecord,
    VoidRecord,
)
from trigger_engine._runtime.log_format import InvocationFilter
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

if TYPE_CHECKING:
    from trigger_engine._audit.auditing import audit
    from trigger_engine._audit.join_state import AuditLimits
    from trigger_engine._audit.report import AuditReport, Violation
    from trigger_engine._audit.user_code import UserCode
    from trigger_engine._readmodel.history import History

__all__ = [
    "ActivityRecord",
    "AsyncTask",
    "AuditLimits",
    "AuditReport",
    "BackendNotInstalled",
    "BackendUnavailable",
    "CallArguments",
    "ConditionRecord",
    "ConfigError",
    "CronContext",
    "CurrentInvocation",
    "DeclarationError",
    "Event",
    "EventContext",
    "EventRecord",
    "ExceptionContext",
    "Family",
    "FamilyLink",
    "FamilyMember",
    "FilterRecord",
    "FunctionRecord",
    "History",
    "Invocation",
    "InvocationCancelled",
    "InvocationFilter",
    "InvocationNotFound",
    "InvocationRecord",
    "InvocationStatus",
    "LogReplaced",
    "LogTrimmed",
    "NoticeRecord",
    "OverviewRecord",
    "Page",
    "ParticipantRecord",
    "PayloadTooLarge",
    "ProviderRecord",
    "QueryError",
    "RecordNotFound",
    "ResultContext",
    "ResultTimeout",
    "RunnerLost",
    "RunnerRecord",
    "SerializationError",
    "StatusContext",
    "StatusRecord",
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
    "TriggerRecord",
    "TriggerRunRecord",
    "UnknownTask",
    "UserCode",
    "Violation",
    "VoidRecord",
    "audit",
    "current_invocation",
]

_LAZY = {
    "AuditLimits": "trigger_engine._audit.join_state",
    "AuditReport": "trigger_engine._audit.report",
    "History": "trigger_engine._readmodel.history",
    "Violation": "trigger_engine._audit.report",
    "UserCode": "trigger_engine._audit.user_code",
    "audit": "trigger_engine._audit.auditing",
}
"""Names imported on first use, so that `import trigger_engine` stays fast."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


logging.getLogger(__name__).addHandler(logging.NullHandler())
