"""What is done to the processes of a run, and when: all of it follows from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

KINDS: dict[str, int] = {
    "kill a runner": 4,
    "kill the leader": 4,
    "kill a runner in an append": 2,
    "kill a runner after a commit": 1,
    "kill an emitter": 1,
    "kill an emitter in an append": 2,
    "kill an emitter after a commit": 1,
    "kill a history reader": 1,
    "pause the leader": 2,
    "pause a runner": 1,
    "restart a runner gracefully": 2,
    "set the clock forward": 2,
    "set the clock back": 2,
    "change the code of a runner": 3,
    "purge": 2,
}
"""Everything that is done to any backend, and how often it stands in a deck."""

_HOUR = 3600.0
_PAUSES = (0.1, 0.8)
"""Seconds between two steps, at least and at most."""


@dataclass(frozen=True)
class Step:
    """One step. `after`: seconds since the one before. `choice`: from 0 to 1, picks one of several candidates.

    `amount`: seconds by which the clock is set, or of a pause; from 0 to 1 for other kinds.
    """

    kind: str
    after: float
    choice: float
    amount: float


def steps(seed: int, more_kinds: tuple[str, ...] = (), *, each_once: bool = False) -> Iterator[Step]:
    """The endless schedule of a seed: decks of all kinds, each shuffled anew.

    `more_kinds`: those of a backend. `each_once`: a deck has each kind once, not as often as KINDS says.
    """
    chance = random.Random(seed)
    usual = dict.fromkeys(KINDS, 1) if each_once else KINDS
    weights = {**usual, **dict.fromkeys(more_kinds, 1)}
    while True:
        deck = [kind for kind, count in weights.items() for _ in range(count)]
        chance.shuffle(deck)
        for kind in deck:
            yield Step(kind, chance.uniform(*_PAUSES), chance.random(), _amount(kind, chance))


def _amount(kind: str, chance: random.Random) -> float:
    if kind.startswith("set the clock"):
        return chance.uniform(0.5, 5.0) * _HOUR
    return chance.uniform(2.0, 3.5) if kind.startswith("pause") else chance.random()
