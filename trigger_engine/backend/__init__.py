"""For backend authors: the contract, the settings base, and the building blocks that logs share.

A backend is a `Backend` that opens an `EventLog`, registered as an entry point of the group `trigger_engine.backends`.
`trigger_engine.testing.conformance` holds the tests that every backend must pass.
"""

from trigger_engine._engine.lifecycle import HELD, MOVES, WAITING, InvocationState, InvocationStatus, move
from trigger_engine._model.encoding import decode_entry, encode_entry
from trigger_engine._model.entries import (
    EMPTY_MAP,
    AnyEntry,
    EventEmitted,
    Failed,
    HandedBack,
    InvocationRegistered,
    Judged,
    LeaderElected,
    Position,
    Retried,
    Started,
    StatusEntry,
    Succeeded,
)
from trigger_engine.backend._append_validation import (
    REGISTRATIONS,
    LogState,
    Registration,
    check_status_entries_alone,
    initial_state,
    is_keyed,
    is_leader_entry,
)
from trigger_engine.backend._claim_tracking import ReportedClaims, compare_claims, start_entry
from trigger_engine.backend._contract import (
    Accepted,
    Backend,
    Batch,
    Check,
    Checkpoint,
    Claims,
    Clock,
    Cursor,
    EventLog,
    Invocation,
    Outcome,
    Part,
    Refused,
    RunnerFacts,
    RunnerRow,
)
from trigger_engine.backend._cursor import check_cursor
from trigger_engine.backend._ids import fresh_id
from trigger_engine.backend._log_lifecycle import log_closed_error, open_or_close
from trigger_engine.backend._memory_store import LogNotifiers, MemoryContents, MemoryStore
from trigger_engine.backend._notifier import Notifier
from trigger_engine.backend._rendezvous import RecentClaimers, ranks_first
from trigger_engine.backend._retry import Backoff, Retries, unavailable_error
from trigger_engine.backend._run_queue import RunQueue
from trigger_engine.backend._settings import ServerSettings
from trigger_engine.backend._single_flight import SingleFlight

__all__ = [
    "EMPTY_MAP",
    "HELD",
    "MOVES",
    "REGISTRATIONS",
    "WAITING",
    "Accepted",
    "AnyEntry",
    "Backend",
    "Backoff",
    "Batch",
    "Check",
    "Checkpoint",
    "Claims",
    "Clock",
    "Cursor",
    "EventEmitted",
    "EventLog",
    "Failed",
    "HandedBack",
    "Invocation",
    "InvocationRegistered",
    "InvocationState",
    "InvocationStatus",
    "Judged",
    "LeaderElected",
    "LogNotifiers",
    "LogState",
    "MemoryContents",
    "MemoryStore",
    "Notifier",
    "Outcome",
    "Part",
    "Position",
    "RecentClaimers",
    "Refused",
    "Registration",
    "ReportedClaims",
    "Retried",
    "Retries",
    "RunQueue",
    "RunnerFacts",
    "RunnerRow",
    "ServerSettings",
    "SingleFlight",
    "Started",
    "StatusEntry",
    "Succeeded",
    "check_cursor",
    "check_status_entries_alone",
    "compare_claims",
    "decode_entry",
    "encode_entry",
    "fresh_id",
    "initial_state",
    "is_keyed",
    "is_leader_entry",
    "log_closed_error",
    "move",
    "open_or_close",
    "ranks_first",
    "start_entry",
    "unavailable_error",
]
