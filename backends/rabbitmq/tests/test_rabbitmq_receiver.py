"""Messages are acknowledged many at once: otherwise the server stops sending, or closes the channel."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiormq.abc import AbstractChannel, DeliveredMessage
from trigger_engine_rabbitmq import receiver as receiver_module
from trigger_engine_rabbitmq.receiver import ACKNOWLEDGE_COUNT, Receiver
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


@pytest.mark.parametrize("after", [0, 1, ACKNOWLEDGE_COUNT - 1])
async def test_every_message_is_acknowledged(after: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(receiver_module, "ACKNOWLEDGE_SECONDS", 0.0)
    read: list[int] = []
    stream = SimpleNamespace(receive=lambda offset, _: read.append(offset))
    channel = Channel()
    receiver = Receiver(cast(Stream, stream), cast(AbstractChannel, channel), lambda exc=None: None)
    count = 2 * ACKNOWLEDGE_COUNT + after
    for number in range(1, count + 1):
        await receiver.receive(message(number))
    await wait_until(lambda: channel.acknowledged[-1:] == [count])
    assert read == list(range(1, count + 1))
    assert channel.acknowledged == sorted({ACKNOWLEDGE_COUNT, 2 * ACKNOWLEDGE_COUNT, count})
    # Later messages are acknowledged, too.
    await receiver.receive(message(count + 1))
    await wait_until(lambda: channel.acknowledged[-1] == count + 1)
