"""The whole suite in one class."""

from __future__ import annotations

from trigger_engine.testing.conformance._appending import AppendingSuite, TermsSuite
from trigger_engine.testing.conformance._claiming import ClaimingSuite, DueSuite, HoldingSuite, InvocationSuite
from trigger_engine.testing.conformance._comparison import ComparisonSuite
from trigger_engine.testing.conformance._following import FollowingSuite, ReplacedLogSuite, SharedStoreSuite
from trigger_engine.testing.conformance._retention import ClearingSuite, TrimmingSuite
from trigger_engine.testing.conformance._roles import CheckpointsSuite, LeasesSuite, RunnersSuite
from trigger_engine.testing.conformance._settling import SettlingSuite


class LogConformance(
    AppendingSuite,
    TermsSuite,
    FollowingSuite,
    SharedStoreSuite,
    ReplacedLogSuite,
    ClaimingSuite,
    DueSuite,
    HoldingSuite,
    InvocationSuite,
    SettlingSuite,
    LeasesSuite,
    RunnersSuite,
    CheckpointsSuite,
    TrimmingSuite,
    ClearingSuite,
    ComparisonSuite,
):
    """Every promise of the backend contract."""
