"""What must hold at the end of a run, by the whole log and what its processes wrote down."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from tests.robustness.chaos.driver.deeds import Deed
from tests.robustness.chaos.driver.findings import Findings
from tests.robustness.chaos.driver.place import Place, lines
from trigger_engine._engine.lifecycle import InvocationState
from trigger_engine._engine.validity import Validity
from trigger_engine._model.entries import (
    AnyEntry,
    Claimed,
    CronTicked,
    EventEmitted,
    HandedBack,
    InvocationRegistered,
    Position,
    Recovered,
    Retried,
    Started,
    StatusEntry,
    Succeeded,
    TriggerFired,
)

_STALE = 1.0
Items = Sequence[tuple[Position, AnyEntry]]


def check_emitted(items: Items, place: Place, seed: int, findings: Findings) -> None:
    """Acknowledged: there, once, under the id that was told. Not acknowledged: there once or not at all, as a whole."""
    stored = Counter(entry.id for _, entry in items)
    found: defaultdict[int, list[str]] = defaultdict(list)
    for _, entry in items:
        if isinstance(entry, EventEmitted) and entry.emitter_invocation_id is None:
            found[_number(entry.payload)].append(entry.id)
        elif isinstance(entry, InvocationRegistered):
            found[_number(entry.arguments)].append(entry.id)
    for file in sorted(place.emitted.iterdir()):
        written = lines(file)
        told = {int(number): ids for word, number, *ids in written if word == "done"}
        for number in dict.fromkeys(int(number) for word, number, *_ in written if word == "begin"):
            there = found.pop(number, [])
            _check_deed(Deed.of(seed, number), told.get(number), there, findings)
    findings.require(not found, f"nobody emitted {dict(list(found.items())[:3])}")
    repeated = [entry_id for entry_id, count in stored.items() if count > 1]
    findings.require(not repeated, f"{len(repeated)} ids stand in the log twice: {repeated[:3]}")


def _check_deed(deed: Deed, told: list[str] | None, there: list[str], findings: Findings) -> None:
    whole = max(1, len(deed.events))
    findings.require(len(there) in {0, whole}, f"deed {deed.number}: {len(there)} entries instead of {whole} or none")
    if told is None:
        findings.unacknowledged += whole
        findings.stored_unacknowledged += len(there)
        return
    findings.acknowledged += whole
    findings.lost += len(set(told) - set(there))
    findings.doubled += max(0, len(there) - whole)
    findings.require(set(told) <= set(there), f"deed {deed.number} was acknowledged as {told}, the log has {there}")


def check_lives(items: Items, findings: Findings) -> None:
    """No entry is void, every run has one invocation of its own, every invocation has ended, none began too early.

    Too early: when the clock had not been there yet. That it was set back afterwards takes nothing back, and a writer
    reads it before it gets its turn.
    """
    validity = Validity(track_keys=True)
    early: list[str] = []
    latest = 0.0
    for position, entry in items:
        latest = max(latest, entry.time)
        if isinstance(entry, (Started, Claimed)):
            due = validity.open.get(entry.invocation_id, InvocationState()).not_before
            if due is not None and latest < due - _STALE:
                early.append(entry.id)
        reason = validity.read(position, entry)
        findings.require(reason is None, f"{entry.id} at {position} is void: {reason}")
    left = list(validity.open.items())
    findings.require(not left, f"{len(left)} invocations have not ended: {left[:3]}")
    findings.require(not early, f"{len(early)} invocations began before they were due: {early[:3]}")
    runs = [entry for _, entry in items if isinstance(entry, TriggerFired)]
    findings.runs = len(runs)
    findings.runs_twice = len(runs) - min(len({run.id for run in runs}), len({run.invocation_id for run in runs}))
    findings.require(findings.runs_twice == 0, f"{findings.runs_twice} trigger runs were created twice")


class Losses:
    """Which runners were lost, by what they and the driver wrote down. `ttl`: seconds that a heartbeat lasts."""

    def __init__(self, place: Place, *, ttl: float, killed: set[int], paused: set[int]) -> None:
        beats = lines(place.beats)
        self._killed = {runner_id for runner_id, pid, *_ in beats if int(pid) in killed}
        self._paused = {runner_id for runner_id, pid, *_ in beats if int(pid) in paused}
        self._silent: set[str] = set()
        last_begun: dict[str, float] = {}
        for runner_id, _, begun, ended in beats:
            if float(ended) - last_begun.get(runner_id, float(begun)) >= ttl:
                self._silent.add(runner_id)
            last_begun[runner_id] = float(begun)

    def reason(self, entry: StatusEntry) -> str | None:
        """Why a recovery was right; None when it was not."""
        runner_id = entry.runner_id or ""
        if runner_id in self._killed:
            return "after a kill"
        if runner_id not in self._silent:
            return None
        return "after a pause" if runner_id in self._paused else "after silence on a busy machine"


def check_executions(items: Items, place: Place, gone: Losses, findings: Findings) -> None:
    """Task code ran once for each claim, under claims of the log alone, and every further claim has a reason.

    Reasons: a retry; a hand-back by a runner that stopped gracefully; a recovery from a runner that was killed, or that
    was silent for longer than a heartbeat lasts (it was paused, or had no chance to say that it lives).
    """
    claims: defaultdict[str, list[str]] = defaultdict(list)
    reasons: Counter[str] = Counter()
    for _, entry in items:
        if isinstance(entry, (Started, Claimed)):
            claims[entry.invocation_id].append(entry.claim_id)
        elif isinstance(entry, (Recovered, HandedBack, Retried)):
            reasons[entry.invocation_id] += 1
            why = gone.reason(entry) if isinstance(entry, Recovered) else str(entry.__struct_config__.tag)
            findings.restarted[why or "for no reason"] += 1
            findings.executed_twice += why is None
            findings.require(why is not None, f"{entry.id} took work from {entry.runner_id}, which was alive")
    for invocation_id, held in claims.items():
        unexplained = len(set(held)) - 1 - reasons[invocation_id]
        findings.executed_twice += max(0, unexplained)
        findings.require(
            unexplained <= 0, f"{invocation_id} was claimed {len(held)} times, {unexplained} for no reason"
        )
    executed = lines(place.executions)
    findings.executions = len(executed)
    of_claims = Counter((invocation_id, claim_id) for invocation_id, _, claim_id in executed)
    for (invocation_id, claim_id), count in of_claims.items():
        allowed = len(claims[invocation_id]) if claim_id == "-" else claims[invocation_id].count(claim_id)
        findings.executed_twice += max(0, count - allowed)
        findings.require(count <= allowed, f"{invocation_id} ran {count} times under claim {claim_id}, not {allowed}")


def check_reactions(items: Items, findings: Findings) -> None:
    """What tasks emitted is there once for each invocation that has emitted it, however often its code was begun."""
    emitted: defaultdict[str, list[int]] = defaultdict(list)
    wanted: defaultdict[str, list[int]] = defaultdict(list)
    for _, entry in items:
        if isinstance(entry, EventEmitted) and entry.emitter_invocation_id is not None:
            emitted[entry.event_code].append(_number(entry.payload))
        elif isinstance(entry, Succeeded):
            task = entry.task_id.rpartition(".")[2]
            if task in {"take_order", "ship", "relay"} and (task != "take_order" or _number(entry.arguments) % 10 == 3):
                code = {"take_order": "shipped", "ship": "delivered", "relay": "relay"}[task]
                wanted[code].append(_number(entry.arguments))
    for code in ("shipped", "delivered", "relay"):
        same = sorted(emitted[code]) == sorted(wanted[code])
        findings.require(same, f"{len(emitted[code])} events {code} came of {len(wanted[code])} invocations")


def check_ticks(
    items: Items, moves: Sequence[tuple[float, float]], ended: float, period: float, findings: Findings
) -> None:
    """Each scheduled time that the clock passed, and none else, has one tick. `moves`: see `Chaos.clock_moves`."""
    ticked = [entry.scheduled_for for _, entry in items if isinstance(entry, CronTicked)]
    findings.ticks = len(ticked)
    begun = next((entry.time for _, entry in items if entry.id.startswith("declared:")), ended)
    latest = max(until + offset for (_, offset), (until, _) in zip(moves, [*moves[1:], (ended, 0.0)], strict=True))
    first = int(begun // period) + 1
    wanted = [number * period for number in range(first, int(latest // period) + 1)]
    findings.require(
        sorted(ticked) == wanted, f"{len(ticked)} ticks instead of {len(wanted)}: {_differences(ticked, wanted)}"
    )


def _differences(one: list[float], other: list[float]) -> str:
    return f"more {sorted(set(one) - set(other))[:3]}, missing {sorted(set(other) - set(one))[:3]}"


def _number(raw: msgspec.Raw) -> int:
    return int(msgspec.msgpack.decode(raw)["number"])
