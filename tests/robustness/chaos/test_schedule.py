"""The schedule of a run follows from its seed."""

from itertools import islice

from tests.robustness.chaos.driver.deeds import Deed
from tests.robustness.chaos.driver.schedule import KINDS, steps

DECK = sum(KINDS.values())


def test_a_seed_repeats_its_schedule_and_its_deeds() -> None:
    first, again, other = (list(islice(steps(seed), 100)) for seed in (7, 7, 8))
    assert first == again != other
    assert [Deed.of(7, number) for number in range(100)] == [Deed.of(7, number) for number in range(100)]
    assert [Deed.of(7, number) for number in range(100)] != [Deed.of(8, number) for number in range(100)]


def test_each_deck_has_every_kind() -> None:
    schedule = list(islice(steps(3, ("stop the server",)), 2 * (DECK + 1)))
    for deck in (schedule[: DECK + 1], schedule[DECK + 1 :]):
        assert {step.kind for step in deck} == {*KINDS, "stop the server"}


def test_a_short_deck_has_every_kind_once() -> None:
    schedule = list(islice(steps(3, ("stop the server",), each_once=True), len(KINDS) + 1))
    assert sorted(step.kind for step in schedule) == sorted([*KINDS, "stop the server"])


def test_deeds_are_of_every_kind() -> None:
    deeds = [Deed.of(1, number) for number in range(1, 2_000)]
    codes = {code for deed in deeds for code, _ in deed.events}
    assert codes == {"order", "urgent", "pallet", "truck", "relay"}
    calls = [deed for deed in deeds if not deed.events]
    assert {(deed.keyed, deed.delay is None) for deed in calls} == {
        (a, b) for a in (True, False) for b in (True, False)
    }
    assert any(deed.cancelled for deed in calls)
    assert any(len(deed.events) == 3 and deed.keyed for deed in deeds)
