"""Connections shared by threads: each event loop gets its own session, whatever other threads do in between."""

import asyncio
import threading
import time
from typing import Any

import pytest

from trigger_engine._client.connections import Connections
from trigger_engine._storage.memory.log import MemTrigger


class ChangedByAnotherThread(Connections):
    """Another thread replaces the newest session right after the n-th read of it."""

    countdown = 0
    _value: Any = None
    replacement: Any = None

    @property
    def _newest(self) -> Any:
        value = self._value
        self.countdown -= 1
        if self.countdown == 0:
            self._value = self.replacement
        return value

    @_newest.setter
    def _newest(self, value: Any) -> None:
        self._value = value


def connections_of(kind: type[Connections]) -> Any:
    return kind(MemTrigger(app_id="test"), time.time)


@pytest.mark.parametrize("reads", [1, 2, 3])
async def test_session_survives_another_thread_closing_its_own(reads: int) -> None:
    connections = connections_of(ChangedByAnotherThread)
    own = await connections.session()
    connections.countdown, connections.replacement = reads, None
    assert await connections.session() is own


@pytest.mark.parametrize("reads", [1, 2, 3])
async def test_session_survives_another_thread_opening_its_own(reads: int) -> None:
    connections = connections_of(ChangedByAnotherThread)
    own = await connections.session()
    await asyncio.to_thread(asyncio.run, connections.session())
    newest = connections._value
    assert newest[1] is not own
    assert await connections.session() is own
    connections.countdown, connections.replacement = reads, newest
    assert await connections.session() is own


def test_every_thread_gets_the_session_of_its_own_loop() -> None:
    connections = connections_of(Connections)
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    async def use() -> None:
        own = await connections.session()
        for _ in range(2000):
            assert await connections.session() is own
        connections.enter(own)
        await connections.leave(own)

    def work() -> None:
        barrier.wait()
        try:
            asyncio.run(use())
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
