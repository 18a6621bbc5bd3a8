"""History: a read model folded from the log, for the monitor, the command line and audits."""

from trigger_engine.history.history import History
from trigger_engine.history.opening import open_history
from trigger_engine.history.records import (
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

__all__ = [
    "ActivityRecord",
    "ConditionRecord",
    "EventRecord",
    "Family",
    "FamilyLink",
    "FamilyMember",
    "FilterRecord",
    "FunctionRecord",
    "History",
    "InvocationRecord",
    "NoticeRecord",
    "OverviewRecord",
    "Page",
    "ParticipantRecord",
    "ProviderRecord",
    "RunnerRecord",
    "StatusRecord",
    "TriggerRecord",
    "TriggerRunRecord",
    "VoidRecord",
    "open_history",
]
