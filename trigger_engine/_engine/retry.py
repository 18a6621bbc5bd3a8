"""Retries after failed attempts: whether to make another attempt, and after which delay."""

from __future__ import annotations

from dataclasses import dataclass

from trigger_engine._model.ids import derive

_JITTER = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a task is retried. `max_retries`: attempts after the first; `retry_for`: exception classes to retry on."""

    max_retries: int
    retry_for: tuple[type[BaseException], ...]

    def allows(self, attempt: int, *, retryable: bool) -> bool:
        """True if another attempt may follow attempt number `attempt` (from 1)."""
        return retryable and attempt <= self.max_retries


def backoff(invocation_id: str, attempt: int, *, base: float, cap: float) -> float:
    """Seconds to wait after a failed attempt: doubles from `base` up to `cap`, minus a jitter of up to a quarter.

    The jitter is derived from the invocation id, so every process computes the same delay.
    """
    delay = min(cap, base * 2.0 ** min(attempt - 1, 62))
    share = int(derive("jitter", invocation_id, attempt)[:8], 16) / 0xFFFFFFFF
    return delay * (1 - _JITTER * share)
