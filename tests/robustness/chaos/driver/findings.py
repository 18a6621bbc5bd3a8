"""What a run has shown: figures, and everything that should not have been."""

from __future__ import annotations

from collections import Counter

import msgspec


class Findings(msgspec.Struct, kw_only=True):
    """`violations`: for people, one sentence each; a run is sound without any.

    Figures: `faults` by kind; `kills`, by signal or mark; entries `purged`; `acknowledged` events and calls, how many
    of these the log has `lost` and how many it has `doubled`; `unacknowledged` ones, and how many of these are there
    all the same; `runs` of triggers, and those created twice; `executions` of task code; `restarted` invocations by
    what made it legitimate, and those `executed_twice` without; `ticks` of schedules; `leaders`; `entries` in the
    log, and how many were `audited`.
    """

    seed: int
    store: str
    seconds: float
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    kills: int = 0
    purged: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    stored_unacknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    runs: int = 0
    runs_twice: int = 0
    executions: int = 0
    restarted: Counter[str] = msgspec.field(default_factory=Counter)
    executed_twice: int = 0
    ticks: int = 0
    leaders: int = 0
    entries: int = 0
    audited: int = 0
    violations: list[str] = msgspec.field(default_factory=list)

    def require(self, holds: bool, violation: str) -> None:
        """Notes a violation unless something holds."""
        if not holds:
            self.violations.append(violation)

    def report(self) -> str:
        """Everything, for people."""
        faults = [f"  {count:>6} {kind}" for kind, count in sorted(self.faults.items())]
        restarted = ", ".join(f"{count} {why}" for why, count in sorted(self.restarted.items())) or "none"
        lines = [
            f"chaos: seed {self.seed}, {self.store}, {self.seconds:.0f} s in all",
            f"the log has {self.entries} entries, by {self.leaders} leaders",
            "done to the processes:",
            *faults,
            f"that is {self.kills} times kill -9 in all; {self.purged} entries were purged",
            f"acknowledged: {self.acknowledged} events and calls; lost: {self.lost}; there twice: {self.doubled}",
            f"not acknowledged: {self.unacknowledged}, of which {self.stored_unacknowledged} are there, once",
            f"trigger runs: {self.runs}; created twice: {self.runs_twice}; schedule ticks: {self.ticks}",
            f"task executions: {self.executions}; begun again: {restarted}; twice for no reason: {self.executed_twice}",
            f"entries that the audit found in order: {self.audited}",
            f"violations: {len(self.violations)}",
            *(f"  - {violation}" for violation in self.violations[:50]),
        ]
        return "\n".join(lines)
