"""Testing: `TestEngine` for triggers, fault injection for logs, and `testing.conformance` for backend authors."""

from trigger_engine.testing._engine import StuckTask, TestEngine, UnexpectedFailure
from trigger_engine.testing._faults import Faults, Hold, Rule
from trigger_engine.testing._faulty_log import FaultyBackend, FaultyLog, inject_faults
from trigger_engine.testing._observed import FiredRun, RejectedRun

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
