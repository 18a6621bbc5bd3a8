"""The conformance suite: every promise of the backend contract as a test.

A backend's test module gives a fixture and takes the suite (pytest with asyncio_mode = "auto"):

    @pytest.fixture
    def harness(tmp_path): return MyHarness(tmp_path)

    class TestMyLog(LogConformance): ...
"""

from trigger_engine.testing.conformance.harness import LogHarness
from trigger_engine.testing.conformance.suite import LogConformance

__all__ = ["LogConformance", "LogHarness"]
