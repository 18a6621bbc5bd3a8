"""Suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` with the closest known name; empty if no name is close."""
    from difflib import get_close_matches

    by_lowercase = {candidate.lower(): candidate for candidate in known}
    matches = get_close_matches(name.lower(), by_lowercase, n=1)
    return f", did you mean {by_lowercase[matches[0]]!r}?" if matches else ""
