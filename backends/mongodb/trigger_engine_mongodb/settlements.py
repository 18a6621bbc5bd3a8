"""What this process settles: a look at the log that does not show it yet must not take it for stranded or revoked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from trigger_engine.entries.facts import Failed, HandedBack, Retried, Succeeded
from trigger_engine.log.contract import Accepted, Outcome, Part

KEPT_SECONDS = 5.0
"""How long a settlement is remembered: looks show it long before, or the log has lost it."""
_KINDS = Succeeded | Failed | Retried | HandedBack


class Settlements:
    """Those of one open log, by claim."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._begun: set[str] = set()
        self._done: dict[str, float] = {}

    def begin(self, parts: Sequence[Part]) -> list[str]:
        """Notes the settlements that an append holds; to be given back to `end`."""
        claims = [part[0].claim_id for part in parts if len(part) == 1 and isinstance(part[0], _KINDS)]
        self._under_way.update(claims)
        self._begun.update(claims)
        return claims

    def end(self, claims: Iterable[str]) -> None:
        """They are under way no more."""
        self._under_way.subtract(claims)

    def note(self, parts: Sequence[Part], outcomes: Sequence[Outcome]) -> None:
        """They are in the log."""
        now = time.monotonic()
        for part, outcome in zip(parts, outcomes, strict=True):
            if part and isinstance(part[0], _KINDS) and isinstance(outcome, Accepted):
                self._done[part[0].claim_id] = now
        while self._done and now - next(iter(self._done.values())) > KEPT_SECONDS:
            del self._done[next(iter(self._done))]

    def begin_look(self) -> None:
        """From here on `begun` gathers."""
        self._begun = set(+self._under_way)

    @property
    def begun(self) -> frozenset[str]:
        """Those that were under way at some time since the look began."""
        return frozenset(self._begun)

    def are_done(self, claims: Iterable[str]) -> frozenset[str]:
        """Which of these claims were settled of late."""
        since = time.monotonic() - KEPT_SECONDS
        return frozenset(each for each in claims if self._done.get(each, 0.0) > since)
