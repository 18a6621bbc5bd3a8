"""A checkpoint that cannot be read: done without as long as the log has everything, told when it has not."""

import pytest

from tests.support.apps import MakeApp
from tests.support.waiting import wait_until
from trigger_engine import TriggerBuilder, TriggerEngine
from trigger_engine.entries.facts import LeaderElected
from trigger_engine.errors import SerializationError
from trigger_engine.log.contract import Checkpoint
from trigger_engine.runner.leadership import LEASE


def waiting_for_both(app: TriggerEngine) -> list[str]:
    """Declares a task that waits for two events; what it has done."""
    seen: list[str] = []

    @app.task(triggers=TriggerBuilder().on_event("a").on_event("b"), task_id="gather")
    async def gather() -> None:
        seen.append("both")

    return seen


async def spoil(app: TriggerEngine) -> None:
    """Saves a checkpoint that nobody can read, as the last leader would."""
    log = (await app._connections.session()).log
    await app.emit_event("later")
    batch = await log.follow(await log.start())
    terms = [position for position, entry in batch.entries if isinstance(entry, LeaderElected)]
    assert await log.save_checkpoint(LEASE, Checkpoint(terms[-1], await log.tail(), b"\x01\xff"))


async def test_it_is_done_without_while_the_log_has_everything(
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
    assert "everything is read from the start" in caplog.text


async def test_it_is_told_when_what_was_before_is_trimmed(make_app: MakeApp) -> None:
    app = make_app()
    waiting_for_both(app)
    async with app:
        async with app.runner():
            await app.emit_event("a")
        await spoil(app)
        log = (await app._connections.session()).log
        assert await log.trim((await log.follow(await log.start(), limit=2)).bookmark, keys_before=0)
        with pytest.raises(SerializationError, match=r"checkpoint cannot be read .* restore a backup of the log"):
            async with app.runner():
                pass
