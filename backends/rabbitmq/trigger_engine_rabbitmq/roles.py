"""Leases and heartbeats, folded from their own stream; each process decides by its own clock when they expire."""

from __future__ import annotations

import time
from dataclasses import dataclass

from trigger_engine.backend import RunnerFacts, RunnerRow
from trigger_engine_rabbitmq.fold import Numbers
from trigger_engine_rabbitmq.messages import Acquired, Heartbeat, Left, Message, Released

LOST_RUNNERS_KEPT = 86_400.0
"""How many seconds a runner stays listed after its heartbeat has expired."""


@dataclass(slots=True)
class _Lease:
    owner: str
    grant: int
    expires: float


@dataclass(slots=True)
class _Runner:
    facts: RunnerFacts
    last_seen: float
    expires: float


class RolesFold:
    """The leases and runners of one app.

    The order of the stream decides between several processes that want a lease: each names a grant number, one more
    than that of the grant that has expired by its clock, and the first message with a number wins.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Starts over: the stream was replaced."""
        self._leases: dict[str, _Lease] = {}
        self._runners: dict[str, _Runner] = {}
        self._numbers = Numbers()
        self._snapshot = 0

    def newest_snapshot(self) -> int:
        """The offset in the log's stream of the snapshot that the newest heartbeat names, 0 for none."""
        return self._snapshot

    def fold(self, message: Message, is_live: bool) -> bool | None:
        """Folds the next message; returns whether a lease was acquired.

        A live message is new; others are as old as their time says.
        """
        if not self._numbers.is_new(message):
            return None
        match message.content:
            case Acquired() as content:
                return self._acquire(content, is_live)
            case Released(name, owner):
                for lease in self._leases.values() if name is None else self._leases_of(name, owner):
                    lease.expires = 0.0
            case Heartbeat(facts, ttl, sent, snapshot):
                self._snapshot = snapshot
                self._runners[facts.runner_id] = _Runner(facts, sent, _expires(ttl, sent, is_live))
            case Left(runner_id):
                self._runners.pop(runner_id, None)
            case _:
                pass
        return None

    def next_grant(self, name: str, owner: str) -> int | None:
        """The grant number with which this owner may take or keep a lease; None while another owner has it."""
        lease = self._leases.get(name)
        if lease is None:
            return 1
        if lease.owner == owner and lease.expires:
            return lease.grant
        return None if lease.expires > time.monotonic() else lease.grant + 1

    def rows(self) -> list[RunnerRow]:
        """Every runner with a row."""
        now = time.monotonic()
        for runner_id, runner in list(self._runners.items()):
            if runner.expires + LOST_RUNNERS_KEPT < now:
                del self._runners[runner_id]
        return [RunnerRow(each.facts, each.last_seen, each.expires > now) for each in self._runners.values()]

    def _acquire(self, content: Acquired, is_live: bool) -> bool:
        lease = self._leases.get(content.name)
        if lease is not None and content.grant <= lease.grant:
            is_kept = content.grant == lease.grant and content.owner == lease.owner and lease.expires
            if not is_kept:
                return False
        expires = _expires(content.ttl, content.sent, is_live)
        self._leases[content.name] = _Lease(content.owner, content.grant, expires)
        return True

    def _leases_of(self, name: str, owner: str) -> list[_Lease]:
        lease = self._leases.get(name)
        return [lease] if lease is not None and lease.owner == owner else []


def _expires(ttl: float, sent: float, is_live: bool) -> float:
    age = 0.0 if is_live else max(time.time() - sent, 0.0)
    return time.monotonic() + ttl - age
