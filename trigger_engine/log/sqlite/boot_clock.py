"""A clock that never jumps and that all processes of a host share, for leases and heartbeats."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)
_ROUNDING = 0.001


class Expiry(msgspec.Struct, frozen=True):
    """When something ends: `at` seconds after the boot `boot_id`, `ttl` seconds after it was written."""

    at: float
    ttl: float
    boot_id: str


class BootClock:
    """Seconds since this boot. `now` and `boot_id` are replaced by tests."""

    def __init__(self, now: Callable[[], float] | None = None, boot_id: str | None = None) -> None:
        self.now = now or boot_time
        self.boot_id = _read_boot_id() if boot_id is None else boot_id

    def expiry(self, ttl: float) -> Expiry:
        """What ends `ttl` seconds from now."""
        return Expiry(self.now() + ttl, ttl, self.boot_id)

    def is_over(self, expiry: Expiry) -> bool:
        """True when its time has come. What another boot wrote is over."""
        left = expiry.at - self.now()
        # More left than was given means another boot, also where the system has no boot id.
        return expiry.boot_id != self.boot_id or not 0 < left < expiry.ttl + _ROUNDING


def boot_time() -> float:
    """Seconds since boot, with those of a suspended machine where the system counts them."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


def _read_boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""
