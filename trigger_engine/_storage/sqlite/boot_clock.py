"""A clock for leases and heartbeats: it never jumps, and all processes of a host share it."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)
_ROUNDING = 0.001


class Expiry(msgspec.Struct, frozen=True):
    """A time of expiry: `at` seconds after the boot `boot_id`, `ttl` seconds after it was written."""

    at: float
    ttl: float
    boot_id: str


class BootClock:
    """Seconds since boot. Tests replace `now` and `boot_id`."""

    def __init__(self, now: Callable[[], float] | None = None, boot_id: str | None = None) -> None:
        self.now = now or boot_time
        self.boot_id = _read_boot_id() if boot_id is None else boot_id

    def expiry(self, ttl: float) -> Expiry:
        """The expiry `ttl` seconds from now."""
        return Expiry(self.now() + ttl, ttl, self.boot_id)

    def is_over(self, expiry: Expiry) -> bool:
        """True when the time has come, or when another boot wrote the expiry."""
        left = expiry.at - self.now()
        # More time left than `ttl` means another boot, which matters where the system has no boot id.
        return expiry.boot_id != self.boot_id or not 0 < left < expiry.ttl + _ROUNDING


def boot_time() -> float:
    """Seconds since boot, including time asleep where the system counts it."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


def _read_boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""
