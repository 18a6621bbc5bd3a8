"""Explains why an entry did or did not fire a trigger: first from recorded facts, then from its conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import msgspec

from trigger_engine._engine.predicates import ConditionFinding, Occurrence, examine, listens
from trigger_engine._model.definitions import (
    Condition,
    CronCondition,
    EventCondition,
    TriggerDefinition,
    condition_task,
)
from trigger_engine._model.entries import Position

TriggerStatus = Literal["active", "suspended", "retired", "replaced", "not declared"]
Outcome = Literal[
    "fired",
    "rejected",
    "chain ended",
    "kept",
    "dropped",
    "not evaluated",
    "not recorded",
    "filtered",
    "not active",
    "void",
    "not listening",
]
"""What a trigger did with an entry. Of several outcomes, the one that comes first here explains most."""

_RANK: dict[Outcome, int] = {outcome: rank for rank, outcome in enumerate(get_args(Outcome))}
_STATUS_TEXTS: dict[TriggerStatus, str] = {
    "active": "was active",
    "suspended": "was suspended: no live runner had its code",
    "retired": "was retired: no live runner had had it for retire_after",
    "replaced": "had been replaced by another trigger in its slot",
    "not declared": "was declared after this entry, and a trigger does not see entries from before its declaration",
}


class ExplainedTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger to explain.

    `status`: at the position of the entry. `missing`: conditions of an AND trigger without a contribution now.
    """

    trigger: TriggerDefinition
    status: TriggerStatus
    missing: tuple[str, ...] = ()


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that the entry is part of. `error`: why the run was rejected. `condition_ids`: those that the entry met."""

    run_id: str
    trigger_id: str
    invocation_id: str | None
    error: str | None
    condition_ids: tuple[str, ...]
    participants: int = 1


class RecordedKept(msgspec.Struct, frozen=True, kw_only=True):
    """The entry was kept for a condition. `waiting`: it still waits. `settled`: its group on one task was completed."""

    trigger_id: str
    condition_id: str
    waiting: bool
    settled: bool


class RecordedFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What leaders recorded about the entry. `errors`: of filters, by condition id and function name."""

    evaluated_upto: Position
    runs: tuple[RecordedRun, ...] = ()
    kept: tuple[RecordedKept, ...] = ()
    errors: Mapping[str, Mapping[str, str]] = {}
    ended_chains: frozenset[str] = frozenset()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why an entry did or did not fire a trigger. `text`: in one sentence, with tokens such as `invocation:<id>`."""

    entry_id: str
    trigger_id: str
    slot: str
    task_id: str
    logic: Literal["and", "or"]
    outcome: Outcome
    text: str
    conditions: tuple[ConditionFinding, ...] = ()
    run_id: str | None = None
    invocation_id: str | None = None
    missing: tuple[str, ...] = ()


def explain(occurrence: Occurrence, explained: ExplainedTrigger, record: RecordedFacts) -> Explanation:
    """Why an entry did or did not fire a trigger."""
    return _Case(occurrence, explained, record).explanation()


def strongest(explanations: Sequence[Explanation]) -> Explanation:
    """The most informative explanation for one trigger.

    `explanations`: one for each entry of an invocation, oldest first; must not be empty.
    """
    return max(
        reversed(explanations), key=lambda explanation: (-_RANK[explanation.outcome], _passed_first(explanation))
    )


def _passed_first(explanation: Explanation) -> bool:
    """True if the first check of some condition passed, usually the one of the status."""
    return any(finding.answers[0].passed for finding in explanation.conditions if finding.answers)


class _Case:
    """One trigger and one entry."""

    def __init__(self, occurrence: Occurrence, explained: ExplainedTrigger, record: RecordedFacts) -> None:
        trigger = explained.trigger
        self._occurrence = occurrence
        self._explained = explained
        self._record = record
        self._trigger = trigger
        self._runs = [run for run in record.runs if run.trigger_id == trigger.id]
        self._kept = [kept for kept in record.kept if kept.trigger_id == trigger.id]
        self._listening = [condition for condition in trigger.conditions if listens(condition, occurrence)]
        self._is_evaluated = occurrence.position <= record.evaluated_upto
        self._findings = tuple(self._finding(condition) for condition in self._listening)

    def explanation(self) -> Explanation:
        for explanation_of in (
            self._void,
            self._fired,
            self._chain_ended,
            self._waiting,
            self._not_listening,
            self._not_in_force,
            self._not_evaluated,
        ):
            explanation = explanation_of()
            if explanation is not None:
                return explanation
        return self._filtered()

    def _finding(self, condition: Condition) -> ConditionFinding:
        met = {condition_id for run in self._runs for condition_id in run.condition_ids}
        met |= {kept.condition_id for kept in self._kept}
        recorded = True if condition.id in met else (False if self._is_evaluated else None)
        errors = self._record.errors.get(condition.id, {})
        return examine(condition, self._occurrence, recorded=recorded, errors=errors)

    def _void(self) -> Explanation | None:
        reason = self._occurrence.void
        return None if reason is None else self._explain("void", f"the entry is void: {reason}")

    def _fired(self) -> Explanation | None:
        if not self._runs:
            return None
        run = next((run for run in self._runs if run.error is None), self._runs[0])
        more = f", together with {run.participants - 1} others," if run.participants > 1 else ""
        if run.error is not None:
            text = f"trigger-run:{run.run_id}{more} was rejected, its arguments could not be built: {run.error}"
        else:
            text = f"trigger-run:{run.run_id}{more} started invocation:{run.invocation_id} of {self._trigger.task_id}"
        outcome: Outcome = "fired" if run.error is None else "rejected"
        return self._explain(outcome, text, run_id=run.run_id, invocation_id=run.invocation_id)

    def _chain_ended(self) -> Explanation | None:
        if self._trigger.id not in self._record.ended_chains:
            return None
        return self._explain("chain ended", "it met the trigger, but the chain has reached max_chain_length")

    def _waiting(self) -> Explanation | None:
        if not self._kept:
            return None
        met = ", ".join(dict.fromkeys(kept.condition_id for kept in self._kept))
        waiting = [kept for kept in self._kept if kept.waiting]
        if not waiting:
            return self._explain("dropped", f"it met {met}, was kept and then dropped: {self._why_dropped()}")
        others = self._group_rest() if not any(kept.settled for kept in waiting) else self._explained.missing
        waits = ", ".join(others) or "the others"
        same = " of the same invocation" if others != self._explained.missing else ""
        return self._explain("kept", f"it met {met} and waits for {waits}{same}", missing=others)

    def _why_dropped(self) -> str:
        if not any(kept.settled for kept in self._kept) and self._group_rest():
            return "its invocation ended before it met the other conditions on the task"
        return "more came than max_contributions allows, or the trigger is no longer active"

    def _group_rest(self) -> tuple[str, ...]:
        """The other conditions that the same invocation has to meet."""
        met = {kept.condition_id for kept in self._kept}
        tasks = {condition_task(condition) for condition in self._listening} - {None}
        rest = (c.id for c in self._trigger.conditions if condition_task(c) in tasks and c.id not in met)
        return tuple(rest)

    def _not_listening(self) -> Explanation | None:
        if self._listening:
            return None
        sources = ", ".join(dict.fromkeys(_source_text(condition) for condition in self._trigger.conditions))
        return self._explain("not listening", f"it listens to {sources}, not to {self._occurrence.source}")

    def _not_in_force(self) -> Explanation | None:
        status = self._explained.status
        return None if status == "active" else self._explain("not active", f"the trigger {_STATUS_TEXTS[status]}")

    def _not_evaluated(self) -> Explanation | None:
        if self._is_evaluated or all(finding.met is False for finding in self._findings):
            return None
        upto, position = self._record.evaluated_upto, self._occurrence.position
        text = f"leaders have evaluated up to position {upto}, this entry is at {position}: check that a runner is up"
        return self._explain("not evaluated", text)

    def _filtered(self) -> Explanation:
        if any(self._unexplained(finding) for finding in self._findings):
            return self._explain(
                "not recorded", "its filters pass, but no run is recorded: retention may have removed the run"
            )
        return self._explain("filtered", self._refusals())

    @staticmethod
    def _unexplained(finding: ConditionFinding) -> bool:
        """True if every check of a condition passed although the condition was not met."""
        return all(answer.passed for answer in finding.answers)

    def _refusals(self) -> str:
        refused = [
            f"{answer.what} {answer.text}"
            for finding in self._findings
            for answer in finding.answers
            if answer.passed is False
        ]
        unknown = [answer.text for finding in self._findings for answer in finding.answers if answer.passed is None]
        return "; ".join(dict.fromkeys(refused or unknown))

    def _explain(
        self,
        outcome: Outcome,
        text: str,
        *,
        run_id: str | None = None,
        invocation_id: str | None = None,
        missing: tuple[str, ...] = (),
    ) -> Explanation:
        return Explanation(
            entry_id=self._occurrence.entry_id,
            trigger_id=self._trigger.id,
            slot=self._trigger.slot,
            task_id=self._trigger.task_id,
            logic=self._trigger.logic,
            outcome=outcome,
            text=text,
            conditions=self._findings,
            run_id=run_id,
            invocation_id=invocation_id,
            missing=missing,
        )


def _source_text(condition: Condition) -> str:
    if isinstance(condition, CronCondition):
        return condition.id
    return f"event {condition.event_code}" if isinstance(condition, EventCondition) else f"task {condition.task_id}"
