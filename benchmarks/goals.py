"""What each figure should reach on a machine with two cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Goal:
    """At least, or less than, `bound`: of the figure, or of its ratio to what stands beside it."""

    kind: Literal["at least", "less than"]
    bound: float
    of_ratio: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.kind == 'at least' else '<'} {self.bound:,g}{' of it' if self.of_ratio else ''}"

    def is_met(self, value: float, ratio: float | None) -> bool:
        """Whether a figure is good enough; False when it lacks the ratio that is asked for."""
        found = ratio if self.of_ratio else value
        return found is not None and (found >= self.bound if self.kind == "at least" else found < self.bound)


def _at_least(bound: float) -> Goal:
    return Goal("at least", bound)


def _less_than(bound: float) -> Goal:
    return Goal("less than", bound)


_SECOND_WORKER = "two workers of 10 places, tasks that take 20 ms"

GOALS: dict[tuple[str, str], tuple[Goal, ...]] = {
    ("emit", "SQLite, 50 callers"): (_at_least(60_000), Goal("at least", 0.5, of_ratio=True)),
    ("emit", "SQLite, 50 callers of batches of 100"): (_at_least(120_000),),
    ("end_to_end", "SQLite, one process"): (_at_least(12_000),),
    ("end_to_end", "memory, one process"): (_at_least(20_000),),
    ("end_to_end", "SQLite, producer, leader and worker in processes of their own"): (_at_least(6_000),),
    ("matcher", "one equality, 10,000 rules, nothing matches"): (_at_least(500_000),),
    ("matcher", "one equality, 10,000 rules, each entry fires or is kept"): (_at_least(150_000),),
    ("matcher", "one equality, 10 rules beside 100,000, nothing matches"): (_less_than(2.5),),
    ("matcher", "one equality, 10 rules beside 100,000, each entry fires or is kept"): (_less_than(2.5),),
    ("matcher", "adding rules, 100,000 of them"): (_at_least(50_000),),
    ("peers", "trigger-engine, beside the best of the others"): (Goal("at least", 3, of_ratio=True),),
    **{("latency", f"one process, {pace}, p50"): (_less_than(1),) for pace in ("one at a time", "500 events/s")},
    **{("latency", f"one process, {pace}, p99"): (_less_than(5),) for pace in ("one at a time", "500 events/s")},
    **{
        ("latency", f"between two processes, {pace}, p50"): (_less_than(5),)
        for pace in ("one at a time, 20 ms apart", "500 events/s")
    },
    ("emit_redis", "Redis, 50 callers"): (_at_least(50_000),),
    ("end_to_end_redis", "Redis, producer, leader and worker in processes of their own"): (_at_least(8_000),),
    ("latency_redis", "one process, one at a time, p50"): (_less_than(1.5),),
    ("latency_redis", "between two processes, one at a time, 20 ms apart, p50"): (_less_than(1.5),),
    ("emit_mongodb", "MongoDB, 50 callers"): (_at_least(20_000),),
    ("emit_mongodb", "MongoDB, 50 processes of one caller"): (Goal("at least", 0.5, of_ratio=True),),
    ("end_to_end_mongodb", "MongoDB, producer, leader and worker in processes of their own"): (_at_least(3_000),),
    ("latency_mongodb", "one process, one at a time, p50"): (_less_than(10),),
    ("emit_rabbitmq", "RabbitMQ, 50 callers"): (_at_least(20_000),),
    ("end_to_end_rabbitmq", "RabbitMQ, producer, leader and worker in processes of their own"): (_at_least(2_000),),
    ("latency_rabbitmq", "one process, one at a time, p50"): (_less_than(8),),
    ("latency_rabbitmq", "between two processes, one at a time, 20 ms apart, p50"): (_less_than(8),),
    **{
        (f"end_to_end_{name}", f"{label}, {_SECOND_WORKER}"): (Goal("at least", 1.5, of_ratio=True),)
        for name, label in (("redis", "Redis"), ("mongodb", "MongoDB"), ("rabbitmq", "RabbitMQ"))
    },
    ("peers", "trigger-engine on Redis, event to finished run"): (Goal("at least", 2.5, of_ratio=True),),
    ("growth", "throughput, long log beside short log"): (_at_least(0.8),),
    ("growth", "start, from the shell to the first task's end"): (_less_than(1_000),),
    ("growth", "full refold"): (_at_least(500_000),),
    ("growth", "memory of leader and worker, rise over the second half"): (_less_than(3),),
    ("monitor", "100,000 events, the slowest page, p95"): (_less_than(100),),
    ("monitor", "1,000,000 events, the slowest page, p95"): (_less_than(300),),
    ("start_up", "import trigger_engine"): (_less_than(80),),
    ("start_up", "trigger-engine --help"): (_less_than(250),),
    ("idle", "SQLite, one runner"): (_less_than(0.5),),
}
"""By question and case, as the figures name them."""


def goals_of(question: str, case: str) -> tuple[Goal, ...]:
    """The goals of a figure, none for most."""
    return GOALS.get((question, case), ())
