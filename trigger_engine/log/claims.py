"""What every log does alike when it gives work to a runner."""

from __future__ import annotations

from collections.abc import Collection

from trigger_engine.core.lifecycle import InvocationState, next_attempt
from trigger_engine.core.status_entries import status_entry
from trigger_engine.entries.facts import Started
from trigger_engine.log.admission import Registration
from trigger_engine.log.contract import Claims
from trigger_engine.log.fresh import fresh_id


def started(registration: Registration, state: InvocationState, *, runner_id: str, now: float) -> Started:
    """The start of a waiting invocation by a new claim, whose id no other claim has, also none in a lost state."""
    claim = InvocationState(attempt=next_attempt(state), claim_id=fresh_id(), runner_id=runner_id)
    return status_entry(Started, registration, claim, now=now, cause=registration.id)


class ReportedClaims:
    """Remembers what runners were told last: the same revoked claims and unknown tasks again are no reason to wake.

    Else a runner that cannot import a task, or cannot stop a thread at once, would ask in a busy loop.
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def is_news(self, runner_id: str, claims: Claims) -> bool:
        """True when the claims hold work, or something that the runner was not told last time."""
        if claims.started or claims.stranded:
            return True
        revoked, unknown = self._told.get(runner_id, (frozenset(), frozenset()))
        return not (claims.revoked <= revoked and claims.unknown <= unknown)

    def told(self, runner_id: str, claims: Claims) -> None:
        """Notes what a runner is told now."""
        if claims.revoked or claims.unknown:
            self._told[runner_id] = (claims.revoked, claims.unknown)
        else:
            self._told.pop(runner_id, None)


def compare_held(held: Collection[str], holding: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Claim ids that the runner does not know of (stranded), and those that it holds no longer (revoked)."""
    in_store, at_runner = frozenset(held), frozenset(holding)
    return in_store - at_runner, at_runner - in_store
