"""A whole fleet whose server is stopped, killed and hangs: minutes, so it is run by `nox -s faults` only."""

from pathlib import Path

import pytest

from tests.chaos.test_chaos import disturb

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]


async def test_whatever_is_done_to_processes_and_server_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    await disturb("mongodb", tmp_path / "run")
