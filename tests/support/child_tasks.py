"""Tasks that run in child processes: in a module of their own, for the children import it."""

import contextvars
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.support.apps import on_memory
from trigger_engine import current_invocation

app = on_memory(app_id="children", process_workers=2)


class Custom(Exception):
    pass


@app.task(run_in="process")
def double(x: int) -> int:
    return 2 * x


@app.task(run_in="process")
def pid() -> int:
    return os.getpid()


@app.task(run_in="process")
def who_am_i() -> dict[str, Any]:
    current = current_invocation()
    assert current is not None
    names = ("app_id", "invocation_id", "task_id", "attempt", "trigger_run_id", "depth")
    return {name: getattr(current, name) for name in names} | {"arguments": dict(current.arguments)}


@app.task(run_in="process")
def fail(message: str) -> None:
    raise Custom(message)


@app.task(run_in="process", max_retries=2, retry_for=Custom)
def fail_twice() -> int:
    current = current_invocation()
    assert current is not None
    if current.attempt < 3:
        raise Custom("not yet")
    return current.attempt


@app.task(run_in="process", max_retries=2, retry_for=KeyError)
def fail_otherwise() -> None:
    raise Custom("not worth it")


@app.task(run_in="process")
def leave(how: str) -> None:
    if how == "exit":
        os._exit(7)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "sys.exit":
        sys.exit(7)
    raise KeyboardInterrupt


@app.task(run_in="process")
def leave_a_line_and_die(file: str) -> None:
    with Path(file).open("a") as lines:
        lines.write("begun\n")
    os._exit(7)


@app.task(run_in="process")
def give_unencodable() -> Any:
    return object()


@app.task(run_in="process")
def give_much(size: int) -> str:
    return "x" * size


@app.task(run_in="process")
def take_much(text: str) -> int:
    return len(text)


@app.task(run_in="process")
def emit(code: str, count: int) -> list[str]:
    one = app.sync.emit_event(code, {"n": 0})
    return [one, *app.sync.emit_events([(code, {"n": n}) for n in range(1, count)])]


@app.task(run_in="process")
def emit_unencodable() -> None:
    app.sync.emit_event("bad", {"thing": object()})


@app.task(run_in="process")
def emit_keyed() -> str:
    return app.sync.emit_event("keyed", {}, idempotency_key="once")


@app.task
async def triple(x: int) -> int:
    return 3 * x


@app.task(run_in="process")
def enqueue(x: int) -> list[str]:
    plain = app.sync.enqueue(triple, x=x)
    optional = app.sync.enqueue(triple.options(queue="other", idempotency_key="only"), x)
    return [plain.invocation_id, optional.invocation_id]


@app.task(run_in="process")
def enqueue_unfit() -> None:
    app.sync.enqueue(triple, y=1)  # type: ignore[call-arg]


@app.task(run_in="process")
def tell_and_hang(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)


@app.task(run_in="process", timeout=1.0)
def overrun(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)


@app.task(run_in="process")
def fork_and_die(file: str) -> None:
    """Leaves a grandchild behind that holds what it inherited, and dies."""
    child = os.fork()
    if child == 0:
        Path(file).write_text(str(os.getpid()))
        while True:
            time.sleep(0.01)
    while not os.path.exists(file) or not Path(file).read_text():
        time.sleep(0.01)
    os._exit(1)


@app.task(run_in="process")
def python_path() -> str | None:
    return os.environ.get("PYTHONPATH")


@app.task(run_in="process")
def emit_after_the_end() -> int:
    """Leaves a thread behind that emits when the task has ended."""
    emit = contextvars.copy_context().run
    threading.Timer(0.2, lambda: emit(app.sync.emit_event, "late")).start()
    return os.getpid()


@app.task(run_in="process")
def threads() -> int:
    return threading.active_count()


@app.task(run_in="process")
def speak(text: str) -> None:
    print(text, flush=True)
    print(text, file=sys.stderr, flush=True)


@app.task
def by_runner() -> int:
    return os.getpid()


@app.task(run_in="thread")
def in_thread() -> int:
    return os.getpid()
