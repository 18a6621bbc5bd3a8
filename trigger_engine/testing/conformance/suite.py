"""The whole suite in one class."""

from __future__ import annotations

from trigger_engine.testing.conformance.appending import AppendingSuite, TermsSuite
from trigger_engine.testing.conformance.claiming import ClaimingSuite, DueSuite, HoldingSuite, InvocationSuite
from trigger_engine.testing.conformance.comparison import ComparisonSuite
from trigger_engine.testing.conformance.following import FollowingSuite, ReplacedLogSuite, SharedStoreSuite
from trigger_engine.testing.conformance.retention import ClearingSuite, TrimmingSuite
from trigger_engine.testing.conformance.roles import CheckpointsSuite, LeasesSuite, RunnersSuite
from trigger_engine.testing.conformance.settling import SettlingSuite


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
