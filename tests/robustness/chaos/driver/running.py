"""A whole run: harm, rest, and every check."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from tests.robustness.chaos.driver import checks, comparing
from tests.robustness.chaos.driver.driving import Chaos, Plan, fresh_shop, new_place
from tests.robustness.chaos.driver.findings import Findings
from tests.robustness.chaos.driver.place import Place
from tests.robustness.chaos.driver.stores import STORES
from trigger_engine._declare.user_functions import function_name
from trigger_engine._engine.validity import Validity
from trigger_engine._model.encoding import encode_entry
from trigger_engine._model.entries import AnyEntry, LeaderElected, Position, StatusEntry


async def run_chaos(plan: Plan, folder: Path) -> Findings:
    """Makes the run in an empty folder, and leaves everything there: the store, the log, what processes have said."""
    begun = time.monotonic()
    findings = Findings(seed=plan.seed, store=plan.store, seconds=0.0)
    with new_place(folder, plan.store) as place, STORES[plan.store].servers(folder):
        shop = fresh_shop()
        async with shop.app:
            chaos = Chaos(plan, place, shop.app, (await shop.app._internals.connections.session()).log)
            await chaos.run()
            findings.violations += chaos.troubles
            findings.faults = chaos.faults
            findings.kills = len(chaos.fleet.killed)
            findings.purged = chaos.purged
            await _check(chaos, place, shop, findings)
    findings.seconds = time.monotonic() - begun
    _keep(chaos, folder)
    return findings


async def _check(chaos: Chaos, place: Place, shop: ModuleType, findings: Findings) -> None:
    items = _counting(chaos)
    findings.entries = len(items)
    findings.leaders = sum(isinstance(entry, LeaderElected) for _, entry in items)
    checks.check_emitted(items, place, chaos.plan.seed, findings)
    checks.check_lives(items, findings)
    checks.check_executions(items, place, _losses(chaos, place, shop.HEARTBEAT_TTL), findings)
    checks.check_reactions(items, findings)
    checks.check_ticks(items, chaos.clock_moves, chaos.stopped_at, 60.0 * shop.CRON_MINUTES, findings)
    callables = _callables(shop)
    comparing.check_oracle(items, callables, findings)
    await comparing.check_audits(shop.app, chaos.archive, callables, findings)
    await comparing.check_histories(shop.app, chaos.archive, place.folder, findings)


def _counting(chaos: Chaos) -> list[tuple[Position, AnyEntry]]:
    """All entries; of a log that stores late reports of runners, without these."""
    archive, validity = chaos.archive, Validity(track_keys=False)
    if archive.refuses_void:
        return archive.items
    return [
        (position, entry)
        for position, entry in archive.items
        if validity.read(position, entry) is None or not isinstance(entry, StatusEntry)
    ]


def _losses(chaos: Chaos, place: Place, ttl: float) -> checks.Losses:
    fleet = chaos.fleet
    return checks.Losses(place, ttl=ttl, killed=fleet.killed, paused=fleet.paused)


def _callables(shop: ModuleType) -> dict[str, Callable[..., Any]]:
    """Every function of the app's module, of which its filters are some, by the names that the log has for them."""
    functions = [value for value in vars(shop).values() if callable(value) and hasattr(value, "__code__")]
    return {function_name(function): function for function in functions}


def _keep(chaos: Chaos, folder: Path) -> None:
    """Writes the whole log down as text, one entry a line, for whoever looks into a violation."""
    with (folder / "log.jsonl").open("wb") as file:
        for position, entry in chaos.archive.items:
            decoded = msgspec.msgpack.decode(encode_entry(entry)[1:])
            file.write(msgspec.json.encode([position, decoded]) + b"\n")
