"""A leader without a shell: it takes over a log in a list, judges it and appends what follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.core.oracle import Run, expected, valid_entries
from tests.core.recorded_log import Log
from tests.core.strategies import says
from trigger_engine.core.judgement import FilterError, Judgement, Limits, Question, Verdict, compose
from trigger_engine.core.matcher import Matcher
from trigger_engine.entries.definitions import TriggerDefinition
from trigger_engine.entries.facts import (
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
    """The verdicts of the test's functions."""
    return {(question.position, question.condition_id): _verdict(question) for question in questions}


def _verdict(question: Question) -> Verdict:
    for wanted, subject in question.filters:
        try:
            if not says(wanted.name, msgspec.msgpack.decode(getattr(question.entry, subject))):
                return False
        except Exception as exc:
            return FilterError(wanted.name, repr(exc))
    return True


def arguments(judgement: Judgement) -> Mapping[str, msgspec.Raw | str]:
    """Of every fourth run they cannot be made."""
    return {f.run_id: "no arguments" if f.run_id[0] in "048c" else EMPTY_MAP for f in judgement.firings}


class Leader:
    """One term over a log. `reads_first`: it knows the log's first declaration before it reads."""

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
        assert self.matcher.judged >= max(recorded, default=0)
        assert all(question.position > max(recorded, default=0) for question in self.matcher.questions())

    def read(self) -> None:
        for position, entry in self.log.entries:
            if position > self.read_upto:
                self.matcher.read(position, entry)
                self.read_upto = position

    def judge(self) -> list[tuple[AnyEntry, ...]]:
        """The parts that record what it judges."""
        parts = []
        while self.matcher.unjudged:
            judgement = self.matcher.judge(answer(self.matcher.questions()))
            if judgement.has_outputs or judgement.worth_recording:
                parts.append(compose(judgement, arguments(judgement), term=self.term, now=self.log.time))
        return parts

    def append(self, parts: list[tuple[AnyEntry, ...]]) -> None:
        for part in parts:
            for entry in part:
                self.log.append(entry)

    def cycle(self) -> None:
        self.read()
        self.append(self.judge())

    def finish(self) -> None:
        """Goes on until nothing follows."""
        self.cycle()
        while self.read_upto < self.log.tail:
            self.cycle()

    def checkpoint(self) -> Checkpoint:
        """Valid while everything judged is recorded."""
        return self.read_upto, self.matcher.snapshot()


def recorded_runs(log: Log, *, track_keys: bool = True) -> list[Run]:
    """The runs that a log's valid entries record."""
    found = []
    for _, entry in valid_entries(log.entries, track_keys=track_keys):
        if isinstance(entry, TriggerFired | TriggerRejected):
            participants = tuple((p.condition_id, p.entry_id) for p in entry.participants)
            found.append(Run(entry.trigger_id, entry.id, participants, entry.dropped, entry.depth, False))
    return found


def recorded_failures(log: Log, *, track_keys: bool = True) -> set[tuple[str, str]]:
    """Condition id and entry id of the filter failures that valid entries record."""
    valid = valid_entries(log.entries, track_keys=track_keys)
    return {(entry.condition_id, entry.entry_id) for _, entry in valid if isinstance(entry, FilterFailed)}


def recorded_ends(log: Log, *, track_keys: bool = True) -> list[Any]:
    """Trigger id and entry id of the chains that valid entries end."""
    valid = valid_entries(log.entries, track_keys=track_keys)
    return sorted((entry.trigger_id, entry.entry_id) for _, entry in valid if isinstance(entry, ChainEnded))


def read(log: Log, limits: Limits = DEFAULTS) -> Matcher:
    """A matcher that has read a log."""
    matcher = Matcher(limits, track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    return matcher


def judged(log: Log, limits: Limits = DEFAULTS) -> list[Judgement]:
    """Everything that a matcher says of a log, which nobody has judged; the oracle agrees."""
    matcher = read(log, limits)
    found = []
    while matcher.unjudged:
        found.append(matcher.judge(answer(matcher.questions())))
    outcomes = [(f.run_id, f.dropped) for judgement in found for f in judgement.firings]
    wanted = [
        (run.run_id, run.dropped) for run in expected(log.entries, limits, says, track_keys=True).runs if not run.ended
    ]
    assert sorted(outcomes) == sorted(wanted)
    return found


def fired(log: Log, limits: Limits = DEFAULTS) -> list[tuple[str, ...]]:
    """The entries of each trigger run, oldest first, each once."""
    found = [firing for judgement in judged(log, limits) for firing in judgement.firings]
    return [tuple(dict.fromkeys(p.entry_id for p in firing.participants)) for firing in found]
