"""The parts of claiming that every log shares."""

from __future__ import annotations

from collections.abc import Collection

from trigger_engine._engine.lifecycle import InvocationState, next_attempt, status_entry
from trigger_engine._model.entries import Started
from trigger_engine.backend._append_validation import Registration
from trigger_engine.backend._contract import Claims
from trigger_engine.backend._ids import fresh_id


def start_entry(registration: Registration, state: InvocationState, *, runner_id: str, now: float) -> Started:
    """The entry that starts a waiting invocation under a new claim.

    The claim id is unique, even among claims in a state of the log that was lost.
    """
    claim = InvocationState(attempt=next_attempt(state), claim_id=fresh_id(), runner_id=runner_id)
    return status_entry(Started, registration, claim, now=now, cause=registration.id)


class ReportedClaims:
    """Remembers the revoked claims and unknown tasks last reported to each runner: a repeat does not end a wait.

    Otherwise a runner that cannot import a task, or cannot stop a thread at once, would claim in a busy loop.
    """

    def __init__(self) -> None:
        self._reported: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def is_news(self, runner_id: str, claims: Claims) -> bool:
        """True when the claims hold work, or something that the last report did not."""
        if claims.started or claims.stranded:
            return True
        revoked, unknown = self._reported.get(runner_id, (frozenset(), frozenset()))
        return not (claims.revoked <= revoked and claims.unknown <= unknown)

    def record(self, runner_id: str, claims: Claims) -> None:
        """Remembers what is reported to a runner now."""
        if claims.revoked or claims.unknown:
            self._reported[runner_id] = (claims.revoked, claims.unknown)
        else:
            self._reported.pop(runner_id, None)


def compare_claims(stored: Collection[str], holding: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The stranded and the revoked claims: ids that only the store has, and ids that only the runner has."""
    in_store, at_runner = frozenset(stored), frozenset(holding)
    return in_store - at_runner, at_runner - in_store
