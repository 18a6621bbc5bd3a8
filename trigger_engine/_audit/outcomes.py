"""Checks that every entry had the outcome that the rules require, for every trigger that listens to it."""

from __future__ import annotations

from trigger_engine._audit.active_triggers import ActiveTriggers, WatchedTrigger
from trigger_engine._audit.conditions import ConditionCheck, DecodedEntry
from trigger_engine._audit.decision_outputs import DecisionOutputs, Run
from trigger_engine._audit.join_state import AuditLimits, Contribution
from trigger_engine._audit.report import Findings
from trigger_engine._audit.user_code import FilterOutcome, UserCode
from trigger_engine._model import ids
from trigger_engine._model.encoding import encode_entry
from trigger_engine._model.entries import AnyEntry, ChainEnded, Position, TriggerFired

_Completed = tuple[list[Contribution], int]


class Outcomes:
    """Evaluates entries again and compares the result with the log.

    `trimmed`: contributions collected before the start of the log are unknown.
    """

    def __init__(
        self, findings: Findings, active_triggers: ActiveTriggers, code: UserCode, limits: AuditLimits, *, trimmed: bool
    ) -> None:
        self._findings = findings
        self._active_triggers = active_triggers
        self._code = code
        self._limits = limits
        self._trimmed = trimmed

    def evaluate(
        self, position: Position, entry: AnyEntry, statuses: tuple[str, ...], outputs: DecisionOutputs
    ) -> None:
        """Compares the effects of an entry with the recorded outputs."""
        decoded = DecodedEntry(entry)
        for watched, checks in self._active_triggers.listening(entry, statuses):
            self._findings.checked["entries × triggers"] += 1
            outcome = self._outcome(position, decoded, watched, checks, outputs) if watched.active else "suspended"
            self._findings.outcomes[outcome] += 1

    def count_unevaluated(self, entry: AnyEntry, statuses: tuple[str, ...]) -> None:
        """Counts an entry that no leader has evaluated yet. A suspended trigger ignores it in any case."""
        for watched, _ in self._active_triggers.listening(entry, statuses):
            if watched.active:
                self._findings.outcomes["not yet evaluated"] += 1
            else:
                self._findings.checked["entries × triggers"] += 1
                self._findings.outcomes["suspended"] += 1

    def _outcome(
        self,
        position: Position,
        decoded: DecodedEntry,
        watched: WatchedTrigger,
        checks: list[ConditionCheck],
        outputs: DecisionOutputs,
    ) -> str:
        trigger_id, entry = watched.definition.id, decoded.entry
        met, failed = self._met(position, decoded, trigger_id, checks, outputs)
        recorded = outputs.met(trigger_id, entry.id)
        run, ended = outputs.take_run(trigger_id, entry.id), outputs.take_ended(trigger_id, entry.id)
        kept = outputs.take_kept(trigger_id, entry.id)
        if watched.join is not None and self._trimmed:
            self._findings.unverifiable["joins of a trimmed log"] += 1
            return "unverifiable"
        size = len(encode_entry(entry)) if met and watched.join is not None else 0
        contributions = [Contribution(position, one, entry.id, entry.depth, size) for one in met]
        completed = self._completed(watched, entry, contributions)
        if watched.join is not None and run is None and ended is None:
            self._compare_kept(position, entry, watched, expected=set(met), found=recorded)
        for extra in sorted(set(kept) - set(met)):
            self._report_kept(position, entry, watched, extra)
        if completed is None:
            return self._without_run(position, watched, entry, run, ended, met=bool(met), failed=failed)
        return self._with_run(position, watched, entry, completed, run=run, ended=ended)

    def _met(
        self,
        position: Position,
        decoded: DecodedEntry,
        trigger_id: str,
        checks: list[ConditionCheck],
        outputs: DecisionOutputs,
    ) -> tuple[list[str], bool]:
        """Returns the conditions that the entry meets, and whether a filter failed.

        For a filter that cannot be called, the recorded outcome is accepted.
        """
        entry_id = decoded.entry.id
        recorded, ends_chain = outputs.met(trigger_id, entry_id), outputs.ends_chain(trigger_id, entry_id)
        met: list[str] = []
        failed = False
        for check in checks:
            condition_id = check.condition.id
            if outputs.failed(condition_id, entry_id):
                failed = True
                continue
            outcome = check.outcome(decoded, self._code)
            if outcome is FilterOutcome.UNKNOWN:
                self._findings.unverifiable["filters whose code is missing or has changed"] += 1
            elif outcome is FilterOutcome.FAILED:
                self._findings.report(
                    "filters",
                    position,
                    entry_id,
                    f"a filter of {condition_id} raises, but the failure was not recorded",
                    expected="a FilterFailed entry",
                    found="none",
                )
            accepted = outcome is FilterOutcome.UNKNOWN and (ends_chain or condition_id in recorded)
            if outcome is FilterOutcome.YES or accepted:
                met.append(condition_id)
        return met, failed

    def _completed(self, watched: WatchedTrigger, entry: AnyEntry, met: list[Contribution]) -> _Completed | None:
        if not met:
            return None
        return (met, 0) if watched.join is None else watched.join.add(entry, met)

    def _compare_kept(
        self, position: Position, entry: AnyEntry, watched: WatchedTrigger, *, expected: set[str], found: set[str]
    ) -> None:
        self._findings.checked["contributions"] += len(expected)
        for missing in sorted(expected - found):
            self._findings.report(
                "contributions",
                position,
                entry.id,
                f"it met {missing} of {watched.definition.id}, but no contribution was recorded",
                expected="a contribution, kept or in a run",
                found="none",
            )

    def _report_kept(self, position: Position, entry: AnyEntry, watched: WatchedTrigger, condition_id: str) -> None:
        self._findings.report(
            "contributions",
            position,
            entry.id,
            f"it is kept for {watched.definition.id}",
            expected=f"nothing, because it does not meet {condition_id}",
            found=f"a contribution to {condition_id}",
        )

    def _without_run(
        self,
        position: Position,
        watched: WatchedTrigger,
        entry: AnyEntry,
        run: tuple[Position, Run] | None,
        ended: tuple[Position, ChainEnded] | None,
        *,
        met: bool,
        failed: bool,
    ) -> str:
        recorded = run or ended
        if recorded is None:
            return "kept" if met else "filter failed" if failed else "filtered"
        if watched.join is not None:
            watched.join.empty(entry)
        reason = "its conditions are not all met" if met else "the entry meets none of its conditions"
        self._findings.report(
            "runs",
            recorded[0],
            recorded[1].id,
            f"{watched.definition.id} fired on {entry.id} at {position} without cause",
            expected=f"no run: {reason}",
            found=type(recorded[1]).__name__,
        )
        return "fired" if run is not None else "chain ended"

    def _with_run(
        self,
        position: Position,
        watched: WatchedTrigger,
        entry: AnyEntry,
        completed: _Completed,
        *,
        run: tuple[Position, Run] | None,
        ended: tuple[Position, ChainEnded] | None,
    ) -> str:
        contributions, dropped = completed
        depth = 1 + max(one.depth for one in contributions)
        if depth > self._limits.max_chain_length:
            found = "a run" if run else "nothing"
            if ended is None:
                self._report_outcome(position, entry, watched, expected="a chain end", found=found)
            return "chain ended"
        if run is None:
            found = "a chain end" if ended else "nothing"
            self._report_outcome(position, entry, watched, expected="a run", found=found)
            return "missing"
        self._findings.checked["runs"] += 1
        self._compare_run(run, watched, entry, contributions, dropped=dropped, depth=depth)
        return "fired" if isinstance(run[1], TriggerFired) else "rejected"

    def _report_outcome(
        self, position: Position, entry: AnyEntry, watched: WatchedTrigger, *, expected: str, found: str
    ) -> None:
        problem = f"it completes {watched.definition.id}"
        self._findings.report("outcomes", position, entry.id, problem, expected=expected, found=found)

    def _compare_run(
        self,
        recorded: tuple[Position, Run],
        watched: WatchedTrigger,
        cause: AnyEntry,
        contributions: list[Contribution],
        *,
        dropped: int,
        depth: int,
    ) -> None:
        position, run = recorded
        definition = watched.definition
        required: dict[str, object] = {
            "participants": [(one.condition_id, one.entry_id) for one in contributions],
            "run id": ids.run_id(definition.id, [one.entry_id for one in contributions]),
            "dropped contributions": dropped,
            "depth": depth,
            "task": definition.task_id,
        }
        found: dict[str, object] = {
            "participants": [(one.condition_id, one.entry_id) for one in run.participants],
            "run id": run.id,
            "dropped contributions": run.dropped,
            "depth": run.depth,
            "task": run.task_id,
        }
        if not self._trimmed:
            required["slot"], found["slot"] = watched.slot, run.slot
        if isinstance(run, TriggerFired):
            required["queue"], found["queue"] = definition.queue, run.queue
        for what, expected in required.items():
            self._findings.compare("runs", position, run.id, what, expected=expected, found=found[what])
