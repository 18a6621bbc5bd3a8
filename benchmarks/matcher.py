"""How many decoded entries a second does the matcher judge, by kind of rule and number of rules?

Fired ones are composed into the entries that a leader appends. Beside it: one look into a dict by the event's code and
one by a value of its payload, decoded, in plain Python: the least that any matcher has to do.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import msgspec

from benchmarks.harness import Figure, runs_of
from benchmarks.rules import RULES, Kind, is_wanted, kinds
from trigger_engine.core.judgement import Limits, compose
from trigger_engine.core.matcher import Matcher
from trigger_engine.entries.facts import EMPTY_MAP, AnyEntry, EventEmitted, LeaderElected, TriggersDeclared

_SIZES = (10, 100_000)
_ENTRIES = 50_000
_BATCH = 1_000
_OUTCOME = {False: "nothing matches", True: "each entry fires or is kept"}
_LOOKUP = "two dict look-ups in plain Python"


def measure(*, small: bool) -> Iterator[Figure]:
    """Entries a second of each kind with 10,000 rules, then with more and fewer rules; then declaring."""
    scale = 100 if small else 1
    entries = _ENTRIES // scale
    for kind in kinds():
        for meets in (False, True):
            yield _measured(kind, RULES // scale, entries, meets=meets, named=f"{RULES:,} rules", small=small)
    (equality,) = [kind for kind in kinds() if kind.name == "one equality"]
    for meets in (False, True):
        sizes = [max(10, size // scale) for size in _SIZES]
        few, many = (
            _measured(equality, size, entries, meets=meets, named=f"{named:,} rules", small=small)
            for size, named in zip(sizes, _SIZES, strict=True)
        )
        yield from (few, many)
        case = f"one equality, {_SIZES[0]} rules beside {_SIZES[-1]:,}, {_OUTCOME[meets]}"
        yield Figure("matcher", case, "times as fast", tuple(a / b for a, b in zip(few.runs, many.runs, strict=True)))
    size = _SIZES[-1] // scale
    added = tuple(size / _declare(equality, size)[1] for _ in range(runs_of(small=small)))
    yield Figure("matcher", f"adding rules, {_SIZES[-1]:,} of them", "rules/s", added)


def _measured(kind: Kind, rules: int, count: int, *, meets: bool, named: str, small: bool) -> Figure:
    measured, beside = [], []
    for _ in range(runs_of(small=small)):
        matcher, _ = _declare(kind, rules)
        # Rules take turns, so that no run profits from one that was just used.
        sets = (kind.entries(number, meets) for number in cycle(range(rules)))
        entries = list(islice((entry for one in sets for entry in one), count))
        gc.collect()
        measured.append(len(entries) / _judge(matcher, entries, least=_least(kind, entries, meets=meets)))
        if (bare := _lookup_rate(entries)) is not None:
            beside.append(bare)
    case = f"{kind.name}, {named}, {_OUTCOME[meets]}"
    return Figure("matcher", case, "entries/s", tuple(measured), tuple(beside), _LOOKUP if beside else "")


def _least(kind: Kind, entries: Sequence[AnyEntry], *, meets: bool) -> int:
    """How many runs these entries must make at least: the books of a matcher without a log."""
    return len(entries) // len(kind.entries(0, True)) - 1 if meets else 0


def _declare(kind: Kind, rules: int) -> tuple[Matcher, float]:
    """A matcher that has the rules in force, and the seconds that this took."""
    triggers = tuple(kind.rule(number) for number in range(rules))
    matcher = Matcher(Limits(), track_keys=False)
    matcher.read(1, LeaderElected(id="l", time=0, name="match", runner_id="r"))
    gc.collect()
    begun = time.perf_counter()
    matcher.read(2, TriggersDeclared(id="d", time=0, term=1, triggers=triggers, from_start=True))
    return matcher, time.perf_counter() - begun


def _judge(matcher: Matcher, entries: Sequence[AnyEntry], *, least: int) -> float:
    """Seconds for reading, judging and composing all. Raises RuntimeError when it fired what it should not."""
    fired = 0
    begun = time.perf_counter()
    for first in range(0, len(entries), _BATCH):
        for position, entry in enumerate(entries[first : first + _BATCH], start=first + 3):
            matcher.read(position, entry)
        asked = matcher.questions()
        verdicts = {
            (question.position, question.condition_id): is_wanted(msgspec.msgpack.decode(question.entry.payload))
            for question in asked
            if isinstance(question.entry, EventEmitted)
        }
        judgement = matcher.judge(verdicts)
        fired += len(judgement.firings)
        if judgement.has_outputs:
            compose(judgement, {firing.run_id: EMPTY_MAP for firing in judgement.firings}, term=1, now=0.0)
    taken = time.perf_counter() - begun
    if fired < least or (not least and fired):
        raise RuntimeError(f"{fired:,} runs were fired by {len(entries):,} entries that make {least:,}")
    return taken


def _lookup_rate(entries: Sequence[AnyEntry]) -> float | None:
    """None for entries that are no events with a payload to look at."""
    events = [entry for entry in entries if isinstance(entry, EventEmitted)]
    decoded = [(event.event_code, msgspec.msgpack.decode(event.payload)) for event in events]
    if not decoded or not decoded[0][1]:
        return None
    field = next(iter(decoded[0][1]))
    if any(isinstance(payload[field], dict) for _, payload in decoded):
        return None
    wanted = {code: {payload[field]: "rule"} for code, payload in decoded}
    met = 0
    begun = time.perf_counter()
    for code, payload in decoded:
        rules = wanted.get(code)
        if rules is not None and rules.get(payload[field]) is not None:
            met += 1
    return len(decoded) / (time.perf_counter() - begun)
