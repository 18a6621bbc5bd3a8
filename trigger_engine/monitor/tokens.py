"""Tokens such as `event:<id>` in texts, and what they name."""

from __future__ import annotations

import re
from collections.abc import Iterable

KINDS = ("event", "trigger-run", "invocation", "trigger", "runner")
_TOKEN = re.compile(
    r"(?<![\w-])(event|trigger-run|invocation|trigger|runner):([^\s,;()\"'<>\[\]{}]*[^\s,;:.!?()\"'<>\[\]{}])"
)

Piece = tuple[str, str | None, str]
"""A piece of a text: (text, kind, id) for a token, (text, None, "") for what stands between."""


def pieces(text: str) -> Iterable[Piece]:
    """A text in pieces."""
    end = 0
    for found in _TOKEN.finditer(text):
        if found.start() > end:
            yield text[end : found.start()], None, ""
        yield found[0], found[1], found[2]
        end = found.end()
    if end < len(text):
        yield text[end:], None, ""


def named(texts: Iterable[str]) -> dict[str, list[str]]:
    """The ids that texts name, by kind, each once, in order."""
    found: dict[str, dict[str, None]] = {kind: {} for kind in KINDS}
    for text in texts:
        for match in _TOKEN.finditer(text):
            found[match[1]][match[2]] = None
    return {kind: list(ids) for kind, ids in found.items()}
