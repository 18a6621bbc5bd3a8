"""Many triggers and many events at once: exactly the firings that a plain loop over both would give."""

from collections import Counter
from typing import Any

import pytest

from tests.acceptance.driving import declare_marker
from tests.support.apps import MakeApp
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import Event, EventContext, TriggerBuilder
from trigger_engine._model.entries import Succeeded, TriggerFired, TriggerRejected

pytestmark = pytest.mark.every_backend

CODES, ROLES, LEVELS = 20, 5, 10
EVENTS = 500


def number_of(ctx: EventContext) -> dict[str, Any]:
    return {"number": ctx.payload["number"]}


def is_round(payload: dict[str, Any]) -> bool:
    return bool(payload["number"] % 100 == 0)


def events() -> list[Event]:
    return [
        Event(
            f"code.{number % CODES}",
            {"number": number, "who": {"role": f"role.{number % 7}"}, "level": (number // CODES) % LEVELS},
        )
        for number in range(EVENTS)
    ]


def triggers() -> list[TriggerBuilder]:
    """200 of them: by role in a nested mapping, by level, by function, and by code alone."""
    by_role = [
        TriggerBuilder().on_event(f"code.{code}", {"who": {"role": f"role.{role}"}})
        for code in range(CODES)
        for role in range(ROLES)
    ]
    by_level = [TriggerBuilder().on_event(f"code.{n % CODES}", {"level": n % LEVELS}) for n in range(60)]
    by_function = [TriggerBuilder().on_event(f"code.{code}", is_round) for code in range(CODES)]
    by_code = [TriggerBuilder().on_event(f"code.{code}") for code in range(CODES)]
    return [*by_role, *by_level, *by_function, *by_code]


def expected() -> Counter[tuple[int, int]]:
    """How often each trigger fires for each event: one after the other, without any index."""
    found: Counter[tuple[int, int]] = Counter()
    for event in events():
        payload: Any = event.payload
        number, code = payload["number"], int(event.event_code.partition(".")[2])
        for place in range(CODES * ROLES):
            if place // ROLES == code and payload["who"]["role"] == f"role.{place % ROLES}":
                found[place, number] += 1
        for n in range(60):
            if n % CODES == code and payload["level"] == n % LEVELS:
                found[100 + n, number] += 1
        if number % 100 == 0:
            found[160 + code, number] += 1
        found[180 + code, number] += 1
    return found


@pytest.mark.parametrize("runners", [1, 2])
async def test_200_triggers_and_500_events_fire_exactly_as_expected(make_app: MakeApp, runners: int) -> None:
    app = make_app()
    places: dict[str, int] = {}
    done: Counter[tuple[int, int]] = Counter()
    for place, trigger in enumerate(triggers()):

        @app.task(task_id=f"react.{place}", triggers=trigger.with_args_from_event(number_of))
        async def react(number: int, place: int = place) -> None:
            done[place, number] += 1

        places[react.task_id] = place
    assert len(places) == 200

    wanted = expected()
    declare_marker(app)
    async with app, app.runner():
        batch = events()
        for start in range(0, EVENTS, 50):
            await app.emit_events(batch[start : start + 50])
        if runners == 2:
            async with app.runner():
                await wait_until(lambda: done.total() >= wanted.total(), deadline=60)
        await wait_until(lambda: done.total() >= wanted.total(), deadline=60)

        async def all_settled() -> bool:
            return len(await entries_of_type(app, Succeeded)) >= wanted.total()

        await wait_until(all_settled, deadline=60)
        fired = await entries_of_type(app, TriggerFired)
        assert await entries_of_type(app, TriggerRejected) == []
    by_place = Counter(places[one.task_id] for one in fired)
    assert by_place == Counter(place for place, _ in wanted.elements())
    assert done == wanted
