"""Metrics for Prometheus, computed from the read model when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trigger_engine.core.lifecycle import WAITING
from trigger_engine.history import OverviewRecord, RunnerRecord
from trigger_engine.history.overview_queries import overview
from trigger_engine.history.reading import Reading
from trigger_engine.history.standing_queries import StandingRecord, standing, totals
from trigger_engine.monitor.site import Call

CONTENT_TYPE = CONTENT_TYPE_LATEST
_STATES = ("in force", "suspended")


@dataclass(frozen=True, slots=True)
class Facts:
    """What metrics are made of."""

    overview: OverviewRecord
    standing: StandingRecord
    totals: dict[str, int]
    runners: Sequence[RunnerRecord]
    now: datetime


async def metrics(call: Call) -> bytes:
    """The metrics in the format of Prometheus. Raises BackendUnavailable."""
    runners = list(await (await call.site.history()).runners())

    def ask(reading: Reading) -> Facts:
        return Facts(overview(reading), standing(reading, call.now), totals(reading), runners, call.now)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(await call.ask(ask)))
    return bytes(generate_latest(registry))


class _Collector(Collector):
    """One moment."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        facts = self._facts
        entries = CounterMetricFamily(
            "trigger_engine_entries",
            "Entries of the log since the read model was begun, by kind: event, fired, rejected, succeeded, failed, …",
            labels=["kind"],
        )
        for kind, count in facts.totals.items():
            entries.add_metric([kind], count)
        yield entries
        yield _gauges(
            "trigger_engine_invocations",
            "Invocations in the history by status.",
            "status",
            ((status.value, count) for status, count in facts.overview.invocations.items()),
        )
        yield _gauges(
            "trigger_engine_triggers",
            "Declared triggers that are in force or suspended.",
            "state",
            ((state, facts.overview.triggers.get(state, 0)) for state in _STATES),  # type: ignore[call-overload]
        )
        yield _gauges(
            "trigger_engine_runners",
            "Runners that the backend knows: alive, or lost within a day.",
            "state",
            (
                ("alive", sum(runner.alive for runner in facts.runners)),
                ("lost", sum(not runner.alive for runner in facts.runners)),
            ),
        )
        yield from self._single()

    def _single(self) -> Iterator[Metric]:
        facts = self._facts
        waiting = sum(facts.overview.invocations.get(status, 0) for status in WAITING)
        leads = any(runner.leads for runner in facts.runners)
        for name, text, value in (
            ("waiting_invocations", "Invocations that wait to be started.", waiting),
            ("longest_wait_seconds", "How long the invocation waits that waits longest.", self._since_waiting()),
            ("unjudged_entries", "Entries that no leader has judged yet, up to 10,000.", facts.standing.unjudged),
            ("matcher_lag_seconds", "How old the oldest entry is that is not judged.", self._behind()),
            ("leader", "1 while a live runner leads, else 0.", int(leads)),
            ("log_position", "The position at which the log ends.", facts.overview.position),
        ):
            yield GaugeMetricFamily(f"trigger_engine_{name}", text, value=value)

    def _since_waiting(self) -> float:
        return _age(self._facts.standing.waiting_since, self._facts.now)

    def _behind(self) -> float:
        return _age(self._facts.standing.unjudged_since, self._facts.now)


def _gauges(name: str, text: str, label: str, values: Iterable[tuple[str, int]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for word, value in values:
        family.add_metric([word], value)
    return family


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
