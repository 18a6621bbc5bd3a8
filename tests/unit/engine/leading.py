"""A leader without I/O: it takes over a log in a list, evaluates it and appends its decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.unit.engine.oracle import Run, expected, valid_entries
from tests.unit.engine.recorded_log import Log
from tests.unit.engine.strategies import call_filter
from trigger_engine._engine.decision import Decision, FilterError, Limits, Question, Verdict, compose
from trigger_engine._engine.matcher import Matcher
from trigger_engine._model.definitions import TriggerDefinition
from trigger_engine._model.entries import (
    EMPTY_MAP,
    AnyEntry,
    ChainEnded,
    FilterFailed,
    Judged,
    Position,
    TriggerFired,
    TriggerRejected,
    TriggersDeclared,
)

Checkpoint = tuple[Position, bytes]
DEFAULTS = Limits()


def answer(questions: list[Question]) -> dict[tuple[Position, str], Verdict]:
    """The verdicts of the test functions."""
    return {(question.position, question.condition_id): _verdict(question) for question in questions}


def _verdict(question: Question) -> Verdict:
    for wanted, subject in question.filters:
        try:
            if not call_filter(wanted.name, msgspec.msgpack.decode(getattr(question.entry, subject))):
                return False
        except Exception as exc:
            return FilterError(wanted.name, repr(exc))
    return True


def arguments(decision: Decision) -> Mapping[str, msgspec.Raw | str]:
    """The arguments of each run; for every fourth run an error instead."""
    return {f.run_id: "no arguments" if f.run_id[0] in "048c" else EMPTY_MAP for f in decision.firings}


class Leader:
    """One term of a log. `reads_first`: the leader knows the first declaration of the log before it reads."""

    def __init__(
        self,
        log: Log,
        limits: Limits,
        first: tuple[TriggerDefinition, ...],
        checkpoint: Checkpoint | None = None,
        *,
        track_keys: bool = True,
        reads_first: bool = False,
    ) -> None:
        self.log = log
        self.term = log.elect()
        self.read_upto: Position = 0
        self.matcher = Matcher(limits, track_keys=track_keys)
        if checkpoint is not None:
            self.read_upto, data = checkpoint
            self.matcher = Matcher.restore(data, limits, track_keys=track_keys)
        valid = valid_entries(log.entries, track_keys=track_keys)
        declared = [entry for _, entry in valid if isinstance(entry, TriggersDeclared)]
        recorded = [entry.upto for _, entry in valid if isinstance(entry, Judged)]
        if not declared:
            log.declare(*first, from_start=True)
            log.term = self.term
        elif reads_first:
            self.matcher.declare_first(declared[0])
        self.read()
        assert self.matcher.evaluated >= max(recorded, default=0)
        assert all(question.position > max(recorded, default=0) for question in self.matcher.questions())

    def read(self) -> None:
        for position, entry in self.log.entries:
            if position > self.read_upto:
                self.matcher.read(position, entry)
                self.read_upto = position

    def evaluate(self) -> list[tuple[AnyEntry, ...]]:
        """Evaluates everything read and returns the parts that record it."""
        parts = []
        while self.matcher.unevaluated:
            decision = self.matcher.evaluate(answer(self.matcher.questions()))
            if decision.has_outputs or decision.worth_recording:
                parts.append(compose(decision, arguments(decision), term=self.term, now=self.log.time))
        return parts

    def append(self, parts: list[tuple[AnyEntry, ...]]) -> None:
        for part in parts:
            for entry in part:
                self.log.append(entry)

    def cycle(self) -> None:
        self.read()
        self.append(self.evaluate())

    def finish(self) -> None:
        """Runs cycles until nothing new is appended."""
        self.cycle()
        while self.read_upto < self.log.tail:
            self.cycle()

    def checkpoint(self) -> Checkpoint:
        """A checkpoint; take it only when everything evaluated is recorded."""
        return self.read_upto, self.matcher.snapshot()


def recorded_runs(log: Log, *, track_keys: bool = True) -> list[Run]:
    """The runs recorded by valid entries of the log."""
    found = []
    for _, entry in valid_entries(log.entries, track_keys=track_keys):
        if isinstance(entry, TriggerFired | TriggerRejected):
            participants = tuple((p.condition_id, p.entry_id) for p in entry.participants)
            found.append(Run(entry.trigger_id, entry.id, participants, entry.dropped, entry.depth, False))
    return found


def recorded_failures(log: Log, *, track_keys: bool = True) -> set[tuple[str, str]]:
    """Condition id and entry id of the filter failures recorded by valid entries."""
    valid = valid_entries(log.entries, track_keys=track_keys)
    return {(entry.condition_id, entry.entry_id) for _, entry in valid if isinstance(entry, FilterFailed)}


def recorded_ends(log: Log, *, track_keys: bool = True) -> list[Any]:
    """Trigger id and entry id of the ended chains recorded by valid entries."""
    valid = valid_entries(log.entries, track_keys=track_keys)
    return sorted((entry.trigger_id, entry.entry_id) for _, entry in valid if isinstance(entry, ChainEnded))


def read(log: Log, limits: Limits = DEFAULTS) -> Matcher:
    """A matcher that has read the log."""
    matcher = Matcher(limits, track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    return matcher


def evaluated(log: Log, limits: Limits = DEFAULTS) -> list[Decision]:
    """All decisions of a matcher on a log without records. Checks them with the oracle."""
    matcher = read(log, limits)
    found = []
    while matcher.unevaluated:
        found.append(matcher.evaluate(answer(matcher.questions())))
    outcomes = [(f.run_id, f.dropped) for decision in found for f in decision.firings]
    expected_runs = expected(log.entries, limits, call_filter, track_keys=True).runs
    wanted = [(run.run_id, run.dropped) for run in expected_runs if not run.ended]
    assert sorted(outcomes) == sorted(wanted)
    return found


def fired(log: Log, limits: Limits = DEFAULTS) -> list[tuple[str, ...]]:
    """The entries of each trigger run, oldest first, each once."""
    found = [firing for decision in evaluated(log, limits) for firing in decision.firings]
    return [tuple(dict.fromkeys(p.entry_id for p in firing.participants)) for firing in found]
