"""Since when the engine has been running without a break."""

from __future__ import annotations

from collections.abc import Iterable


def continuous_since(now: float, alive: Iterable[tuple[float, float]], *, gap: float) -> float:
    """The start of the unbroken time up to `now` (seconds since 1970).

    `alive`: (from, until) of everything that ran; breaks of up to `gap` seconds do not count as breaks.
    """
    since = now
    for begun, ended in sorted(alive, key=lambda interval: interval[1], reverse=True):
        if ended < since - gap:
            break
        since = min(since, begun)
    return since
