"""What every test shares: the Hypothesis profiles, the command-line options, and the servers.

`ci` gives the same examples in every run, `dev` looks for new ones, `quick` tries few. HYPOTHESIS_PROFILE chooses; the
default is `ci` where CI is set, else `dev`.
"""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.support import rotation
from tests.support.backends import backend
from tests.support.order import slow_first
from tests.support.servers.shared import SharedServers
from tests.support.skips import OPTION, SkipCount

__all__ = ["backend"]

settings.register_profile(
    "ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.register_profile("dev", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("dev"), max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what it puts in the background; programs under test would inherit it, and ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--no-skips` and `--rotate-servers`; their modules say what they do."""
    parser.addoption(OPTION, action="store_true", help="a skipped test fails the run")
    parser.addoption(rotation.OPTION, action="store_true", help="a test runs on one server instead of on every one")


def pytest_configure(config: pytest.Config) -> None:
    """In parallel, the process that the others report to counts."""
    if config.getoption(OPTION) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipCount())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The servers take turns if they shall; in parallel the slow tests come first."""
    if config.getoption(rotation.OPTION):
        items[:], left_out = rotation.rotated(items)
        config.hook.pytest_deselected(items=left_out)
    if worker := getattr(config, "workerinput", None):
        items[:] = slow_first(items, worker["workercount"])


SERVERS = pytest.StashKey[SharedServers]()


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SharedServers:
    """Real servers, shared by all processes of this run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / "servers"
    return request.config.stash.setdefault(SERVERS, SharedServers(folder, in_memory=True))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Ends the servers. They wait for other workers, which no fixture may: its time counts for the last test."""
    if shared := session.config.stash.get(SERVERS, None):
        shared.close()
