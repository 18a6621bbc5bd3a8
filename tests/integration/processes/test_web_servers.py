"""A runner in the lifespan of a web app, under uvicorn and gunicorn with several workers."""

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import programs
from tests.support.waiting import wait_until_true

WEB = """
import contextlib, os
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from trigger_engine import TriggerBuilder, TriggerEngine

engine = TriggerEngine(heartbeat_interval=0.2, lease_ttl=1.0, shutdown_timeout=2.0)
if os.environ.get("EMIT_BEFORE_THE_FORK"):
    engine.sync.emit_event("greeted", {"name": "the master"})

def name_of(context):
    return {"name": context.payload["name"]}

@engine.task(triggers=TriggerBuilder().on_event("greeted").with_args_from_event(name_of))
async def answer(name: str) -> str:
    return f"hello {name}"

@engine.task(triggers=TriggerBuilder().on_event("greeted").with_args_from_event(name_of))
def answer_in_thread(name: str) -> str:
    engine.sync.emit_event("answered", {"name": name, "pid": os.getpid()})
    return name

@contextlib.asynccontextmanager
async def lifespan(app):
    async with engine, engine.runner():
        yield

async def greet(request):
    event_id = await engine.emit_event("greeted", {"name": request.path_params["name"]})
    return JSONResponse({"event_id": event_id, "pid": os.getpid()})

async def look(request):
    async with engine.history() as history:
        answered = [event.payload["name"] for event in await history.events(event_code="answered", limit=1000)]
        done = [record.arguments["name"] for record in await history.invocations(status="success", limit=1000)]
        runners = [runner for runner in await history.runners()]
    return JSONResponse({"answered": answered, "done": done, "runners": len(runners), "pid": os.getpid()})

app = Starlette(routes=[Route("/greet/{name}", greet), Route("/look", look)], lifespan=lifespan)
"""
UVICORN = ("-m", "uvicorn", "web:app", "--workers", "2", "--log-level", "warning")
GUNICORN = ("-m", "gunicorn", "web:app", "--workers", "2", "--worker-class", "uvicorn_worker.UvicornWorker")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        return json.load(response)


def try_to_get(port: int, path: str) -> Any:
    try:
        return get(port, path)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def greet_and_look(folder: Path, command: Sequence[str], port: int, *, before: Sequence[str] = ()) -> None:
    """Greets through several workers, and waits until each greeting was answered exactly once."""
    names = [f"user-{number}" for number in range(20)]
    with programs.started(folder, *command) as server:
        wait_until_true(lambda: server.poll() is None and try_to_get(port, "/look"))
        pids = {get(port, f"/greet/{name}")["pid"] for name in names}
        wanted = sorted([*before, *names])
        wait_until_true(lambda: get(port, "/look")["runners"] == 2)
        wait_until_true(lambda: sorted(get(port, "/look")["done"]) == sorted(wanted * 2))
        assert sorted(get(port, "/look")["answered"]) == wanted
        assert pids
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
        wait_until_true(lambda: not any(programs.is_alive(pid) for pid in pids))
    assert "Traceback" not in programs.output(folder), programs.output(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "web.py").write_text(WEB)
    return tmp_path


def test_uvicorn_with_two_workers(folder: Path) -> None:
    port = free_port()
    greet_and_look(folder, (*UVICORN, "--port", str(port)), port)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn forks")
@pytest.mark.parametrize("preload", [True, False], ids=["preloaded", "not preloaded"])
def test_gunicorn_with_two_workers(folder: Path, monkeypatch: pytest.MonkeyPatch, *, preload: bool) -> None:
    port = free_port()
    command = [*GUNICORN, "--bind", f"127.0.0.1:{port}", *(["--preload"] if preload else [])]
    before = []
    if preload:
        monkeypatch.setenv("EMIT_BEFORE_THE_FORK", "yes")
        before = ["the master"]
    greet_and_look(folder, command, port, before=before)
