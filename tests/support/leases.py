"""Leases that a busy machine cannot lose."""

from typing import Any

from trigger_engine import TriggerEngine


async def renewals_of_a_long_lease(app: TriggerEngine) -> list[str]:
    """Collects the holder each time that a runner of this app takes or renews the lease, which now lasts a minute.

    `lease_ttl` still decides how often it is renewed: a test waits for renewals, not for time to pass.
    """
    log: Any = (await app._internals.connections.session()).log
    acquire = log.acquire
    holders: list[str] = []

    async def acquire_for_long(role: str, owner: str, *, ttl: float) -> bool:
        acquired: bool = await acquire(role, owner, ttl=60.0)
        if acquired:
            holders.append(owner)
        return acquired

    log.acquire = acquire_for_long
    return holders
