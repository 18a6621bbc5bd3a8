"""What every test shares: the Hypothesis profiles, and the servers that a test run starts when it needs them.

`ci` gives the same examples in every run; `dev` looks for new ones. HYPOTHESIS_PROFILE chooses, else `ci` where CI is
set, else `dev`.
"""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.backends import backend
from tests.support.order import slow_first
from tests.support.servers.memory import folder_in_memory
from tests.support.servers.shared import SharedServers
from tests.support.skips import OPTION, SkipCount

__all__ = ["backend"]

settings.register_profile(
    "ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.register_profile("dev", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what it puts in the background; programs under test would inherit it, and ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--no-skips`; its module says what it does."""
    parser.addoption(OPTION, action="store_true", help="a skipped test fails the run")


def pytest_configure(config: pytest.Config) -> None:
    """In parallel, the process that the others report to counts."""
    if config.getoption(OPTION) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipCount())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In parallel the slow tests come first."""
    if worker := getattr(config, "workerinput", None):
        items[:] = slow_first(items, worker["workercount"])


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServers]:
    """Real servers for the tests of this process."""
    with folder_in_memory(tmp_path_factory.mktemp("servers")) as folder, SharedServers(folder) as shared:
        yield shared
