"""Wakes between processes: datagrams beside the file, and a look at the file where there are none."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tests.log.sqlite_files import open_log
from trigger_engine.log.sqlite import wakeup
from trigger_engine.log.sqlite.wake_socket import OtherSockets, WakeSocket
from trigger_engine.testing.conformance.harness import PATIENCE, append
from trigger_engine.testing.conformance.sample_entries import event

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="has no such sockets")


@pytest.mark.parametrize("depth", [1, 12], ids=["short", "longer than an address"])
def test_a_message_reaches_the_other_sockets_of_a_folder(tmp_path: Path, depth: int) -> None:
    folder = str(tmp_path.joinpath(*["folder-with-a-name"] * depth))
    one, two = WakeSocket(folder), WakeSocket(folder)
    OtherSockets(folder).send(b"hello", own={one.name})
    assert list(one.messages()) == []
    assert list(two.messages()) == [b"hello"]
    one.close()
    two.close()
    assert os.listdir(folder) == []


def test_the_socket_of_a_process_that_died_is_removed(tmp_path: Path) -> None:
    folder = str(tmp_path)
    lives, dead = WakeSocket(folder), WakeSocket(folder)
    dead.drop_inherited()
    assert len(os.listdir(folder)) == 2
    OtherSockets(folder).send(b"hello", own=())
    assert os.listdir(folder) == [lives.name]
    lives.close()


def test_a_socket_that_nobody_reads_holds_up_no_sender(tmp_path: Path) -> None:
    folder = str(tmp_path)
    full = WakeSocket(folder)
    others = OtherSockets(folder)
    for _ in range(5_000):
        others.send(b"hello", own=())
    assert len(list(full.messages())) > 0
    full.close()


def test_a_folder_that_is_missing_is_an_empty_one(tmp_path: Path) -> None:
    OtherSockets(str(tmp_path / "nothing")).send(b"hello", own=())


def test_sockets_that_come_and_go_are_noticed(tmp_path: Path) -> None:
    folder = str(tmp_path)
    others = OtherSockets(folder)
    for number in range(5):
        fresh = WakeSocket(folder)
        others.send(b"%d" % number, own=())
        assert list(fresh.messages()) == [b"%d" % number]
        fresh.close()


async def test_without_sockets_the_file_itself_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup, "AVAILABLE", False)
    async with await open_log(tmp_path / "log.db") as reader, await open_log(tmp_path / "log.db") as writer:
        wakeup._open_logs.discard(reader._wakeup)
        waiting = asyncio.create_task(reader.follow(await reader.tail(), wait=10 * PATIENCE))
        await asyncio.sleep(0)
        await append(writer, event("a"))
        async with asyncio.timeout(PATIENCE):
            assert [entry.id for _, entry in (await waiting).entries] == ["a"]


async def test_a_datagram_wakes_long_before_the_file_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "POLL_SECONDS", 1_000.0)
    async with await open_log(tmp_path / "log.db") as reader, await open_log(tmp_path / "log.db") as writer:
        wakeup._open_logs.discard(reader._wakeup)
        waiting = asyncio.create_task(reader.follow(await reader.tail(), wait=10 * PATIENCE))
        await asyncio.sleep(0)
        await append(writer, event("a"))
        async with asyncio.timeout(PATIENCE):
            assert [entry.id for _, entry in (await waiting).entries] == ["a"]
