"""The kinds of `url`: a cluster, TLS, Sentinels, a socket, a user with few rights."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from trigger_engine_redis.backend import RedisTrigger
from trigger_engine_redis.settings import RedisSettings
from trigger_engine_redis.urls import parse_url

from tests.support.servers.private_server import HOST, PrivateServer, free_port
from tests.support.servers.redis_servers import RedisServer, ValkeyServer, redis_program
from tests.support.waiting import wait_until, wait_until_true
from trigger_engine.backend import EventLog
from trigger_engine.errors import ConfigError
from trigger_engine.testing.conformance._claiming import claim_one
from trigger_engine.testing.conformance._harness import append, ids
from trigger_engine.testing.conformance._sample_entries import event, registration, succeeded

servers = pytest.mark.servers


async def open_log(url: str, app_id: str = "shop", *, timeout: float = 20.0) -> EventLog:
    return await RedisTrigger(RedisSettings(url, timeout=timeout), app_id=app_id).open(clock=time.time)


async def work(log: EventLog) -> None:
    """Runs one call from registration to end; a reader and a runner wait for it."""
    tail = await log.tail()
    waiting = asyncio.create_task(log.follow(tail, wait=20))
    await append(log, registration("i1"))
    assert [entry.id for _, entry in (await waiting).entries] == ["i1"]
    held = await claim_one(log)
    await append(log, succeeded(held))
    assert (await ids(log))[-3:] == ["i1", held.latest.id, succeeded(held).id]


def ask_server(server: ValkeyServer, *words: str) -> str:
    """A server's answer to one command."""
    with socket.create_connection((HOST, server.port), timeout=10) as connection:
        connection.sendall(f"{' '.join(words)}\r\n".encode())
        return connection.recv(100_000).decode()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[ValkeyServer]]:
    """Three nodes on loopback, each with a third of the slots."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                ValkeyServer(
                    tmp_path / f"node{n}",
                    cluster_enabled="yes",
                    cluster_node_timeout="2000",
                    cluster_port=str(free_port()),
                )
            )
            for n in range(3)
        ]
        bus = nodes[0].options["cluster_port"]
        for number, node in enumerate(nodes):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            assert ask_server(node, "CLUSTER", "ADDSLOTSRANGE", str(first), str(last)) == "+OK\r\n"
            assert ask_server(node, "CLUSTER", "MEET", HOST, str(nodes[0].port), bus) == "+OK\r\n"
        wait_until_true(lambda: all("cluster_state:ok" in ask_server(node, "CLUSTER", "INFO") for node in nodes))
        yield nodes


@servers
async def test_any_node_of_a_cluster_leads_to_the_apps_slot(cluster: list[ValkeyServer]) -> None:
    for number in range(4):
        for node in cluster:
            async with await open_log(node.url, f"app-{number}") as log:
                await log.clear()
                await work(log)
    sizes = [int(ask_server(node, "DBSIZE").removeprefix(":")) for node in cluster]
    assert sum(size > 0 for size in sizes) > 1


@servers
async def test_a_moved_slot_is_found_on_its_new_node(cluster: list[ValkeyServer]) -> None:
    async with await open_log(cluster[0].url) as log:
        await append(log, event("a"))
        old = next(node for node in cluster if ask_server(node, "DBSIZE") != ":0\r\n")
        new = next(node for node in cluster if node is not old)
        keys = [line for line in ask_server(old, "KEYS", "*").split("\r\n") if line.startswith("{")]
        slot = ask_server(old, "CLUSTER", "KEYSLOT", keys[0]).strip().removeprefix(":")
        names = {node.port: ask_server(node, "CLUSTER", "MYID").split("\r\n")[1] for node in (old, new)}
        assert ask_server(new, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[old.port]) == "+OK\r\n"
        assert ask_server(old, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[new.port]) == "+OK\r\n"
        for key in keys:
            assert ask_server(old, "MIGRATE", HOST, str(new.port), key, "0", "5000") == "+OK\r\n"
        for node in (new, old):
            assert ask_server(node, "CLUSTER", "SETSLOT", slot, "NODE", names[new.port]) == "+OK\r\n"
        await append(log, event("b"))
        assert await ids(log) == ["a", "b"]
        assert ask_server(old, "DBSIZE") == ":0\r\n"


class TlsServer(RedisServer):
    """Debian's Redis, with TLS only."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        certificate(folder)
        self.options |= {
            "port": "0",
            "tls_port": str(self.port),
            "tls_cert_file": str(folder / "cert.pem"),
            "tls_key_file": str(folder / "key.pem"),
            "tls_ca_cert_file": str(folder / "cert.pem"),
            "tls_auth_clients": "no",
        }

    @property
    def url(self) -> str:
        return f"rediss://{HOST}:{self.port}?ssl_ca_certs={self.folder / 'cert.pem'}"

    def is_ready(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1.0).close()
        except OSError:
            return False
        return True


def certificate(folder: Path) -> None:
    """Writes a self-signed certificate for 127.0.0.1."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "openssl was not found: install it (Debian: apt-get install openssl)"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([openssl, *words.split(), *files], check=True, capture_output=True)


@servers
async def test_a_server_over_tls(tmp_path: Path) -> None:
    with TlsServer(tmp_path / "server") as server:
        async with await open_log(server.url) as log:
            await work(log)
        with pytest.raises(ConfigError, match=r"certificate .*ssl_ca_certs"):
            await open_log(server.url.partition("?")[0])


@servers
async def test_a_server_over_its_socket(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="te-") as short:  # socket paths must be short
        path = Path(short) / "redis.sock"
        with ValkeyServer(tmp_path / "server", unixsocket=str(path)):
            async with await open_log(f"unix://{path}") as log:
                await work(log)


@servers
async def test_the_rights_in_the_readme_are_enough(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "server") as server:
        rights = "ACL SETUSER shop on >secret ~{trigger-engine:shop}:* +@all -@dangerous +info"
        assert ask_server(server, *rights.split()) == "+OK\r\n"
        settings = RedisSettings(server.url.replace("://", "://shop:secret@"))
        backend = RedisTrigger(settings, app_id="shop")
        async with await backend.open(clock=time.time) as log:
            await work(log)
        assert "secret" not in backend.location()
        assert any("may not read the server's setting appendfsync" in check.text for check in await backend.check())


class SentinelServer(ValkeyServer):
    """Watches a primary as `mymaster`."""

    def __init__(self, folder: Path, primary: PrivateServer) -> None:
        super().__init__(folder)
        (folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind {HOST}\ndir {folder}\nsentinel monitor mymaster {HOST} {primary.port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n"
        )

    def program(self) -> str:
        return redis_program()

    def command(self) -> list[str]:
        return [self.program(), str(self.folder / "sentinel.conf"), "--sentinel"]


@servers
@pytest.mark.slow
async def test_sentinels_lead_to_the_new_primary_after_a_failover(tmp_path: Path) -> None:
    with ExitStack() as stack:
        primary = stack.enter_context(RedisServer(tmp_path / "primary"))
        replica = stack.enter_context(RedisServer(tmp_path / "replica", replicaof=f"{HOST} {primary.port}"))
        await wait_until(lambda: "master_link_status:up" in ask_server(replica, "INFO", "replication"))
        sentinel = stack.enter_context(SentinelServer(tmp_path / "sentinel", primary))
        url = f"redis+sentinel://{HOST}:{sentinel.port}/mymaster/0"
        await wait_until(lambda: f"{replica.port}" in ask_server(sentinel, "SENTINEL", "REPLICAS", "mymaster"))
        settings = RedisSettings(url, timeout=60.0, wait_replicas=1)
        async with await RedisTrigger(settings, app_id="shop").open(clock=time.time) as log:
            await append(log, event("a"))
            await asyncio.to_thread(primary.kill)
            await wait_until(lambda: "role:master" in ask_server(replica, "INFO", "replication"), deadline=30)
            assert await ids(log) == ["a"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pass@host:1/2", "redis://host:1/2"),
        ("rediss://:pass@host:1?ssl_ca_certs=/ca.pem&ssl_password=x", "rediss://host:1?ssl_ca_certs=/ca.pem"),
        ("redis+sentinel://u:p@a:1,b/main/3", "redis+sentinel://a:1,b/main/3"),
        ("redis://host?password=secret", "redis://host"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert parse_url(url).shown == shown


def test_a_sentinel_url_is_parsed() -> None:
    address = parse_url("rediss+sentinel://u:p%40@a:1,b,[::1]:3/main/3?ssl_ca_certs=/ca.pem")
    assert (address.sentinels, address.service) == ((("a", 1), ("b", 26379), ("::1", 3)), "main")
    options = dict(address.options)
    assert options.pop("connection_class").__name__ == "SSLConnection"
    assert options == {"username": "u", "password": "p@", "db": 3, "ssl_ca_certs": "/ca.pem"}


@pytest.mark.parametrize(
    "url", ["http://host", "host:6379", "redis+sentinel://a:1", "redis+sentinel:///main", "redis+sentinel://a:x/main"]
)
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|HOST:PORT"):
        RedisSettings(url)
