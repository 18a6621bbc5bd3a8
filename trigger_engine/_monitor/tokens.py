"""Finds tokens such as `event:<id>` in texts."""

from __future__ import annotations

import re
from collections.abc import Iterable

KINDS = ("event", "trigger-run", "invocation", "trigger", "runner")
_TOKEN = re.compile(
    r"(?<![\w-])(event|trigger-run|invocation|trigger|runner):([^\s,;()\"'<>\[\]{}]*[^\s,;:.!?()\"'<>\[\]{}])"
)

Piece = tuple[str, str | None, str]
"""A piece of a text: (text, kind, id) for a token, (text, None, "") for the text between tokens."""


def split_tokens(text: str) -> Iterable[Piece]:
    """Splits a text into tokens and the text between them."""
    end = 0
    for found in _TOKEN.finditer(text):
        if found.start() > end:
            yield text[end : found.start()], None, ""
        yield found[0], found[1], found[2]
        end = found.end()
    if end < len(text):
        yield text[end:], None, ""


def ids_by_kind(texts: Iterable[str]) -> dict[str, list[str]]:
    """Returns the ids in texts by kind, without duplicates, in order."""
    found: dict[str, dict[str, None]] = {kind: {} for kind in KINDS}
    for text in texts:
        for match in _TOKEN.finditer(text):
            found[match[1]][match[2]] = None
    return {kind: list(ids) for kind, ids in found.items()}
