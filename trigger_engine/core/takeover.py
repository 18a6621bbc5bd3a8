"""What a new leader must know before it judges anything: how far the leaders before it have judged."""

from __future__ import annotations

from trigger_engine.entries.facts import AnyEntry, CronTicked, Judged, LeaderElected, Position, TriggersDeclared


class Precedent:
    """Folds a log up to the new leader's own election.

    Attributes: `recorded_upto`: the position of the newest valid `Judged`, 0 for none; up to there a new leader
    replays. `first_declaration`: the log's first valid `TriggersDeclared`, where it lies in what was read.
    `last_sign`: when a leader last wrote something, seconds since 1970, None where it never did.
    """

    def __init__(self, current_terms: frozenset[Position] = frozenset()) -> None:
        self._terms: dict[str, Position] = {}
        self._older_terms = current_terms
        self.recorded_upto: Position = 0
        self.first_declaration: TriggersDeclared | None = None
        self.last_sign: float | None = None

    def read(self, position: Position, entry: AnyEntry) -> None:
        """Takes the next entry."""
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
