"""Wake-ups between processes: by datagrams, or by polling the file where there are no sockets."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tests.integration.storage.sqlite_files import open_log
from trigger_engine._storage.sqlite import wakeup
from trigger_engine._storage.sqlite.wake_socket import OtherSockets, WakeSocket
from trigger_engine.testing.conformance._harness import PATIENCE, append
from trigger_engine.testing.conformance._sample_entries import event

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")


@pytest.mark.parametrize("depth", [1, 12], ids=["short", "longer than an address"])
def test_message_reaches_the_other_sockets_of_a_folder(tmp_path: Path, depth: int) -> None:
    folder = str(tmp_path.joinpath(*["folder-with-a-name"] * depth))
    one, two = WakeSocket(folder), WakeSocket(folder)
    OtherSockets(folder).send(b"hello", own={one.name})
    assert list(one.messages()) == []
    assert list(two.messages()) == [b"hello"]
    one.close()
    two.close()
    assert os.listdir(folder) == []


def test_socket_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    folder = str(tmp_path)
    lives, dead = WakeSocket(folder), WakeSocket(folder)
    dead.drop_inherited()
    assert len(os.listdir(folder)) == 2
    OtherSockets(folder).send(b"hello", own=())
    assert os.listdir(folder) == [lives.name]
    lives.close()


def test_full_socket_does_not_block_the_sender(tmp_path: Path) -> None:
    folder = str(tmp_path)
    full = WakeSocket(folder)
    others = OtherSockets(folder)
    for _ in range(5_000):
        others.send(b"hello", own=())
    assert len(list(full.messages())) > 0
    full.close()


def test_missing_folder_counts_as_empty(tmp_path: Path) -> None:
    OtherSockets(str(tmp_path / "nothing")).send(b"hello", own=())


def test_new_and_removed_sockets_are_noticed(tmp_path: Path) -> None:
    folder = str(tmp_path)
    others = OtherSockets(folder)
    for number in range(5):
        fresh = WakeSocket(folder)
        others.send(b"%d" % number, own=())
        assert list(fresh.messages()) == [b"%d" % number]
        fresh.close()


async def test_follow_polls_the_file_when_there_are_no_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup, "AVAILABLE", False)
    async with await open_log(tmp_path / "log.db") as reader, await open_log(tmp_path / "log.db") as writer:
        wakeup._open_logs.discard(reader._wakeup)
        waiting = asyncio.create_task(reader.follow(await reader.tail(), wait=10 * PATIENCE))
        await asyncio.sleep(0)
        await append(writer, event("a"))
        async with asyncio.timeout(PATIENCE):
            assert [entry.id for _, entry in (await waiting).entries] == ["a"]


async def test_datagram_wakes_a_follower_without_polling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup, "POLL_SECONDS", 1_000.0)
    async with await open_log(tmp_path / "log.db") as reader, await open_log(tmp_path / "log.db") as writer:
        wakeup._open_logs.discard(reader._wakeup)
        waiting = asyncio.create_task(reader.follow(await reader.tail(), wait=10 * PATIENCE))
        await asyncio.sleep(0)
        await append(writer, event("a"))
        async with asyncio.timeout(PATIENCE):
            assert [entry.id for _, entry in (await waiting).entries] == ["a"]


async def test_follow_sees_an_append_made_between_two_waits_when_no_socket_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "AVAILABLE", False)
    monkeypatch.setattr(wakeup, "POLL_SECONDS", 1_000.0)
    async with await open_log(tmp_path / "log.db") as reader, await open_log(tmp_path / "log.db") as writer:
        wakeup._open_logs.discard(reader._wakeup)
        at_end = await reader.follow(await reader.tail(), wait=0.001)
        await append(writer, event("a"))
        async with asyncio.timeout(PATIENCE):
            batch = await reader.follow(at_end.cursor, wait=10 * PATIENCE)
        assert [entry.id for _, entry in batch.entries] == ["a"]


async def test_poll_cannot_miss_a_commit_that_leaves_the_same_timestamp(tmp_path: Path) -> None:
    async with await open_log(tmp_path / "log.db") as log:
        await append(log, event("a"))
        wal = f"{tmp_path / 'log.db'}-wal"
        assert log._wakeup._file_state() != log._wakeup._file_state()
        os.utime(wal, (1.0, 1.0))
        assert log._wakeup._file_state() == log._wakeup._file_state()
