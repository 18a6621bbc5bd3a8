"""What `trigger-engine doctor` finds."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "failed"]


class Finding(msgspec.Struct, frozen=True):
    """The outcome of one check. `mend`: what to do, None when all is well."""

    level: Level
    check: str
    text: str
    mend: str | None = None


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding("ok", check, text)


def warning(check: str, text: str, mend: str) -> Finding:
    """Something that may be meant, or may become a failure."""
    return Finding("warning", check, text, mend)


def failed(check: str, text: str, mend: str) -> Finding:
    """Something that keeps triggers from firing, or work from being done."""
    return Finding("failed", check, text, mend)
