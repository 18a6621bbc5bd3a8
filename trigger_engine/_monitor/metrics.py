"""Metrics for Prometheus, computed from the read model on request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trigger_engine._engine.lifecycle import WAITING
from trigger_engine._monitor.site import Call
from trigger_engine._readmodel.queries.health import HealthRecord, health, totals
from trigger_engine._readmodel.queries.overview import overview
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot
from trigger_engine._readmodel.records import OverviewRecord, RunnerRecord

CONTENT_TYPE = CONTENT_TYPE_LATEST
_STATES = ("active", "suspended")


@dataclass(frozen=True, slots=True)
class Facts:
    """The data of the metrics."""

    overview: OverviewRecord
    health: HealthRecord
    totals: dict[str, int]
    runners: Sequence[RunnerRecord]
    now: datetime


async def metrics(call: Call) -> bytes:
    """Returns the metrics in the Prometheus format. Raises BackendUnavailable."""
    runners = list(await (await call.site.history()).runners())

    def find(snapshot: ReadSnapshot) -> Facts:
        return Facts(overview(snapshot), health(snapshot, call.now), totals(snapshot), runners, call.now)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(await call.query(find)))
    return bytes(generate_latest(registry))


class _Collector(Collector):
    """Collects the metrics from facts at one moment."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        facts = self._facts
        entries = CounterMetricFamily(
            "trigger_engine_entries",
            "Log entries since the read model was created, by kind: event, fired, rejected, succeeded, failed, …",
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
            "Declared triggers by state: active or suspended.",
            "state",
            ((state, facts.overview.triggers.get(state, 0)) for state in _STATES),  # type: ignore[call-overload]
        )
        yield _gauges(
            "trigger_engine_runners",
            "Runners known to the backend: alive, or lost within the last day.",
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
            ("waiting_invocations", "Invocations waiting to start.", waiting),
            ("longest_wait_seconds", "The time that the longest waiting invocation has waited.", self._since_waiting()),
            (
                "unevaluated_entries",
                "Entries that no leader has evaluated yet, counted up to 10,000.",
                facts.health.unevaluated,
            ),
            ("matcher_lag_seconds", "The age of the oldest unevaluated entry.", self._behind()),
            ("leader", "1 if a live runner is the leader, else 0.", int(leads)),
            ("log_position", "The position of the end of the log.", facts.overview.position),
        ):
            yield GaugeMetricFamily(f"trigger_engine_{name}", text, value=value)

    def _since_waiting(self) -> float:
        return _age(self._facts.health.waiting_since, self._facts.now)

    def _behind(self) -> float:
        return _age(self._facts.health.unevaluated_since, self._facts.now)


def _gauges(name: str, text: str, label: str, values: Iterable[tuple[str, int]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for word, value in values:
        family.add_metric([word], value)
    return family


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
