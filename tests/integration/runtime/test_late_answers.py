"""Outdated answers to claims: the state may have changed since they were made."""

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.support.apps import MakeApp
from tests.support.waiting import wait_until
from trigger_engine import TriggerBuilder, current_invocation
from trigger_engine._model.entries import Started
from trigger_engine.backend._contract import Claims, Outcome, Part


async def test_a_late_claim_answer_does_not_run_an_ended_invocation_again(make_app: MakeApp) -> None:
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
        log: Any = (await app._internals.connections.session()).log
        claim = log.claim
        answers: list[Claims] = []
        claimed_again = asyncio.Event()

        async def claim_late(runner_id: str, **how: Any) -> Claims:
            """Makes the first answer before the log knows what the runner holds, and returns it after that ended."""
            if worker.finished and how["limit"]:
                claimed_again.set()
            if answers or not ran or not how["limit"]:
                return await claim(runner_id, **how)  # type: ignore[no-any-return]
            answers.append(await claim(runner_id, **{**how, "holding": (), "wait": 0.0}))
            gate.set()
            await wait_until(lambda: worker.finished == 1)
            return answers[0]

        log.claim = claim_late
        await app.emit_event("paid")
        await wait_until(claimed_again.is_set)
        await app.emit_event("paid")
        await wait_until(lambda: len(set(ran)) == 2)
    assert [one.registration.invocation_id for one in answers[0].stranded] == ran[:1]
    assert len(ran) == 2


async def test_a_claim_answer_from_before_a_start_stops_nothing(make_app: MakeApp) -> None:
    app = make_app()
    gate, asked = asyncio.Event(), asyncio.Event()
    ran: list[str] = []

    @app.task(triggers=TriggerBuilder().on_event("paid"))
    async def ship() -> str:
        current = current_invocation()
        assert current is not None
        ran.append(current.invocation_id)
        await gate.wait()
        return "shipped"

    async with app, app.runner() as runner:
        worker = runner._worker
        assert worker is not None
        log: Any = (await app._internals.connections.session()).log
        claim, append = log.claim, log.append
        reserved: list[str] = []
        answers: list[Claims] = []

        async def append_late(parts: Sequence[Part]) -> list[Outcome]:
            reserved.extend(entry.claim_id for part in parts for entry in part if isinstance(entry, Started))
            if reserved:
                await asked.wait()
            return await append(parts)  # type: ignore[no-any-return]

        async def claim_early(runner_id: str, **how: Any) -> Claims:
            """Makes one answer before the start is in the log, and returns it while the task is running."""
            if answers or not reserved or not how["limit"]:
                return await claim(runner_id, **{**how, "wait": 0.01})  # type: ignore[no-any-return]
            answers.append(await claim(runner_id, **{**how, "wait": 0.0}))
            asked.set()
            await wait_until(lambda: ran)
            return answers[0]

        log.append, log.claim = append_late, claim_early
        await app.emit_event("paid")
        await wait_until(lambda: ran)
        invocation = await app.invocation(ran[0])
        finished = worker.finished
        gate.set()
        assert await invocation.result(timeout=60) == "shipped"
        await wait_until(lambda: worker.finished > finished)
    assert answers[0].revoked == frozenset(reserved)
    assert len(ran) == 1
