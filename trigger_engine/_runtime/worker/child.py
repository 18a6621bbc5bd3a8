"""The child process's program: imports the task's module, calls the task, and reports the outcome."""

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
from trigger_engine._client.current import CurrentInvocation, running
from trigger_engine._client.invocation import Invocation
from trigger_engine._client.task import Task, TaskCall
from trigger_engine._declare.modules import import_module
from trigger_engine._declare.registry import Registry
from trigger_engine._declare.task_definition import TaskDefinition
from trigger_engine._declare.values import encode_payload
from trigger_engine._model.entries import ExceptionFacts
from trigger_engine._runtime.log_format import configure_from_environment
from trigger_engine._runtime.worker.attempt import encode_returned
from trigger_engine._runtime.worker.child_messages import (
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
from trigger_engine._runtime.worker.exceptions import exception_facts
from trigger_engine.errors import SerializationError, TriggerEngineError, UnknownTask

_GRACE = 1.0


class Parent:
    """The connection to the runner."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, message: FromChild) -> None:
        self._connection.sendall(frame(message))

    def receive(self) -> FromParent | None:
        """The next request, None if the runner is gone."""
        header = self._read(HEADER.size)
        body = self._read(HEADER.unpack(header)[0]) if header else None
        return parent_decoder.decode(body) if body is not None else None

    def ask(self, request: EmitEvents | CallTask) -> tuple[str, ...]:
        """Sends a request and returns the ids in the answer. Raises the error that the runner reports."""
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
    """Sends a task's emits and calls through the runner. Usable from any thread until the task ends."""

    def __init__(self, parent: Parent) -> None:
        self._parent: Parent | None = parent
        self._lock = threading.Lock()

    def emit(self, events: Sequence[tuple[str, Mapping[str, Any] | None, str | None]]) -> list[str]:
        """As `app.sync.emit_events`."""
        encoded = tuple((code, encode_payload(payload, event_code=code), key) for code, payload, key in events)
        return list(self._ask(EmitEvents(encoded)))

    def enqueue(self, call: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Invocation[Any]:
        """As `app.sync.enqueue`."""
        call = call if isinstance(call, TaskCall) else call.options()
        task: Task[Any, Any] = call.task
        options = call.call_options
        arguments = bytes(task.signature.encode_arguments(task.signature.bind(*args, **kwargs)))
        request = CallTask(task.task_id, arguments, options.delay, options.idempotency_key, options.queue)
        return task.handle(self._ask(request)[0])

    def close(self) -> None:
        """Cuts off threads that outlive the task, so that they cannot disturb the connection."""
        with self._lock:
            self._parent = None

    def _ask(self, request: EmitEvents | CallTask) -> tuple[str, ...]:
        with self._lock:
            if self._parent is None:
                raise TriggerEngineError(
                    "the task that started this thread has ended: a task must wait for its threads"
                )
            return self._parent.ask(request)


def main(start: str) -> None:
    """Serves one runner until it closes the connection.

    `start`: JSON with the socket's `fd`, the import `path`, and the `environment` variables to set.
    """
    # Ctrl-C reaches the whole process group, but the runner decides when a task ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_from_environment()
    options = json.loads(start)
    sys.path[:] = options["path"]
    os.environ.pop("PYTHONPATH")
    os.environ.update(options["environment"])
    connection = socket.socket(fileno=options["fd"])
    connection.set_inheritable(False)
    threading.Thread(target=_exit_with_runner, args=(connection,), daemon=True).start()
    parent = Parent(connection)
    while isinstance(request := parent.receive(), RunTask):
        parent.send(TaskTaken())
        parent.send(_run(request, parent))


def _exit_with_runner(connection: socket.socket) -> None:
    """Exits the process when the runner is gone, even while the main thread is running a task."""
    hangup = select.poll()
    hangup.register(connection, 0)
    hangup.poll()
    time.sleep(_GRACE)
    os._exit(1)


def _run(request: RunTask, parent: Parent) -> TaskReturned | TaskRaised:
    task: TaskDefinition | None = None
    outbox = ParentOutbox(parent)
    try:
        task = _find_task(request)
        arguments = task.signature.decode_arguments(msgspec.Raw(request.arguments))
        running.set(_context(request, arguments, outbox))
        returned = encode_returned(task, task.func(**arguments), request.max_bytes)
        return TaskReturned(bytes(returned.result))
    except BaseException as exc:
        retryable = task is not None and isinstance(exc, task.settings.retries.retry_for)
        return TaskRaised(exception_facts(exc), retryable and not isinstance(exc, SerializationError))
    finally:
        outbox.close()
        running.set(None)


def _find_task(request: RunTask) -> TaskDefinition:
    module = import_module(request.module)
    for value in list(vars(module).values()):
        registry = getattr(getattr(value, "_internals", None), "registry", None)
        if isinstance(registry, Registry) and request.task_id in registry.tasks:
            return registry.tasks[request.task_id]
    raise UnknownTask(
        f"a child process imported {request.module} and found no task {request.task_id!r} in it: "
        "declare tasks that run in processes at module level"
    )


def _context(request: RunTask, arguments: Mapping[str, Any], outbox: ParentOutbox) -> CurrentInvocation:
    return CurrentInvocation(
        app_id=request.app_id,
        invocation_id=request.invocation_id,
        task_id=request.task_id,
        attempt=request.attempt,
        arguments=arguments,
        trigger_run_id=request.trigger_run_id,
        depth=request.depth,
        outbox=outbox,
    )


def _error(facts: ExceptionFacts) -> TriggerEngineError:
    kind = getattr(errors, facts.type, TriggerEngineError)
    return kind(facts.message) if kind is not errors.TaskFailed else TriggerEngineError(facts.message)


if __name__ == "__main__":
    main(sys.argv[1])
