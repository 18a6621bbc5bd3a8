"""The conformance suite: tests for every promise of the backend contract.

A backend's test module defines a fixture and a subclass of the suite (pytest with asyncio_mode = "auto"):

    @pytest.fixture
    def harness(tmp_path): return MyHarness(tmp_path)

    class TestMyLog(LogConformance): ...

A slow backend overrides the comparison with the memory log to run fewer examples:

    class TestMyLog(LogConformance):
        @settings(COMPARISON_SETTINGS, max_examples=20)
        @given(steps=COMPARISON_STEPS)
        async def test_any_calls_have_the_same_effects_as_on_the_memory_log(self, harness, steps):
            await compare_with_memory(harness, steps)
"""

from trigger_engine.testing.conformance._comparison import (
    COMPARISON_SETTINGS,
    COMPARISON_STEPS,
    ComparisonStep,
    compare_with_memory,
)
from trigger_engine.testing.conformance._harness import LogHarness
from trigger_engine.testing.conformance._suite import LogConformance

__all__ = [
    "COMPARISON_SETTINGS",
    "COMPARISON_STEPS",
    "ComparisonStep",
    "LogConformance",
    "LogHarness",
    "compare_with_memory",
]
