"""The fault-injecting log keeps the contract while no fault is injected."""

import pytest

from tests.conformance.test_memory import MemoryHarness
from trigger_engine.testing import Faults, FaultyBackend
from trigger_engine.testing.conformance import LogConformance


class FaultyHarness(MemoryHarness):
    def backend(self, app_id: str) -> FaultyBackend:  # type: ignore[override]
        return FaultyBackend(super().backend(app_id), Faults())


@pytest.fixture
def harness() -> FaultyHarness:
    return FaultyHarness()


class TestFaultyLog(LogConformance):
    pass
