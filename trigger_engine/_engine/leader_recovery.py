"""What a new leader reads before it evaluates: how far its predecessors got, and since when some runner has been up."""

from __future__ import annotations

from collections.abc import Iterable

from trigger_engine._model.entries import AnyEntry, CronTicked, Judged, LeaderElected, Position, TriggersDeclared


def up_since(now: float, alive: Iterable[tuple[float, float]], *, gap: float) -> float:
    """Since when at least one runner has been up without interruption until `now` (seconds since 1970).

    `alive`: (start, end) of each interval in which a runner or leader was up. Interruptions of up to `gap` seconds are
    ignored.
    """
    since = now
    for start, end in sorted(alive, key=lambda interval: interval[1], reverse=True):
        if end < since - gap:
            break
        since = min(since, start)
    return since


class Predecessors:
    """What earlier leaders recorded: a fold of the log up to the new leader's own election.

    Attributes:
        recorded_upto: position of the newest valid `Judged`, 0 for none. The new leader replays up to there.
        first_declaration: the first valid `TriggersDeclared` read, None if there is none.
        last_sign: when a leader last wrote a `Judged` or a tick, seconds since 1970; None for never.
    """

    def __init__(self, current_terms: frozenset[Position] = frozenset()) -> None:
        self._terms: dict[str, Position] = {}
        self._older_terms = current_terms
        self.recorded_upto: Position = 0
        self.first_declaration: TriggersDeclared | None = None
        self.last_sign: float | None = None

    def read(self, position: Position, entry: AnyEntry) -> None:
        """Folds the next entry."""
        if isinstance(entry, LeaderElected):
            self._older_terms = frozenset()
            self._terms[entry.name] = position
        elif isinstance(entry, (Judged, CronTicked)):
            if self._is_current(entry.term):
                self.last_sign = entry.time
                if isinstance(entry, Judged):
                    self.recorded_upto = position
        elif isinstance(entry, TriggersDeclared) and self.first_declaration is None and self._is_current(entry.term):
            self.first_declaration = entry

    def _is_current(self, term: Position) -> bool:
        return term in self._terms.values() or term in self._older_terms
