"""Debian's RabbitMQ, as a node of the tests' own."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.support.servers.private_server import HOST, PrivateServer, ServerMissing, free_port

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The wrapper in /usr/sbin changes the user."""


class PortMapper(PrivateServer):
    """The epmd that a node of Erlang wants; started by itself it would outlive the node."""

    @property
    def url(self) -> str:
        return f"epmd://{HOST}:{self.port}"

    def command(self) -> Sequence[str]:
        program = shutil.which("epmd")
        if program is None:
            raise ServerMissing("no epmd is here: install RabbitMQ 3.10 or newer, which brings it")
        return [program, "-address", HOST, "-port", str(self.port)]

    def is_ready(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1.0).close()
        except OSError:
            return False
        return True


class RabbitMQServer(PrivateServer):
    """One node with an epmd of its own; user and password are guest."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._node = f"te{self.port}@localhost"
        self._distribution_port = free_port()
        self._mapper = PortMapper(folder / "epmd")

    def start(self) -> Self:
        """As every server; its epmd before it."""
        if not self._mapper.is_started:
            self._mapper.start()
        try:
            return super().start()
        except AssertionError:
            self._mapper.kill()
            raise

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__(*exc_info)
        self._mapper.kill()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}/"

    def command(self) -> Sequence[str]:
        if not PROGRAM.exists():
            raise ServerMissing(
                "no RabbitMQ is here: install 3.10 or newer (Debian: apt-get install rabbitmq-server; "
                "`nox -s tests` does it), or set TEST_RABBITMQ_URL to one of yours"
            )
        return [str(PROGRAM)]

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.folder),
            # Else the server is a child of the script, which no signal would reach.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._mapper.port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def is_ready(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) != b""
        except OSError:
            return False
