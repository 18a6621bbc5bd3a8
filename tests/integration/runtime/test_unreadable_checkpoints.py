"""Unreadable checkpoints: ignored while the log is complete, an error once it is trimmed."""

import pytest

from tests.support.apps import MakeApp
from tests.support.waiting import wait_until
from trigger_engine import TriggerBuilder, TriggerEngine
from trigger_engine._model.entries import LeaderElected
from trigger_engine._runtime.leader.term import LEASE
from trigger_engine.backend._contract import Checkpoint
from trigger_engine.errors import SerializationError


def waiting_for_both(app: TriggerEngine) -> list[str]:
    """Declares a task that waits for two events; returns the list of its runs."""
    seen: list[str] = []

    @app.task(triggers=TriggerBuilder().on_event("a").on_event("b"), task_id="gather")
    async def gather() -> None:
        seen.append("both")

    return seen


async def spoil(app: TriggerEngine) -> None:
    """Saves an unreadable checkpoint in the name of the last leader."""
    log = (await app._internals.connections.session()).log
    await app.emit_event("later")
    batch = await log.follow(await log.start())
    terms = [position for position, entry in batch.entries if isinstance(entry, LeaderElected)]
    assert await log.save_checkpoint(LEASE, Checkpoint(terms[-1], await log.tail(), b"\x01\xff"))


async def test_an_unreadable_checkpoint_is_ignored_while_the_log_is_complete(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()
    seen = waiting_for_both(app)
    async with app:
        async with app.runner():
            await app.emit_event("a")
        await spoil(app)
        async with app.runner():
            await app.emit_event("b")
            await wait_until(lambda: seen == ["both"])
    assert "reading the log from its start" in caplog.text


async def test_an_unreadable_checkpoint_of_a_trimmed_log_is_an_error(make_app: MakeApp) -> None:
    app = make_app()
    waiting_for_both(app)
    async with app:
        async with app.runner():
            await app.emit_event("a")
        await spoil(app)
        log = (await app._internals.connections.session()).log
        assert await log.trim((await log.follow(await log.start(), limit=2)).cursor, keys_before=0)
        with pytest.raises(SerializationError, match=r"checkpoint .* cannot be decoded .* restore the log"):
            async with app.runner():
                pass
