"""The servers that tests start: private, of their own folder, replaceable, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from tests.support.programs import is_alive
from tests.support.project import ROOT
from tests.support.servers import redis_servers
from tests.support.servers.memory import PREFIX, folder_in_memory
from tests.support.servers.private_server import HOST, ServerMissing
from tests.support.servers.redis_servers import RedisServer, ValkeyServer
from tests.support.servers.shared import SharedServers
from tests.support.waiting import wait_until_true

pytestmark = pytest.mark.servers

STARTS_A_SERVER = """
import sys, time
from pathlib import Path
from tests.support.servers.redis_servers import ValkeyServer
print(ValkeyServer(Path(sys.argv[1])).start().pid, flush=True)
time.sleep(60)
"""


def ask(server: ValkeyServer, *words: str) -> str:
    """What a server answers to one command."""
    with socket.create_connection((HOST, server.port), timeout=5) as connection:
        connection.sendall(f"{' '.join(words)}\r\n".encode())
        return connection.recv(10_000).decode()


@pytest.mark.parametrize("kind", [ValkeyServer, RedisServer])
def test_a_server_keeps_its_data_over_a_stop_and_a_kill(kind: type[ValkeyServer], tmp_path: Path) -> None:
    with kind(tmp_path / "server", appendfsync="always") as server:
        assert ask(server, "SET", "a", "1") == "+OK\r\n"
        server.stop()
        server.start()
        assert ask(server, "INCR", "a") == ":2\r\n"
        server.kill()
        server.start()
        assert ask(server, "INCR", "a") == ":3\r\n"


def test_a_server_can_hang_and_go_on(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "server") as server:
        server.pause()
        with pytest.raises(TimeoutError), socket.create_connection((HOST, server.port), timeout=0.1) as connection:
            connection.sendall(b"PING\r\n")
            connection.recv(10)
        server.resume()
        assert ask(server, "PING") == "+PONG\r\n"


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="appendfsync"), ValkeyServer(tmp_path / "server", appendfsync="never"):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_server_does_not_outlive_tests_that_are_killed(tmp_path: Path) -> None:
    tests = subprocess.Popen(
        [sys.executable, "-c", STARTS_A_SERVER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert tests.stdout is not None
    with tests.stdout:
        pid = int(tests.stdout.readline())
    os.kill(tests.pid, signal.SIGKILL)
    tests.wait()
    wait_until_true(lambda: not is_alive(pid))


def test_shared_servers_are_started_once_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    with SharedServers(tmp_path) as servers:
        url = servers.url("redis")
        assert servers.url("redis") == url
        port = int(url.rpartition(":")[2])
        socket.create_connection((HOST, port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=5)


def test_server_is_shared_and_ends_when_all_users_have_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    owner, other = SharedServers(tmp_path), SharedServers(tmp_path)
    url = owner.url("redis")
    assert other.url("redis") == url
    closing = Thread(target=owner.close)
    closing.start()
    closing.join(0.1)  # It waits for the other.
    assert closing.is_alive()
    socket.create_connection((HOST, int(url.rpartition(":")[2])), timeout=5).close()
    other.close()
    closing.join(60)
    with SharedServers(tmp_path) as later:
        assert later.url("redis") != url


def test_two_owners_that_use_each_others_servers_both_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS", "REDIS_7"):
        monkeypatch.delenv(f"TEST_{name}_URL", raising=False)
    one, two = SharedServers(tmp_path), SharedServers(tmp_path)
    for first, second, name in ((one, two, "redis"), (two, one, "redis_7")):
        assert first.url(name) == second.url(name)
    closing = [Thread(target=each.close) for each in (one, two)]
    for each in closing:
        each.start()
    for each in closing:
        each.join(60)
        assert not each.is_alive()


def test_data_is_kept_in_memory_where_there_is_room(tmp_path: Path) -> None:
    with folder_in_memory(tmp_path / "disk", tmp_path, room=1) as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(PREFIX)
        (folder / "data").touch()
    assert not list(tmp_path.iterdir())
    with folder_in_memory(tmp_path / "disk", tmp_path, room=1 << 60) as folder:
        assert folder == tmp_path / "disk"
    with folder_in_memory(tmp_path / "disk", tmp_path / "missing", room=1) as folder:
        assert folder == tmp_path / "disk"


def test_leftovers_of_killed_tests_are_removed_and_used_folders_stay(tmp_path: Path) -> None:
    left_over = tmp_path / f"{PREFIX}killed"
    left_over.mkdir()
    (left_over / "data").touch()
    with (
        folder_in_memory(tmp_path / "disk", tmp_path, room=1) as folder,
        folder_in_memory(tmp_path / "disk", tmp_path, room=1) as other,
    ):
        assert not left_over.exists()
        assert folder != other
        assert folder.is_dir()


def test_environment_variable_replaces_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_REDIS_URL", "redis://elsewhere")
    with SharedServers(tmp_path) as servers:
        assert servers.url("redis") == "redis://elsewhere"


def test_a_server_that_is_missing_fails_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    redis_servers.redis_program.cache_clear()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerMissing, match="apt-get install redis-server"):
        redis_servers.redis_program()
