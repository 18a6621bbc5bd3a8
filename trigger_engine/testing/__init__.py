"""Testing your triggers: `TestEngine`; faults below the log's contract; for backend authors, `testing.conformance`."""

from trigger_engine.testing.engine import StuckTask, TestEngine, UnexpectedFailure
from trigger_engine.testing.faults import Faults, Hold, Rule
from trigger_engine.testing.faulty_log import FaultyBackend, FaultyLog, inject_faults
from trigger_engine.testing.observed import FiredRun, RejectedRun

__all__ = [
    "Faults",
    "FaultyBackend",
    "FaultyLog",
    "FiredRun",
    "Hold",
    "RejectedRun",
    "Rule",
    "StuckTask",
    "TestEngine",
    "UnexpectedFailure",
    "inject_faults",
]
