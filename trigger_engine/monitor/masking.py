"""Hiding what looks secret, by the names of keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trigger_engine.core.explain import Explanation
from trigger_engine.core.predicates import Answer

MASKED = "••••••"
_DEPTH = 100


class Mask:
    """Hides the values of keys that contain one of some words; case, `-`, `_` and spaces in keys do not matter."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = tuple(filter(None, map(_bare, words)))

    def hides(self, key: object) -> bool:
        """Whether a key looks as if its value were secret."""
        bare = _bare(str(key))
        return any(word in bare for word in self._words)

    def value(self, value: Any, depth: int = 0) -> Any:
        """A copy of a decoded value without what looks secret."""
        if depth > _DEPTH:
            return MASKED
        if isinstance(value, Mapping):
            return {key: MASKED if self.hides(key) else self.value(one, depth + 1) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(one, depth + 1) for one in value]
        return value

    def explanation(self, told: Explanation) -> Explanation:
        """An explanation that does not quote what looks secret."""
        text = told.text
        findings = []
        for finding in told.conditions:
            for answer in filter(self._is_secret, finding.answers):
                text = text.replace(f"{answer.what} {answer.text}", f"{answer.what} {MASKED}")
            answers = (
                msgspec.structs.replace(one, text=MASKED) if self._is_secret(one) else one for one in finding.answers
            )
            findings.append(msgspec.structs.replace(finding, answers=tuple(answers)))
        return msgspec.structs.replace(told, text=text, conditions=tuple(findings))

    def _is_secret(self, answer: Answer) -> bool:
        return any(self.hides(key) for key in answer.what.split("."))


def _bare(key: str) -> str:
    return re.sub(r"[-_\s]", "", key).casefold()
