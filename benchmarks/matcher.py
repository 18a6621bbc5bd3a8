"""How many decoded entries per second does the matcher evaluate, by kind of rule and number of rules?

Runs are composed into the entries that a leader appends. Beside it: one look-up by the event's code and one by a value
of its decoded payload in dicts of plain Python, the least that any matcher has to do.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle, islice

import msgspec

from benchmarks.harness.measuring import Run, Value, benchmark
from benchmarks.rules import RULES, Kind, is_wanted, kinds
from trigger_engine._engine.decision import Limits, compose
from trigger_engine._engine.matcher import Matcher
from trigger_engine._model.entries import EMPTY_MAP, AnyEntry, EventEmitted, LeaderElected, TriggersDeclared

_FEW, _MANY = 10, 100_000
_ENTRIES, _BATCH = 50_000, 1_000
_OUTCOME = {False: "nothing matches", True: "each entry fires or is kept"}
_LOOKUP = "two dict look-ups in plain Python"


@benchmark("matcher")
def measure(place: None, small: bool) -> Iterator[Run]:
    """Each kind with 10,000 rules, then one kind with fewer and with more rules, then declaring."""
    scale = 100 if small else 1
    for kind in kinds():
        for meets in (False, True):
            yield partial(_evaluated, kind, RULES, meets, scale)
    (equality,) = [kind for kind in kinds() if kind.name == "one equality"]
    for meets in (False, True):
        yield partial(_few_beside_many, equality, meets, scale)
    yield partial(_declared, equality, _MANY, scale)


def _evaluated(kind: Kind, rules: int, meets: bool, scale: int) -> Iterator[Value]:
    scaled = max(_FEW, rules // scale)
    matcher, _ = _declare(kind, scaled)
    # Rules take turns, so that none was used just before.
    sets = (kind.entries(number, meets) for number in cycle(range(scaled)))
    entries = list(islice((entry for one in sets for entry in one), _ENTRIES // scale))
    gc.collect()
    least = len(entries) // len(kind.entries(0, True)) - 1 if meets else 0
    rate = len(entries) / _evaluate(matcher, entries, least=least)
    yield Value(f"{kind.name}, {rules:,} rules, {_OUTCOME[meets]}", "entries/s", rate, _lookup_rate(entries), _LOOKUP)


def _few_beside_many(kind: Kind, meets: bool, scale: int) -> Iterator[Value]:
    (few,) = _evaluated(kind, _FEW, meets, scale)
    (many,) = _evaluated(kind, _MANY, meets, scale)
    yield from (few, many)
    case = f"{kind.name}, {_FEW} rules beside {_MANY:,}, {_OUTCOME[meets]}"
    yield Value(case, "times as fast", few.value / many.value)


def _declared(kind: Kind, rules: int, scale: int) -> Iterator[Value]:
    size = rules // scale
    yield Value(f"adding rules, {rules:,} of them", "rules/s", size / _declare(kind, size)[1])


def _declare(kind: Kind, rules: int) -> tuple[Matcher, float]:
    """A matcher with active rules, and the seconds that declaring them took."""
    triggers = tuple(kind.rule(number) for number in range(rules))
    matcher = Matcher(Limits(), track_keys=False)
    matcher.read(1, LeaderElected(id="l", time=0, name="match", runner_id="r"))
    gc.collect()
    begun = time.perf_counter()
    matcher.read(2, TriggersDeclared(id="d", time=0, term=1, triggers=triggers, from_start=True))
    return matcher, time.perf_counter() - begun


def _evaluate(matcher: Matcher, entries: Sequence[AnyEntry], *, least: int) -> float:
    """Seconds for reading, evaluating and composing. Raises RuntimeError if too few or wrong runs were fired."""
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
        decision = matcher.evaluate(verdicts)
        fired += len(decision.firings)
        if decision.has_outputs:
            compose(decision, {firing.run_id: EMPTY_MAP for firing in decision.firings}, term=1, now=0.0)
    taken = time.perf_counter() - begun
    if fired < least or (not least and fired):
        raise RuntimeError(f"{len(entries):,} entries fired {fired:,} runs, expected {least:,}")
    return taken


def _lookup_rate(entries: Sequence[AnyEntry]) -> float | None:
    """None for entries without an event payload of plain values."""
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
