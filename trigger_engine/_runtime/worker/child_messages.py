"""Messages between a runner and its child processes: length-prefixed msgpack over a socket pair."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from trigger_engine._model.entries import ExceptionFacts

HEADER = struct.Struct(">I")


class RunTask(msgspec.Struct, tag="run", frozen=True):
    """From the parent: run this task once."""

    module: str
    task_id: str
    app_id: str
    invocation_id: str
    attempt: int
    depth: int
    trigger_run_id: str | None
    arguments: bytes
    max_bytes: int


class Answer(msgspec.Struct, tag="answer", frozen=True):
    """From the parent: the ids that a request created, or the error it raised."""

    ids: tuple[str, ...] = ()
    error: ExceptionFacts | None = None


class EmitEvents(msgspec.Struct, tag="emit", frozen=True):
    """From the child: append these events (code, payload, idempotency key)."""

    events: tuple[tuple[str, Any, str | None], ...]


class CallTask(msgspec.Struct, tag="call", frozen=True):
    """From the child: enqueue an invocation. `delay`: seconds."""

    task_id: str
    arguments: bytes
    delay: float | None
    idempotency_key: str | None
    queue: str | None


class TaskTaken(msgspec.Struct, tag="taken", frozen=True):
    """From the child: the task starts now. Without this message the child has not started it."""


class TaskReturned(msgspec.Struct, tag="returned", frozen=True):
    """From the child: the task's encoded return value."""

    result: bytes


class TaskRaised(msgspec.Struct, tag="raised", frozen=True):
    """From the child: the exception the task raised, and whether its `retry_for` covers it."""

    exception: ExceptionFacts
    retryable: bool


FromParent = RunTask | Answer
FromChild = TaskTaken | EmitEvents | CallTask | TaskReturned | TaskRaised
_encoder = msgspec.msgpack.Encoder()
parent_decoder: msgspec.msgpack.Decoder[FromParent] = msgspec.msgpack.Decoder(FromParent)
child_decoder: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)


def frame(message: FromParent | FromChild) -> bytes:
    """Encodes a message for the socket."""
    body = _encoder.encode(message)
    return HEADER.pack(len(body)) + body
