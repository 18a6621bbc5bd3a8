"""What type checkers see of the public API; mypy and pyright read this file, and it runs as well."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, assert_type

from trigger_engine import (
    AsyncTask,
    CurrentInvocation,
    EventContext,
    Invocation,
    InvocationStatus,
    SyncInvocation,
    SyncTask,
    TriggerBuilder,
    TriggerEngine,
    current_invocation,
)
from trigger_engine.testing import TestEngine

app = TriggerEngine(app_id="typing", trigger_cls="MemTrigger")


@app.task
async def double(number: int, note: str = "") -> int:
    return number * 2


@app.task(max_retries=2, retry_for=(OSError, ValueError), timeout=timedelta(seconds=5), run_in="thread")
def shout(text: str) -> list[str]:
    return [text.upper()]


def number_of(ctx: EventContext) -> dict[str, Any]:
    return {"number": ctx.payload["number"]}


@app.task(
    triggers=[TriggerBuilder().on_event("number").with_args_from_event(number_of), TriggerBuilder().on_status(double)]
)
async def note(number: int = 0) -> None:
    """Reacts."""


async def test_calls_keep_the_types_of_the_functions() -> None:
    async with TestEngine(app) as engine:
        doubled = await double(2, note="x")
        delayed = await double.options(delay=timedelta(minutes=1), queue="slow")(number=3)
        shouted = await shout("a")
        await engine.run_until_idle()
        await engine.advance(minutes=1)
        assert_type(doubled, Invocation[int])
        assert_type(await doubled.result(timeout=1), int)
        assert_type(await delayed.result(), int)
        assert_type(await shouted.result(), list[str])
        assert_type(await doubled.status(), InvocationStatus)
        assert_type(await doubled.cancel(), bool)
        assert_type(await doubled.rerun(), Invocation[int])
        assert_type(await app.invocation(doubled.invocation_id), Invocation[Any])
        assert_type(engine.calls(double), list[dict[str, Any]])


def test_declared_functions_have_the_types_of_tasks() -> None:
    assert isinstance(double, AsyncTask)
    assert isinstance(shout, SyncTask)
    assert_type(current_invocation(), CurrentInvocation | None)
    assert shout.func("a") == ["A"]


if TYPE_CHECKING:

    async def only_read_by_type_checkers() -> None:
        assert_type(double.func(1), Any)
        assert_type(app.sync.enqueue(double, 1, note="x"), SyncInvocation[int])
        assert_type(app.sync.enqueue(shout.options(queue="q"), "a").result(), list[str])
        assert_type(await app.emit_event("a", {"b": 1}), str)
        assert_type(await app.emit_events([("a", {"b": 1})]), list[str])
        async with app.history() as history:
            page = await history.events(limit=10)
            first: Sequence[Any] = page
            assert_type(page.next_cursor, str | None)
            assert first is page
        await double("2")  # type: ignore[arg-type]
        await double()  # type: ignore[call-arg]
        await shout(text=1)  # type: ignore[arg-type]
        app.sync.enqueue(double, "2")  # type: ignore[arg-type]
