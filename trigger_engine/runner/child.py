"""The program that a child process runs: imports a task's module, calls the task, reports what came of it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trigger_engine import errors
from trigger_engine.current import CurrentInvocation, running
from trigger_engine.entries.facts import ExceptionFacts
from trigger_engine.errors import SerializationError, TriggerEngineError, UnknownTask
from trigger_engine.event import Event
from trigger_engine.invocation import Invocation
from trigger_engine.log_format import configure_from_environment
from trigger_engine.modules import import_module
from trigger_engine.runner.attempt import encode_returned
from trigger_engine.runner.child_messages import (
    HEADER,
    Answer,
    CallTask,
    EmitEvents,
    FromChild,
    FromParent,
    RunTask,
    TaskRaised,
    TaskReturned,
    TaskTaken,
    frame,
    parent_decoder,
)
from trigger_engine.runner.exceptions import exception_facts
from trigger_engine.task import Task, TaskCall
from trigger_engine.values import encode_payload

_GRACE = 1.0


class Parent:
    """The connection to the runner."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, message: FromChild) -> None:
        self._connection.sendall(frame(message))

    def receive(self) -> FromParent | None:
        """The next order, None when the runner is gone."""
        header = self._read(HEADER.size)
        body = self._read(HEADER.unpack(header)[0]) if header else None
        return parent_decoder.decode(body) if body is not None else None

    def ask(self, request: EmitEvents | CallTask) -> tuple[str, ...]:
        """The ids that the runner answers. Raises the error that it met."""
        self.send(request)
        answer = self.receive()
        if not isinstance(answer, Answer):
            raise SystemExit(1)
        if answer.error is not None:
            raise _error(answer.error)
        return answer.ids

    def _read(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            piece = self._connection.recv(size - len(data))
            if not piece:
                return None
            data += piece
        return bytes(data)


class ParentOutbox:
    """Sends one task's emits and calls through the runner; usable from every thread until the task ends."""

    def __init__(self, parent: Parent) -> None:
        self._parent: Parent | None = parent
        self._lock = threading.Lock()

    def emit(self, events: Sequence[Event]) -> list[str]:
        """As `app.sync.emit_events`."""
        encoded = tuple((code, encode_payload(payload, event_code=code), key) for code, payload, key in events)
        return list(self._ask(EmitEvents(encoded)))

    def enqueue(self, call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Invocation[Any]:
        """As `app.sync.enqueue`."""
        call = call if isinstance(call, TaskCall) else call.options()
        task, options = call.task, call.call_options
        arguments = bytes(task.signature.encode_arguments(task.signature.bind(*args, **kwargs)))
        request = CallTask(task.task_id, arguments, options.delay, options.idempotency_key, options.queue)
        return Invocation(task.app, self._ask(request)[0], task.task_id)

    def close(self) -> None:
        """Lets no thread that the task leaves behind disturb the connection."""
        with self._lock:
            self._parent = None

    def _ask(self, request: EmitEvents | CallTask) -> tuple[str, ...]:
        with self._lock:
            if self._parent is None:
                raise TriggerEngineError("the task of this thread has ended: let it wait for its threads")
            return self._parent.ask(request)


def main(start: str) -> None:
    """Serves one runner until it closes the connection.

    `start`: JSON with the socket's `fd`, the import `path`, and what to set in the `environment`.
    """
    # Ctrl-C reaches the whole terminal group; the runner decides when a task ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_from_environment()
    options = json.loads(start)
    sys.path[:] = options["path"]
    os.environ.pop("PYTHONPATH")
    os.environ.update(options["environment"])
    connection = socket.socket(fileno=options["fd"])
    connection.set_inheritable(False)
    threading.Thread(target=_end_with_runner, args=(connection,), daemon=True).start()
    parent = Parent(connection)
    while isinstance(order := parent.receive(), RunTask):
        parent.send(TaskTaken())
        parent.send(_run(order, parent))


def _end_with_runner(connection: socket.socket) -> None:
    """Ends the process when the runner is gone and the main thread, in the middle of a task, does not see it."""
    hangup = select.poll()
    hangup.register(connection, 0)
    hangup.poll()
    time.sleep(_GRACE)
    os._exit(1)


def _run(order: RunTask, parent: Parent) -> TaskReturned | TaskRaised:
    task: Task[Any, Any] | None = None
    outbox = ParentOutbox(parent)
    try:
        task = _find_task(order)
        arguments = task.signature.decode_arguments(msgspec.Raw(order.arguments))
        running.set(_context(order, arguments, outbox))
        returned = encode_returned(task, task.func(**arguments), order.max_bytes)
        return TaskReturned(bytes(returned.result))
    except BaseException as exc:
        retryable = task is not None and isinstance(exc, task.settings.retries.retry_for)
        return TaskRaised(exception_facts(exc), retryable and not isinstance(exc, SerializationError))
    finally:
        outbox.close()
        running.set(None)


def _find_task(order: RunTask) -> Task[Any, Any]:
    module = import_module(order.module)
    for value in list(vars(module).values()):
        if isinstance(value, Task) and value.task_id == order.task_id:
            return value
        app = value.app if isinstance(value, Task) else value
        found = getattr(getattr(app, "registry", None), "tasks", {}).get(order.task_id)
        if isinstance(found, Task):
            return found
    raise UnknownTask(
        f"a child process imported {order.module} and found no task {order.task_id!r} in it: "
        "declare tasks that run in processes at module level"
    )


def _context(order: RunTask, arguments: Mapping[str, Any], outbox: ParentOutbox) -> CurrentInvocation:
    return CurrentInvocation(
        app_id=order.app_id,
        invocation_id=order.invocation_id,
        task_id=order.task_id,
        attempt=order.attempt,
        arguments=arguments,
        trigger_run_id=order.trigger_run_id,
        depth=order.depth,
        outbox=outbox,
    )


def _error(facts: ExceptionFacts) -> TriggerEngineError:
    kind = getattr(errors, facts.type, TriggerEngineError)
    return kind(facts.message) if kind is not errors.TaskFailed else TriggerEngineError(facts.message)


if __name__ == "__main__":
    main(sys.argv[1])
