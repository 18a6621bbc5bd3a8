"""Random triggers and logs, from small sets of values so that they often match.

A script is generated from a seed, so all examples are equally varied. A shorter script is the start of a longer one, so
a failure shrinks to its shortest start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.unit.engine.declaring import (
    on_any_result,
    on_cron,
    on_event,
    on_exception,
    on_result,
    on_status,
    raw,
    trigger,
)
from tests.unit.engine.recorded_log import KINDS, Log
from trigger_engine._engine.decision import Limits
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import Condition, TriggerDefinition
from trigger_engine._model.entries import ExceptionFacts, TriggersDeclared

CODES = ("a", "b")
TASKS = ("m.f", "m.g", "m.target")
CRONS = (on_cron("* * * * *"), on_cron("0 0 * * *"))
LIMITS = Limits(max_chain_length=4, max_contributions=2, max_contribution_bytes=250)

NUMBERS = [0, 1, 1.0, True, False, 2]
SCALARS = [*NUMBERS, None, -0.0, math.nan, "x", "y", b"x", datetime(2024, 1, 1, tzinfo=UTC)]
MAPPINGS: list[Any] = [
    {},
    {"k": 0},
    {"k": 1},
    {"k": 1.0},
    {"k": True},
    {"l": "x"},
    {"m": {}},
    {"m": {"k": 1}},
    {"k": 1, "l": "x"},
    {"k": 1, "m": {}},
    {"m": {"k": 1, "l": 0}, "k": 1},
    {"k": [1, {"l": math.nan}]},
]
KEYS = ["k", "l", "m", 0, 1, 1.5, True, None]

values = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
"""Values of all types that msgpack decodes to."""


def _truthy(value: Any) -> bool:
    return bool(value)


def _has_k(value: Any) -> bool:
    return "k" in value


def _k_is_small(value: Any) -> bool:
    return bool(value["k"] < 1)


CALLABLES: dict[str, Callable[[Any], bool]] = {"truthy": _truthy, "has_k": _has_k, "k_is_small": _k_is_small}
"""The last two raise for some values."""


def call_filter(name: str, value: Any) -> bool:
    return CALLABLES[name](value)


def _filter(random: Random) -> Any:
    kind = random.random()
    return None if kind < 0.6 else random.choice(MAPPINGS) if kind < 0.8 else f"?{random.choice(list(CALLABLES))}"


def _condition(random: Random) -> Condition:
    task = random.choice(["m.f"] * 5 + list(TASKS))
    statuses = random.sample([status.value for status in InvocationStatus], random.randint(1, 3))
    types = random.sample(["Error", "Other", "Exception"], random.randint(0, 2))
    result = random.choice([*MAPPINGS, *SCALARS[:4], *SCALARS[7:], "?truthy", "?has_k"])
    make: list[Callable[[], Condition]] = [
        lambda: on_event(random.choice(CODES), _filter(random)),
        lambda: on_event(random.choice(CODES)),
        lambda: on_status(task, *statuses, arguments=_filter(random)),
        lambda: on_status(task, *statuses),
        lambda: on_result(task, result, _filter(random)),
        lambda: on_any_result(task, _filter(random)),
        lambda: on_exception(task, *types, arguments=_filter(random)),
        lambda: random.choice(CRONS),
    ]
    return random.choice(make)()


EASY: list[Condition] = [
    on_event("a"),
    on_status("m.f", "pending", "registered"),
    on_status("m.f", "running", "retry"),
    on_status("m.f", "success", "failed"),
    CRONS[0],
]
"""Conditions that are met often, so that AND triggers fire often too."""


def _trigger(random: Random) -> TriggerDefinition:
    conditions = [random.choice([_condition(random), *EASY]) for _ in range(random.choice([1, 2, 2, 3]))]
    return trigger(*conditions, logic=random.choice(["and", "and", "or"]), slot=str(random.randint(0, 5)))


@dataclass(frozen=True)
class Step:
    """One step of a script. `choice` and `other` select among what the log holds at that time."""

    kind: str
    choice: int
    other: int
    value: Any
    triggers: tuple[TriggerDefinition, ...]
    stale: bool


KINDS_OF_STEP = (
    ["event"] * 8 + ["call"] * 4 + ["move"] * 16 + ["odd-move"] * 2 + ["tick"] * 3
    + ["declare", "suspend", "resume", "resume", "retire", "keyed-event", "keyed-call", "retain", "elect-other"]
)  # fmt: skip


def _step(random: Random, pool: list[TriggerDefinition]) -> Step:
    return Step(
        random.choice(KINDS_OF_STEP),
        random.randint(0, 59),
        random.randint(0, 59),
        random.choice(MAPPINGS),
        tuple(random.sample(pool, random.randint(1, 3))),
        random.random() < 0.1,
    )


class Script:
    """A script generated from a seed. `first`: the triggers of the first declaration; `steps`: the steps after it."""

    def __init__(self, seed: int, size: int) -> None:
        random = Random(seed)
        pool = [_trigger(random) for _ in range(8)]
        self.first = tuple(random.sample(pool, 5))
        self.steps = [_step(random, pool) for _ in range(size)]
        self._repr = f"Script({seed}, {size})"

    def __repr__(self) -> str:
        return self._repr


def scripts(max_size: int) -> st.SearchStrategy[Script]:
    """Scripts of up to `max_size` steps, mostly long ones."""
    sizes = st.integers(0, max_size).map(lambda missing: max_size - missing * missing // max_size)
    return st.builds(Script, st.integers(0, 2**32), sizes)


def apply(step: Step, log: Log) -> None:
    """Appends the entries of a step to the log in its current state."""
    stale_term = 1 if step.stale else None
    depth = max(0, step.other % 9 - 4)
    match step.kind:
        case "event":
            log.event(CODES[step.choice % 2], step.value, depth=depth)
        case "keyed-event":
            log.event(CODES[step.choice % 2], step.value, key=str(step.other % 2))
        case "call":
            log.call(TASKS[step.choice % 5 // 4], step.value, depth=depth)
        case "keyed-call":
            log.call(TASKS[step.choice % 5 // 4], step.value, key=str(step.other % 2))
        case "move" | "odd-move":
            _move(step, log)
        case "tick":
            log.tick(CRONS[step.choice % 2].id, 60.0 * (step.other % 8), term=stale_term)
        case "declare":
            log.declare(*step.triggers, term=stale_term)
        case "suspend" | "resume" | "retire":
            known = [one for _, entry in log.entries if isinstance(entry, TriggersDeclared) for one in entry.triggers]
            if known:
                log.change(step.kind, known[step.choice % len(known)], term=stale_term)
        case "retain":
            log.retain(log.time - step.other)
        case "elect-other":
            term = log.term
            log.elect("other")
            log.term = term


FITTING = {
    InvocationStatus.REGISTERED: ("claimed", "started", "started", "cancelled"),
    InvocationStatus.PENDING: ("started", "started", "recovered", "handed-back", "failed"),
    InvocationStatus.RUNNING: ("succeeded", "succeeded", "failed", "retried", "retried", "recovered", "cancelled"),
    InvocationStatus.RETRY: ("claimed", "started"),
}


def _move(step: Step, log: Log) -> None:
    odd = step.kind == "odd-move"
    calls = [call for call in log.calls() if odd or not call.state.status.is_final]
    if not calls:
        return
    call = calls[step.choice % len(calls)]
    kinds = tuple(KINDS) if odd else FITTING[call.state.status]
    kind = kinds[step.other % len(kinds)]
    facts: dict[str, Any] = {"claim_id": "another claim"} if odd and step.choice % 2 else {}
    if kind == "succeeded":
        facts["result"] = raw(SCALARS[step.choice % len(SCALARS)] if step.other % 2 else step.value)
    if kind == "failed":
        bases = ("Exception",) if step.other % 2 else ()
        facts["exception"] = ExceptionFacts(("Error", "Other")[step.choice % 2], "broken", bases)
    call.append(kind, **facts)
