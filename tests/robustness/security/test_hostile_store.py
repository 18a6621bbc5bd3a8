"""Somebody writes what he likes into the store: none of his code runs, and nothing of his is imported."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.apps import MakeApp
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TaskFailed, TriggerBuilder
from trigger_engine._client.connections import Session
from trigger_engine._model.definitions import (
    CallableFilter,
    EventCondition,
    ProvidedArguments,
    TriggerDefinition,
)
from trigger_engine._model.entries import (
    InvocationRegistered,
    LeaderElected,
    TriggerFired,
    TriggersDeclared,
)
from trigger_engine._runtime.leader.term import LEASE
from trigger_engine.errors import QueryError, RecordNotFound, SerializationError

pytestmark = pytest.mark.every_backend

TRAP = "import pathlib; pathlib.Path(__file__).with_suffix('.sprung').touch()\n"
TASKS = [
    "os.system",
    "subprocess.call",
    "builtins.eval",
    "posix.system",
    "trap_module.run",
    "trap_module",
    "trap_package.inner.run",
    "..trap_module.run",
    "/tmp/trap.py:run",
    "tests.robustness.security.trap_module.run",
    "shop\0.tasks.run",
    "__main__.run",
    "",
    ".",
    "shop..tasks.run",
]

SECRET = "correct horse battery staple"
HOSTILE_TEXTS = [
    "'; DROP TABLE events; --",
    '" OR 1=1 --',
    "%",
    "_",
    "\\",
    "100%_\\'",
    "? ?1 :name @name $name",
    "json_each(?)",
    "\u202eevil",
    "a\x00b",
]


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules on the import path that tell when they are imported."""
    folder = tmp_path / "path"
    (folder / "trap_package").mkdir(parents=True)
    for name in ("trap_module", "trap_package/__init__", "trap_package/inner"):
        (folder / f"{name}.py").write_text(TRAP)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def sprung(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.sprung")]


def call(task_id: str, number: int) -> InvocationRegistered:
    return InvocationRegistered(
        id=f"hostile-{number}",
        time=0.0,
        invocation_id=f"hostile-{number}",
        task_id=task_id,
        arguments=raw({"command": "touch /tmp/sprung", "args": ["touch", "/tmp/sprung"]}),
    )


async def is_stored(session: Session, entry: InvocationRegistered) -> bool:
    """False where the backend cannot hold such a name."""
    try:
        await session.append((entry,))
    except SerializationError:
        return False
    return True


async def test_calls_of_unknown_tasks_wait_and_import_nothing(make_app: MakeApp, trap: Path) -> None:
    app = make_app()

    @app.task(task_id="shop.tasks.quick")
    async def quick() -> str:
        return "fine"

    before = set(sys.modules)
    async with app:
        session = await app._internals.connections.session()
        stored = [number for number, task_id in enumerate(TASKS) if await is_stored(session, call(task_id, number))]
        assert len(stored) >= len(TASKS) - 2
        async with app.runner() as runner:
            assert await (await quick()).result(timeout=60) == "fine"
            for number in stored:
                assert await (await app.invocation(f"hostile-{number}")).status() is InvocationStatus.REGISTERED
            assert runner.failed is None
    assert not sprung(trap)
    assert not {name for name in set(sys.modules) - before if name.startswith(("trap", "subprocess", "posix"))}


async def test_stored_function_names_are_never_imported(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declaration in the log may name any filter and provider; only those of the app's own triggers are called."""
    app = make_app()
    called: list[object] = []
    monkeypatch.setattr("os.system", called.append)

    @app.task(task_id="shop.tasks.note", triggers=TriggerBuilder().on_event("paid"))
    async def note() -> str:
        return "fine"

    hostile = [
        TriggerDefinition(
            id=f"hostile-{number}",
            slot=f"{task_id}#{number}",
            task_id=task_id,
            logic="or",
            conditions=(EventCondition(id=f"event:made{number}", event_code="made", payload_filter=wanted),),
            providers=(ProvidedArguments(context="event", name="os.system", code="0"),),
        )
        for task_id in ("shop.tasks.note", "os.system")
        for number, wanted in enumerate((None, CallableFilter(name="os.system", code="0")), start=1)
    ]
    async with app:
        session = await app._internals.connections.session()
        await session.append((LeaderElected(id="leader:hostile", time=0.0, name=LEASE, runner_id="hostile"),))
        term = (await session.log.tail()).position
        await session.append(
            (TriggersDeclared(id="declared:hostile", time=0.0, term=term, triggers=tuple(hostile), from_start=True),)
        )
        async with app.runner() as runner:
            await app.emit_events([("made", {}), ("paid", {})])
            fired = await wait_until(lambda: entries_of_type(app, TriggerFired))
            assert [run.task_id for run in fired] == ["shop.tasks.note"]
            assert runner.failed is None
    assert not called


async def test_log_lines_contain_no_payloads_arguments_or_results(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app = make_app(max_backlog=1)

    @app.task(task_id="shop.tasks.echo", triggers=TriggerBuilder().on_event("paid").with_args_static({"word": SECRET}))
    async def echo(word: str) -> str:
        return word

    @app.task(task_id="shop.tasks.fail")
    async def fail(word: str) -> None:
        raise ValueError("it is wrong")

    async with app, app.runner():
        await app.emit_event("paid", {"secret": SECRET})
        assert await (await echo(SECRET)).result(timeout=60) == SECRET
        with pytest.raises(TaskFailed):
            await (await fail(SECRET)).result(timeout=60)
    assert "it is wrong" in caplog.text, "nothing was logged"
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("trigger_engine")]
    assert not [line for line in ours if SECRET in line]


async def test_hostile_text_stays_text_in_the_history(make_app: MakeApp) -> None:
    """Whatever ids, codes and filters say, they are values of a query, never a part of it."""
    app = make_app()
    async with app, app.history() as history:
        for text in HOSTILE_TEXTS:
            await app.emit_event(text, {"text": text})
        for text in HOSTILE_TEXTS:
            (found,) = await history.events(event_code=text)
            assert found.event_code == text
            searched = [event.payload["text"] for event in await history.events(text=text)]
            assert text in searched or json.dumps(text) != f'"{text}"'
            assert all(text in json.dumps(one, ensure_ascii=False) for one in searched)
            assert not await history.events(emitted_by=text)
            assert not await history.trigger_runs(event_id=text, trigger_id=text)
            assert not await history.invocations(task_id=text)
            with pytest.raises(RecordNotFound):
                await history.event(text)
        assert len(await history.events()) == len(HOSTILE_TEXTS)
        with pytest.raises(QueryError, match="lone surrogate"):
            await history.event("\udcff")
