"""What follows a failed attempt: another one after a delay, or the end."""

from __future__ import annotations

from dataclasses import dataclass

from trigger_engine.core.ids import derive

_JITTER = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`max_retries`: attempts after the first; `retry_for`: exception classes that are worth another attempt."""

    max_retries: int
    retry_for: tuple[type[BaseException], ...]

    def allows(self, attempt: int, *, retryable: bool) -> bool:
        """True when attempt number `attempt` (from 1) may be followed by another."""
        return retryable and attempt <= self.max_retries


def backoff(invocation_id: str, attempt: int, *, base: float, cap: float) -> float:
    """Seconds to wait after a failed attempt: doubling from `base` up to `cap`, less up to a quarter of jitter.

    The jitter is derived from the id, so that every process computes the same.
    """
    delay = min(cap, base * 2.0 ** min(attempt - 1, 62))
    share = int(derive("jitter", invocation_id, attempt)[:8], 16) / 0xFFFFFFFF
    return delay * (1 - _JITTER * share)
