"""Projects as their users write them: configuration files, modules, and several processes on one store."""

import signal
import sys
from pathlib import Path

import pytest

from tests.acceptance.project import QUICK, Project

CONFIG = f"""
[project]
name = "bakery"

[tool.trigger_engine]
app_id = "bakery"
orchestrator_cls = "SQLiteOrchestrator"
broker_cls = "SQLiteBroker"
state_backend_cls = "SQLiteStateBackend"
trigger_cls = "SQLiteTrigger"
runner_cls = "ThreadRunner"
trigger_task_modules = ["bakery.reactions"]
{QUICK}
[tool.trigger_engine.sqlite]
sqlite_db_path = "bakery.db"
synchronous = "NORMAL"
"""
APP = """
from trigger_engine import TriggerBuilder, TriggerEngine

app = TriggerEngine()


@app.task(triggers=TriggerBuilder().on_event("mark"))
async def mark() -> None:
    pass
"""
REACTIONS = """
import os
from typing import Any

from bakery.app import app
from trigger_engine import EventContext, TriggerBuilder


def loaf_of(ctx: EventContext) -> dict[str, Any]:
    return {"loaf": ctx.payload["loaf"]}


@app.task(triggers=TriggerBuilder().on_event("baked").with_args_from_event(loaf_of))
def sell(loaf: str) -> int:
    app.sync.emit_event("sold", {"loaf": loaf})
    return os.getpid()


@app.task(triggers=TriggerBuilder().on_event("sold").with_args_from_event(loaf_of))
async def write_down(loaf: str) -> None:
    pass
"""
OVEN = """
from bakery.app import app


@app.task
def bake(loaf: str) -> str:
    app.sync.emit_event("baked", {"loaf": loaf})
    return loaf.upper()
"""
CALL = """
import asyncio, json
from bakery.app import app
from bakery.oven import bake


async def main() -> None:
    async with app:
        print(json.dumps((await bake("rye")).invocation_id))


asyncio.run(main())
"""
WORK = """
import asyncio, json, os, sys
from bakery.app import app


async def ended() -> set[str]:
    while not all(one.status.is_final for one in await history.invocations()):
        await asyncio.sleep(0.01)
    return {one.invocation_id for one in await history.invocations() if one.task_id != "bakery.app.mark"}


async def settled() -> None:
    # The log is evaluated in order: when a mark has its reaction, what came before the mark has been evaluated.
    before, now = None, await ended()
    while now != before:
        marker = await app.emit_event("mark")
        while not await history.invocations(event_id=marker):
            await asyncio.sleep(0.01)
        before, now = now, await ended()


async def main() -> None:
    global history
    before = sorted(name for name in sys.modules if name.startswith("bakery."))
    async with app, app.history() as history, app.runner():
        listed = sorted(name for name in sys.modules if name.startswith("bakery."))
        results = {}
        for invocation_id in sys.argv[1:]:
            results[invocation_id] = await (await app.invocation(invocation_id)).result(timeout=60)
        await settled()
        after = sorted(name for name in sys.modules if name.startswith("bakery."))
        runs = [
            [run.task_id, dict(run.arguments), [one.event_code for one in run.participants]]
            for run in reversed(await history.trigger_runs())
            if run.task_id != "bakery.app.mark"
        ]
        emitters = {event.event_code: event.emitter_task_id for event in await history.events()}
        pids = [one.result for one in await history.invocations(task_id="bakery.reactions.sell")]
    told = {"before": before, "listed": listed, "after": after, "results": results, "runs": runs}
    print(json.dumps(told | {"emitters": emitters, "pid": os.getpid(), "pids": pids, "app": repr(app)}))


asyncio.run(main())
"""
SOLD = [
    ["bakery.reactions.sell", {"loaf": "rye"}, ["baked"]],
    ["bakery.reactions.write_down", {"loaf": "rye"}, ["sold"]],
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An app in a package: its triggers in one listed module, an ordinary task in another."""
    made = Project(tmp_path / "project")
    made.write("pyproject.toml", CONFIG)
    made.write("bakery/__init__.py", "")
    made.write("bakery/app.py", APP)
    made.write("bakery/reactions.py", REACTIONS)
    made.write("bakery/oven.py", OVEN)
    made.write("call.py", CALL)
    made.write("work.py", WORK)
    return made


def test_listed_modules_are_imported_at_startup_and_others_on_demand(project: Project) -> None:
    invocation_id = project.run("call.py")
    told = project.run("work.py", invocation_id)
    assert told["before"] == ["bakery.app"]
    assert told["listed"] == ["bakery.app", "bakery.reactions"]
    assert told["after"] == ["bakery.app", "bakery.oven", "bakery.reactions"]
    assert told["results"] == {invocation_id: "RYE"}
    assert told["runs"] == SOLD
    assert told["emitters"] == {"baked": "bakery.oven.bake", "sold": "bakery.reactions.sell", "mark": None}
    assert (project.folder / "bakery.db").exists()
    assert str(project.folder / "bakery.db") in told["app"]


def test_triggers_of_an_unlisted_module_never_fire(project: Project) -> None:
    project.write("pyproject.toml", CONFIG.replace('["bakery.reactions"]', "[]"))
    invocation_id = project.run("call.py")
    told = project.run("work.py", invocation_id)
    assert told["after"] == ["bakery.app", "bakery.oven"], "the ordinary task was imported when it was needed"
    assert told["emitters"]["baked"] == "bakery.oven.bake"
    assert told["runs"] == []

    listed = project.run("work.py", project.run("call.py"), TRIGGER_ENGINE__TRIGGER_TASK_MODULES="bakery.reactions")
    assert listed["runs"] == SOLD, "the entries after its declaration"


def test_def_tasks_in_child_processes_emit_through_their_runner(project: Project) -> None:
    project.write("pyproject.toml", CONFIG.replace("ThreadRunner", "ProcessRunner"))
    invocation_id = project.run("call.py")
    told = project.run("work.py", invocation_id, TRIGGER_ENGINE__PROCESS_WORKERS="1")
    assert told["results"] == {invocation_id: "RYE"}
    assert told["runs"] == SOLD
    assert told["emitters"] == {"baked": "bakery.oven.bake", "sold": "bakery.reactions.sell", "mark": None}
    assert told["pid"] not in told["pids"]


def test_def_task_behaves_the_same_in_a_thread_and_in_a_process(project: Project) -> None:
    project.write(
        "bakery/both.py",
        """
        from dataclasses import dataclass
        from datetime import datetime
        from typing import Any

        from bakery.app import app
        from trigger_engine import Event, current_invocation


        @dataclass
        class Loaf:
            kilos: int


        def act(what: str) -> Any:
            current = current_invocation()
            match what:
                case "naive":
                    return app.sync.emit_event("baked", {"at": datetime(2026, 1, 1)})
                case "dataclass":
                    return app.sync.emit_event("baked", {"loaf": Loaf(1)})
                case "code":
                    return app.sync.emit_event("", {})
                case "list":
                    return app.sync.emit_events(["baked"])
                case "argument":
                    return app.sync.enqueue(in_thread, what=object())
                case "key":
                    return len({app.sync.emit_event("a", {"n": n}, idempotency_key="k") for n in range(2)})
                case "events":
                    return len(app.sync.emit_events([Event("a"), ("b", {"at": None})]))
                case "call":
                    inner = app.sync.enqueue(in_thread.options(delay=0), what="who")
                    return inner.result(timeout=60)[1:] == [1, {"what": "who"}]
                case "who":
                    return [current.task_id, current.attempt, dict(current.arguments)]
            raise LookupError(what)


        @app.task(run_in="thread")
        def in_thread(what: str) -> Any:
            return act(what)


        @app.task(run_in="process")
        def in_process(what: str) -> Any:
            return act(what)
        """,
    )
    project.write(
        "both.py",
        """
        import asyncio, json, sys
        from bakery.app import app
        from bakery.both import in_process, in_thread
        from trigger_engine import TaskFailed


        async def told(invocation) -> str:
            try:
                return repr(await invocation.result(timeout=60))
            except TaskFailed as failed:
                return f"{failed.exception_type}: {failed.exception_message}"


        async def main() -> None:
            async with app, app.runner():
                both = {}
                for what in sys.argv[1:]:
                    calls = [await task(what) for task in (in_thread, in_process)]
                    both[what] = [await told(call) for call in calls]
            print(json.dumps(both))


        asyncio.run(main())
        """,
    )
    whats = ["naive", "dataclass", "code", "list", "argument", "key", "events", "call", "other"]
    both = project.run("both.py", *whats, TRIGGER_ENGINE__PROCESS_WORKERS="1")
    assert [what for what, (thread, process) in both.items() if thread != process] == []
    told = {what: thread for what, (thread, _) in both.items()}
    assert told["naive"].startswith("SerializationError: payload of event 'baked', at ['at']: ")
    assert told["dataclass"].startswith("SerializationError: payload of event 'baked', at ['loaf']: ")
    assert told["code"].startswith("SerializationError: event code ''")
    assert told["list"].startswith("SerializationError: 'baked' is not an event")
    assert told["argument"].startswith("SerializationError: task bakery.both.in_thread, argument what: ")
    assert [told[what] for what in ("key", "events", "call", "other")] == ["1", "2", "True", "LookupError: other"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_program_runs_what_other_processes_call(project: Project) -> None:
    project.write(
        "wait.py",
        """
        import asyncio, json
        from bakery.app import app
        from bakery.oven import bake


        async def main() -> None:
            async with app, app.history() as history:
                invocation = await bake("rye")
                result = await invocation.result(timeout=60)
                while not (written := await history.invocations(task_id="bakery.reactions.write_down")):
                    await asyncio.sleep(0.01)
                print(json.dumps([result, dict(written[0].arguments)]))


        asyncio.run(main())
        """,
    )
    with project.start("-m", "trigger_engine", "run", "bakery.app:app") as runner:
        try:
            assert project.run("wait.py") == ["RYE", {"loaf": "rye"}]
        finally:
            runner.send_signal(signal.SIGTERM)
            out, err = runner.communicate(timeout=30)
    assert runner.returncode == 0, out + err


def test_a_script_is_the_same_module_whether_it_is_run_or_imported(project: Project) -> None:
    project.write(
        "alone.py",
        """
        import asyncio, json
        from trigger_engine import TriggerBuilder, TriggerEngine

        app = TriggerEngine(app_id="alone", trigger_task_modules=["alone"])


        @app.task
        async def bake() -> str:
            return "loaf"


        def is_loaf(result: str) -> bool:
            return result == "loaf"


        @app.task(triggers=TriggerBuilder().on_result(bake, is_loaf))
        async def sell() -> str:
            return "sold"


        async def main() -> None:
            async with app, app.history() as history, app.runner():
                await bake()
                while not (sold := await history.invocations(task_id="alone.sell", status="success")):
                    await asyncio.sleep(0.01)
                print(json.dumps([bake.task_id, sold[0].result, len(app._internals.registry.tasks)]))


        if __name__ == "__main__":
            asyncio.run(main())
        """,
    )
    assert project.run("alone.py") == ["alone.bake", "sold", 2]
