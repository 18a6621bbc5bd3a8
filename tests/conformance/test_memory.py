"""The memory log keeps the contract."""

import copy

import pytest

from trigger_engine._storage.memory.log import MemTrigger
from trigger_engine.testing._clock import ManualClock
from trigger_engine.testing.conformance import LogConformance, LogHarness


class MemoryHarness(LogHarness):
    def __init__(self) -> None:
        self.clock: ManualClock = ManualClock(1_800_000_000.0)
        self._backends: dict[str, MemTrigger] = {}

    def backend(self, app_id: str) -> MemTrigger:
        return self._backends.setdefault(app_id, MemTrigger(app_id=app_id, steady=self.clock))

    async def pass_time(self, seconds: float) -> None:
        self.clock.move_to(self.clock.now + seconds)

    async def save(self) -> object:
        return {app_id: copy.deepcopy(backend.store.contents) for app_id, backend in self._backends.items()}

    async def restore(self, saved: object) -> None:
        assert isinstance(saved, dict)
        for app_id, contents in saved.items():
            self._backends[app_id].store.contents = copy.deepcopy(contents)


@pytest.fixture
def harness() -> MemoryHarness:
    return MemoryHarness()


class TestMemoryLog(LogConformance):
    pass
