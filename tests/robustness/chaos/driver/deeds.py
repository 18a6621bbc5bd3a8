"""What emitters do: all of it follows from the seed of the run and a number."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

_RELAY_LENGTH = 3
_RARE = 60
_LATER = (2.0, 40.0, 1_200.0, 9_000.0)
"""Delays of calls in seconds: some are over soon, some when the clock moves by hours."""


@dataclass(frozen=True)
class Deed:
    """One thing that an emitter does; it follows from the seed and its number.

    `events`: emitted in one append. Without any it is a call: `delay` in seconds, `cancelled` right after it.
    `keyed`: under an idempotency key, so that a successor does it again when it was not acknowledged.
    """

    number: int
    events: tuple[tuple[str, dict[str, Any]], ...]
    keyed: bool
    delay: float | None = None
    cancelled: bool = False

    @classmethod
    def of(cls, seed: int, number: int) -> Deed:
        """What is done under a number."""
        chance = random.Random(f"{seed}:{number}")
        keyed = chance.random() < 0.3
        kind = chance.random()
        if kind < 0.1:
            return cls(number, (), keyed, chance.choice(_LATER), cancelled=chance.random() < 0.3)
        if kind < 0.2:
            return cls(number, (), keyed)
        if number % _RARE == 0:
            return cls(number, ((chance.choice(("pallet", "truck")), {"number": number}),), keyed)
        if kind < 0.25:
            return cls(number, (("relay", {"number": number, "left": _RELAY_LENGTH}),), keyed)
        count = 3 if kind > 0.9 else 1
        return cls(number, tuple(_order(chance, number, place) for place in range(count)), keyed)


def _order(chance: random.Random, number: int, place: int) -> tuple[str, dict[str, Any]]:
    code = "urgent" if chance.random() < 0.3 else "order"
    payload = {"number": number, "place": place, "paid": chance.random() < 0.7}
    if chance.random() < 0.1:
        payload["vip"] = chance.random() < 0.5
    return code, payload
