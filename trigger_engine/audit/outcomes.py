"""Whether every entry had the outcome that the rules give it, for every trigger that listens to it."""

from __future__ import annotations

from trigger_engine.audit.collecting import AuditLimits, Contribution
from trigger_engine.audit.conditions import Asked, Subject
from trigger_engine.audit.in_force import InForce, Watched
from trigger_engine.audit.record import Record, Run
from trigger_engine.audit.report import Books
from trigger_engine.audit.user_code import Answer, UserCode
from trigger_engine.core import ids
from trigger_engine.entries.encoding import encode_entry
from trigger_engine.entries.facts import AnyEntry, ChainEnded, Position, TriggerFired

_Completed = tuple[list[Contribution], int]


class Outcomes:
    """Judges entries a second time, and compares. `trimmed`: what was collected before the log's start is not known."""

    def __init__(self, books: Books, in_force: InForce, code: UserCode, limits: AuditLimits, *, trimmed: bool) -> None:
        self._books = books
        self._in_force = in_force
        self._code = code
        self._limits = limits
        self._trimmed = trimmed

    def judge(self, position: Position, entry: AnyEntry, statuses: tuple[str, ...], record: Record) -> None:
        """Compares what an entry brings about with what the record has of it."""
        subject = Subject(entry)
        for watched, asked in self._in_force.listening(entry, statuses):
            self._books.checked["entries × triggers"] += 1
            outcome = self._outcome(position, subject, watched, asked, record) if watched.active else "suspended"
            self._books.outcomes[outcome] += 1

    def wait(self, entry: AnyEntry, statuses: tuple[str, ...]) -> None:
        """Counts an entry that no leader has judged yet; a suspended trigger passes it over in any case."""
        for watched, _ in self._in_force.listening(entry, statuses):
            if watched.active:
                self._books.outcomes["not yet judged"] += 1
            else:
                self._books.checked["entries × triggers"] += 1
                self._books.outcomes["suspended"] += 1

    def _outcome(
        self, position: Position, subject: Subject, watched: Watched, asked: list[Asked], record: Record
    ) -> str:
        trigger_id, entry = watched.definition.id, subject.entry
        met, failed = self._met(position, subject, trigger_id, asked, record)
        recorded = record.met(trigger_id, entry.id)
        run, ended = record.take_run(trigger_id, entry.id), record.take_ended(trigger_id, entry.id)
        kept = record.take_kept(trigger_id, entry.id)
        if watched.collecting is not None and self._trimmed:
            self._books.unverifiable["joins of a trimmed log"] += 1
            return "unverifiable"
        size = len(encode_entry(entry)) if met and watched.collecting is not None else 0
        mine = [Contribution(position, one, entry.id, entry.depth, size) for one in met]
        completed = self._completed(watched, entry, mine)
        if watched.collecting is not None and run is None and ended is None:
            self._compare_kept(position, entry, watched, expected=set(met), found=recorded)
        for extra in sorted(set(kept) - set(met)):
            self._offend_kept(position, entry, watched, extra)
        if completed is None:
            return self._without_run(position, watched, entry, run, ended, met=bool(met), failed=failed)
        return self._with_run(position, watched, entry, completed, run=run, ended=ended)

    def _met(
        self, position: Position, subject: Subject, trigger_id: str, asked: list[Asked], record: Record
    ) -> tuple[list[str], bool]:
        """The conditions that the entry meets, and whether a filter gave no answer. What cannot be told is believed."""
        entry_id = subject.entry.id
        recorded, silent = record.met(trigger_id, entry_id), record.ends_chain(trigger_id, entry_id)
        met: list[str] = []
        failed = False
        for one in asked:
            condition_id = one.condition.id
            if record.failed(condition_id, entry_id):
                failed = True
                continue
            answer = one.answer(subject, self._code)
            if answer is Answer.UNKNOWN:
                self._books.unverifiable["filters whose code is not there or has changed"] += 1
            elif answer is Answer.FAILED:
                self._books.offend(
                    "filters",
                    position,
                    entry_id,
                    f"a filter of {condition_id} raises, and nothing records it",
                    expected="a FilterFailed entry",
                    found="none",
                )
            if answer is Answer.YES or (answer is Answer.UNKNOWN and (silent or condition_id in recorded)):
                met.append(condition_id)
        return met, failed

    def _completed(self, watched: Watched, entry: AnyEntry, met: list[Contribution]) -> _Completed | None:
        if not met:
            return None
        return (met, 0) if watched.collecting is None else watched.collecting.add(entry, met)

    def _compare_kept(
        self, position: Position, entry: AnyEntry, watched: Watched, *, expected: set[str], found: set[str]
    ) -> None:
        self._books.checked["contributions"] += len(expected)
        for missing in sorted(expected - found):
            self._books.offend(
                "contributions",
                position,
                entry.id,
                f"it met {missing} of {watched.definition.id}, and nothing records it",
                expected="a contribution, kept or part of a run",
                found="none",
            )

    def _offend_kept(self, position: Position, entry: AnyEntry, watched: Watched, condition_id: str) -> None:
        self._books.offend(
            "contributions",
            position,
            entry.id,
            f"it is kept for {watched.definition.id}",
            expected=f"nothing, for it does not meet {condition_id}",
            found=f"a contribution to {condition_id}",
        )

    def _without_run(
        self,
        position: Position,
        watched: Watched,
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
        if watched.collecting is not None:
            watched.collecting.empty(entry)
        lacking = "its conditions are not all met" if met else "the entry meets none of its conditions"
        self._books.offend(
            "runs",
            recorded[0],
            recorded[1].id,
            f"{watched.definition.id} fired on {entry.id} at {position} without cause",
            expected=f"no run: {lacking}",
            found=type(recorded[1]).__name__,
        )
        return "fired" if run is not None else "chain ended"

    def _with_run(
        self,
        position: Position,
        watched: Watched,
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
                self._offend_outcome(position, entry, watched, expected="an end of the chain", found=found)
            return "chain ended"
        if run is None:
            found = "an end of the chain" if ended else "nothing"
            self._offend_outcome(position, entry, watched, expected="a run", found=found)
            return "missing"
        self._books.checked["runs"] += 1
        self._compare_run(run, watched, entry, contributions, dropped=dropped, depth=depth)
        return "fired" if isinstance(run[1], TriggerFired) else "rejected"

    def _offend_outcome(
        self, position: Position, entry: AnyEntry, watched: Watched, *, expected: str, found: str
    ) -> None:
        wrong = f"it completes {watched.definition.id}"
        self._books.offend("outcomes", position, entry.id, wrong, expected=expected, found=found)

    def _compare_run(
        self,
        recorded: tuple[Position, Run],
        watched: Watched,
        cause: AnyEntry,
        contributions: list[Contribution],
        *,
        dropped: int,
        depth: int,
    ) -> None:
        position, run = recorded
        definition = watched.definition
        wanted: dict[str, object] = {
            "participants": [(one.condition_id, one.entry_id) for one in contributions],
            "run id": ids.run_id(definition.id, [one.entry_id for one in contributions]),
            "number of dropped contributions": dropped,
            "depth": depth,
            "task": definition.task_id,
        }
        there: dict[str, object] = {
            "participants": [(one.condition_id, one.entry_id) for one in run.participants],
            "run id": run.id,
            "number of dropped contributions": run.dropped,
            "depth": run.depth,
            "task": run.task_id,
        }
        if not self._trimmed:
            wanted["slot"], there["slot"] = watched.slot, run.slot
        if isinstance(run, TriggerFired):
            wanted["queue"], there["queue"] = definition.queue, run.queue
        for what, expected in wanted.items():
            self._books.equal("runs", position, run.id, what, expected=expected, found=there[what])
