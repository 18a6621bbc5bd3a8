"""Rendezvous hashing: runners that claim from the same queue at the same time leave each other a share of the work.

For logs in which the first claim wins: a runner that chooses the same work as another makes an append for nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import ClassVar


class RecentClaimers:
    """The runners that started something recently. Times are seconds of one monotonic clock."""

    RECENT_SECONDS: ClassVar[float] = 1.0
    """How long a runner counts after its newest start."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def note(self, runner_id: str, now: float) -> None:
        """Records that a runner starts something."""
        self._seen[runner_id] = now

    def others(self, runner_id: str, now: float) -> Collection[str]:
        """The recent claimers except this runner."""
        self._seen = {each: seen for each, seen in self._seen.items() if now - seen < self.RECENT_SECONDS}
        return self._seen.keys() - {runner_id}


def ranks_first(runner_id: str, others: Collection[str], name: str) -> bool:
    """True when the runner ranks before all others for the work `name`.

    Runners that know of one another agree on the ranking.
    """
    if not others:
        return True
    own = _rank(runner_id, name)
    return all(own <= _rank(other, name) for other in others)


def _rank(runner_id: str, name: str) -> bytes:
    return blake2b(f"{runner_id}:{name}".encode(), digest_size=8).digest()
