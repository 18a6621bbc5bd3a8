"""The findings of `trigger-engine doctor`."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "failed"]


class Finding(msgspec.Struct, frozen=True):
    """The outcome of one check. `fix`: what to do; None if the check passed."""

    level: Level
    check: str
    text: str
    fix: str | None = None


def ok(check: str, text: str) -> Finding:
    """The check passed."""
    return Finding("ok", check, text)


def warning(check: str, text: str, fix: str) -> Finding:
    """Something that may be intended, or may become a failure."""
    return Finding("warning", check, text, fix)


def failed(check: str, text: str, fix: str) -> Finding:
    """Something that keeps triggers from firing or work from being done."""
    return Finding("failed", check, text, fix)
