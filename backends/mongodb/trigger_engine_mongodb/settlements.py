"""The settlements of this process.

A claim that does not see one of them in the log yet must not report it as stranded or revoked.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from trigger_engine.backend import Accepted, Failed, HandedBack, Outcome, Part, Retried, Succeeded

KEPT_SECONDS = 5.0
"""How long a settlement is remembered: by then the fold has seen it, or the log has lost it."""
_KINDS = Succeeded | Failed | Retried | HandedBack


class Settlements:
    """The settlements of one open log, by claim id."""

    def __init__(self) -> None:
        self._in_progress: Counter[str] = Counter()
        self._begun: set[str] = set()
        self._done: dict[str, float] = {}

    def begin(self, parts: Sequence[Part]) -> list[str]:
        """Records the settlements in an append that begins; pass the result to `end`."""
        claims = [part[0].claim_id for part in parts if len(part) == 1 and isinstance(part[0], _KINDS)]
        self._in_progress.update(claims)
        self._begun.update(claims)
        return claims

    def end(self, claims: Iterable[str]) -> None:
        """The append with these settlements has ended."""
        self._in_progress.subtract(claims)

    def note(self, parts: Sequence[Part], outcomes: Sequence[Outcome]) -> None:
        """Records the settlements that were stored."""
        now = time.monotonic()
        for part, outcome in zip(parts, outcomes, strict=True):
            if part and isinstance(part[0], _KINDS) and isinstance(outcome, Accepted):
                self._done[part[0].claim_id] = now
        while self._done and now - next(iter(self._done.values())) > KEPT_SECONDS:
            del self._done[next(iter(self._done))]

    def begin_attempt(self) -> None:
        """A claim begins: `begun` collects settlements from here on."""
        self._begun = set(+self._in_progress)

    @property
    def begun(self) -> frozenset[str]:
        """The settlements that were in progress at any time since the claim began."""
        return frozenset(self._begun)

    def settled(self, claims: Iterable[str]) -> frozenset[str]:
        """Which of these claims were settled recently."""
        since = time.monotonic() - KEPT_SECONDS
        return frozenset(each for each in claims if self._done.get(each, 0.0) > since)
