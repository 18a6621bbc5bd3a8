"""The rows of open invocations as this process has last seen them, so that settling what it runs reads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trigger_engine.core.lifecycle import FINAL
from trigger_engine.log.sqlite.invocations import Row
from trigger_engine.log.sqlite.recent import Source

MOST = 2_000
"""A process that only registers never sees its invocations end: these are what it keeps of them."""


class KnownRows:
    """May be outdated: whoever moves a row that came from here must look whether it still stands so.

    Used by the writer's thread only.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._source: Source | None = None

    def find(self, source: Source, invocation_ids: Iterable[str]) -> dict[str, Row]:
        """What is known of these invocations of that log and file."""
        if source != self._source:
            self._rows.clear()
            self._source = source
            return {}
        rows = self._rows
        return {each: rows[each] for each in invocation_ids if each in rows}

    def note(self, source: Source, rows: Mapping[str, Row]) -> None:
        """Takes rows that were just committed; those of ended invocations go."""
        if source != self._source:
            self._rows.clear()
            self._source = source
        known = self._rows
        for invocation_id, row in rows.items():
            known.pop(invocation_id, None)
            if row.state.status not in FINAL:
                known[invocation_id] = row
        while len(known) > MOST:
            del known[next(iter(known))]

    def forget(self) -> None:
        """Drops everything."""
        self._rows.clear()
