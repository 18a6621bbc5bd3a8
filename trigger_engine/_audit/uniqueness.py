"""Checks in bounded memory that every entry id is used once: ids are sorted in runs on disk and then merged."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Self

from trigger_engine._audit.report import Findings
from trigger_engine._model.entries import Position


class Uniqueness:
    """Collects the ids of all valid entries. `IN_MEMORY`: how many ids are sorted at a time."""

    IN_MEMORY = 100_000

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._newest: list[str] = []
        self._runs: list[IO[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        for run in self._runs:
            run.close()

    def add(self, position: Position, entry_id: str) -> None:
        """Adds the id of the next entry."""
        self._newest.append(f"{json.dumps(entry_id)}\t{position:020d}\n")
        if len(self._newest) >= self.IN_MEMORY:
            self._spill()

    def finish(self) -> None:
        """Reports every entry whose id was used by an earlier entry."""
        previous, first = "", 0
        for line in heapq.merge(*map(_lines, self._runs), sorted(self._newest)):
            self._findings.checked["unique ids"] += 1
            quoted, _, text = line.partition("\t")
            position = int(text)
            if quoted == previous:
                self._findings.report(
                    "unique ids",
                    position,
                    json.loads(quoted),
                    "an earlier entry has the same id",
                    expected="a unique id",
                    found=f"the id of the entry at {first}",
                )
            else:
                previous, first = quoted, position

    def _spill(self) -> None:
        run = TemporaryFile("w+", encoding="utf-8", prefix="trigger-engine-audit-")  # noqa: SIM115
        self._runs.append(run)
        run.writelines(sorted(self._newest))
        self._newest = []


def _lines(run: IO[str]) -> Iterator[str]:
    run.seek(0)
    yield from run
