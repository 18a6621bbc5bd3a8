"""Many processes whose server is stopped, killed and hangs. Takes minutes, so only `nox -s faults` runs it."""

from pathlib import Path

import pytest

from tests.robustness.chaos.test_chaos import disturb

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]


async def test_faults_of_processes_and_server_lose_and_repeat_nothing(tmp_path: Path) -> None:
    await disturb("mongodb", tmp_path / "run")
