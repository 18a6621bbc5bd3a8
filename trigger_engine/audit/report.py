"""What an audit has counted and found."""

from __future__ import annotations

from collections import Counter

import msgspec

from trigger_engine.entries.facts import Position


class Offence(msgspec.Struct, frozen=True, kw_only=True):
    """One entry that does not fit the rest. `check`: what was checked; `expected` and `found` are for people."""

    check: str
    position: Position
    entry_id: str
    wrong: str
    expected: str = ""
    found: str = ""


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an audit; the books balance when `offence_counts` is empty.

    Attributes: `start` and `upto`, the positions between which the log was read; `judged_upto`, how far its leaders
    have judged; `trimmed`, whether retention has removed what came before. Counts by name: `entries` (valid, by kind),
    `void` (by reason), `checked`, `outcomes` (one for each entry and trigger that listens to it), `unverifiable`,
    `offence_counts` (by check). `offences`: the first ones, in the order in which they were found.
    """

    log_id: str
    start: Position
    upto: Position
    judged_upto: Position
    trimmed: bool
    entries: dict[str, int]
    void: dict[str, int]
    checked: dict[str, int]
    outcomes: dict[str, int]
    unverifiable: dict[str, int]
    offence_counts: dict[str, int]
    offences: tuple[Offence, ...]

    @property
    def balances(self) -> bool:
        """True when nothing is off."""
        return not self.offence_counts


class Books:
    """Counts while an audit reads. Keeps the first `keep` offences, and counts the rest."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.entries: Counter[str] = Counter()
        self.void: Counter[str] = Counter()
        self.checked: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.unverifiable: Counter[str] = Counter()
        self.offence_counts: Counter[str] = Counter()
        self.offences: list[Offence] = []

    def offend(
        self, check: str, position: Position, entry_id: str, wrong: str, *, expected: object = "", found: object = ""
    ) -> None:
        """Notes that something is off."""
        self.offence_counts[check] += 1
        if len(self.offences) < self._keep:
            self.offences.append(
                Offence(
                    check=check,
                    position=position,
                    entry_id=entry_id,
                    wrong=wrong,
                    expected=str(expected),
                    found=str(found),
                )
            )

    def equal(
        self, check: str, position: Position, entry_id: str, what: str, *, expected: object, found: object
    ) -> None:
        """Notes an offence unless both are equal."""
        if expected != found:
            self.offend(check, position, entry_id, f"its {what} is wrong", expected=expected, found=found)
