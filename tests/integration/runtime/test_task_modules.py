"""Task modules: configured ones, those of the app's package, and undeclared tasks."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.apps import MakeApp, sibling
from tests.support.waiting import wait_until
from trigger_engine import (
    ConfigError,
    DeclarationError,
    InvocationStatus,
    TriggerBuilder,
    TriggerEngine,
    UnknownTask,
)


def write_package(folder: Path, name: str, **modules: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("")
    for module, text in modules.items():
        (folder / name / f"{module}.py").write_text(text)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """A package with an app and a module of tasks that is not imported yet."""
    name = f"shop_{abs(hash(request.node.name)):x}"
    write_package(
        tmp_path,
        name,
        app="from tests.support.apps import MEMORY\n"
        "from trigger_engine import TriggerEngine\n"
        "app = TriggerEngine(**MEMORY)\n",
        tasks=f"from {name}.app import app\n@app.task\nasync def double(x: int) -> int:\n    return 2 * x\n",
        broken="raise RuntimeError('broken')\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


async def test_listed_modules_are_imported_before_anything_is_evaluated(make_app: MakeApp, package: str) -> None:
    app = make_app(trigger_task_modules=[f"{package}.tasks"])
    async with app, app.runner():
        assert f"{package}.tasks" in sys.modules


async def test_a_missing_listed_module_is_reported(make_app: MakeApp) -> None:
    app = make_app(trigger_task_modules=["no_such_module"])
    async with app:
        with pytest.raises(ConfigError, match="'no_such_module', which cannot be found"):
            async with app.runner():
                pass


async def test_a_listed_module_that_cannot_be_imported_raises_its_own_error(make_app: MakeApp, package: str) -> None:
    app = make_app(trigger_task_modules=[f"{package}.broken"])
    async with app:
        with pytest.raises(RuntimeError, match="broken"):
            async with app.runner():
                pass


async def test_a_module_of_the_apps_package_is_imported_when_work_waits(package: str) -> None:
    app: TriggerEngine = import_module(f"{package}.app").app
    caller = sibling(app)

    @caller.task(task_id=f"{package}.tasks.double")
    async def double(x: int) -> int:
        return 0

    async with caller, app.runner():
        assert f"{package}.tasks" not in sys.modules
        assert await (await double(21)).result(timeout=60) == 42
    assert f"{package}.tasks" in sys.modules


async def test_work_for_a_module_outside_the_package_waits(make_app: MakeApp, package: str) -> None:
    app = make_app()

    @app.task(task_id=f"{package}.tasks.double")
    async def stand_in(x: int) -> int:
        return 0

    @app.task
    async def quick() -> None:
        pass

    async with app:
        invocation = await stand_in(1)
        del app._internals.registry.tasks[stand_in.task_id]
        async with app.runner():
            await (await quick()).result(timeout=60)
            assert await invocation.status() is InvocationStatus.REGISTERED
    assert f"{package}.tasks" not in sys.modules


async def test_an_error_in_a_late_import_does_not_stop_the_runner(
    package: str, caplog: pytest.LogCaptureFixture
) -> None:
    app: TriggerEngine = import_module(f"{package}.app").app
    caller = sibling(app)

    @caller.task(task_id=f"{package}.broken.task")
    async def broken() -> None:
        pass

    @app.task(task_id="quick")
    async def quick() -> str:
        return "fine"

    async with caller, app.runner() as runner:
        await broken()
        await wait_until(lambda: any("cannot import" in record.message for record in caplog.records))
        assert await (await quick()).result(timeout=60) == "fine"
        assert runner.failed is None


async def test_an_undeclared_watched_task_stops_the_start(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(task_id="shop.tasks.charge")
    async def charge() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_any_result("shop.tasks.chrage"))
    async def follow() -> None:
        pass

    async with app:
        with pytest.raises(UnknownTask, match=r"did you mean 'shop\.tasks\.charge'\?"):
            async with app.runner():
                pass


async def test_tasks_may_watch_each_other_by_name(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[str] = []

    @app.task(task_id="b", triggers=TriggerBuilder().on_any_result("a"))
    async def b() -> None:
        seen.append("b")

    @app.task(task_id="a")
    async def a() -> None:
        seen.append("a")

    async with app, app.runner():
        await a()
        await wait_until(lambda: seen == ["a", "b"])


async def test_an_unknown_call_argument_of_a_watched_task_stops_the_start(
    make_app: MakeApp,
) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_status("pay", call_arguments={"amout": 1}), task_id="react")
    async def react() -> None:
        pass

    @app.task(task_id="pay")
    async def pay(amount: int) -> None:
        pass

    with pytest.raises(
        DeclarationError, match=r"trigger react#0: .* have 'amout', which pay does not take, did you mean 'amount'\?"
    ):
        async with app, app.runner():
            pass
