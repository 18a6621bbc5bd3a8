"""Answers of the log that come late: what they say may be over."""

import asyncio
from typing import Any

from tests.support.apps import MakeApp
from tests.support.waiting import wait_until
from trigger_engine import TriggerBuilder, current_invocation
from trigger_engine.log.contract import Claims


async def test_a_claim_that_tells_of_what_has_ended_meanwhile_runs_nothing_again(make_app: MakeApp) -> None:
    app = make_app()
    gate = asyncio.Event()
    ran: list[str] = []

    @app.task(triggers=TriggerBuilder().on_event("paid"))
    async def ship() -> None:
        current = current_invocation()
        assert current is not None
        ran.append(current.invocation_id)
        await gate.wait()

    async with app, app.runner() as runner:
        worker = runner._worker
        assert worker is not None
        log: Any = (await app._connections.session()).log
        claim = log.claim
        told: list[Claims] = []
        asked_again = asyncio.Event()

        async def claim_late(runner_id: str, **how: Any) -> Claims:
            """The first answer was made before the log knew what the runner holds, and comes when that has ended."""
            if worker.finished and how["limit"]:
                asked_again.set()
            if told or not ran or not how["limit"]:
                return await claim(runner_id, **how)  # type: ignore[no-any-return]
            told.append(await claim(runner_id, **{**how, "holding": (), "wait": 0.0}))
            gate.set()
            await wait_until(lambda: worker.finished == 1)
            return told[0]

        log.claim = claim_late
        await app.emit_event("paid")
        await wait_until(asked_again.is_set)
        await app.emit_event("paid")
        await wait_until(lambda: len(set(ran)) == 2)
    assert [each.registration.invocation_id for each in told[0].stranded] == ran[:1]
    assert len(ran) == 2
