"""What is read is acknowledged, many messages at once: else the server stops sending, or closes the channel."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiormq.abc import AbstractChannel, DeliveredMessage
from trigger_engine_rabbitmq import receiver as receiving
from trigger_engine_rabbitmq.receiver import ACKNOWLEDGED_AT_ONCE, Receiver
from trigger_engine_rabbitmq.stream import Stream

from tests.support.waiting import wait_until


class Channel:
    is_closed = False

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    async def basic_ack(self, tag: int, *, multiple: bool, wait: bool) -> None:
        assert multiple
        assert not wait
        self.acknowledged.append(tag)


def message(number: int) -> DeliveredMessage:
    headers = SimpleNamespace(properties=SimpleNamespace(headers={"x-stream-offset": number}))
    return cast(
        DeliveredMessage, SimpleNamespace(header=headers, body=b"", delivery=SimpleNamespace(delivery_tag=number))
    )


@pytest.mark.parametrize("after", [0, 1, ACKNOWLEDGED_AT_ONCE - 1])
async def test_all_that_was_read_is_acknowledged(after: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(receiving, "ACKNOWLEDGED_AFTER", 0.0)
    read: list[int] = []
    stream = SimpleNamespace(receive=lambda offset, _: read.append(offset))
    channel = Channel()
    receiver = Receiver(cast(Stream, stream), cast(AbstractChannel, channel), lambda exc=None: None)
    count = 2 * ACKNOWLEDGED_AT_ONCE + after
    for number in range(1, count + 1):
        await receiver.receive(message(number))
    await wait_until(lambda: channel.acknowledged[-1:] == [count])
    assert read == list(range(1, count + 1))
    assert channel.acknowledged == sorted({ACKNOWLEDGED_AT_ONCE, 2 * ACKNOWLEDGED_AT_ONCE, count})
    # Later ones are not forgotten either.
    await receiver.receive(message(count + 1))
    await wait_until(lambda: channel.acknowledged[-1] == count + 1)
