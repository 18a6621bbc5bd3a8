"""Runners that choose from the same queue at the same time: each leaves some of the work to the others.

For logs in which a claim counts when it stands first: what two choose costs the second an append for nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

KEPT_SECONDS = 1.0
"""How long after its newest start a runner counts as one that works."""
GRACE_SECONDS = 0.1
"""How long work is left to another runner, which may be busy, or gone."""


class Rivals:
    """Who has started something of late. Times: seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def note(self, runner_id: str, now: float) -> None:
        """A runner starts something."""
        self._seen[runner_id] = now

    def of(self, runner_id: str, now: float) -> Collection[str]:
        """The others."""
        self._seen = {each: seen for each, seen in self._seen.items() if now - seen < KEPT_SECONDS}
        return self._seen.keys() - {runner_id}


def is_first(runner_id: str, rivals: Collection[str], name: str) -> bool:
    """True when this work is rather for the runner than for its rivals: all who know of one another agree on that."""
    if not rivals:
        return True
    own = _rank(runner_id, name)
    return all(own <= _rank(rival, name) for rival in rivals)


def _rank(runner_id: str, name: str) -> bytes:
    return blake2b(f"{runner_id}:{name}".encode(), digest_size=8).digest()
