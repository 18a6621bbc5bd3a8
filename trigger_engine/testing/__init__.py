"""Testing your triggers: `TestEngine`; for backend authors, the conformance suite in `testing.conformance`."""

from trigger_engine.testing.engine import TestEngine, UnexpectedFailure
from trigger_engine.testing.observed import FiredRun, RejectedRun

__all__ = ["FiredRun", "RejectedRun", "TestEngine", "UnexpectedFailure"]
