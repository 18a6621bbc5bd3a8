"""Masks values of keys that look secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trigger_engine._engine.explain import Explanation
from trigger_engine._engine.predicates import PredicateAnswer

MASKED = "••••••"
_DEPTH = 100


class Mask:
    """Masks the values of keys that contain one of the words. Ignores case, `-`, `_` and spaces in keys."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = tuple(filter(None, map(_bare, words)))

    def hides(self, key: object) -> bool:
        """Returns whether a key's value is masked."""
        bare = _bare(str(key))
        return any(word in bare for word in self._words)

    def value(self, value: Any, depth: int = 0) -> Any:
        """Returns a copy of a decoded value with secrets masked."""
        if depth > _DEPTH:
            return MASKED
        if isinstance(value, Mapping):
            return {key: MASKED if self.hides(key) else self.value(one, depth + 1) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(one, depth + 1) for one in value]
        return value

    def explanation(self, explanation: Explanation) -> Explanation:
        """Returns an explanation with secrets masked."""
        text = explanation.text
        findings = []
        for finding in explanation.conditions:
            for answer in filter(self._is_secret, finding.answers):
                text = text.replace(f"{answer.what} {answer.text}", f"{answer.what} {MASKED}")
            answers = (
                msgspec.structs.replace(one, text=MASKED) if self._is_secret(one) else one for one in finding.answers
            )
            findings.append(msgspec.structs.replace(finding, answers=tuple(answers)))
        return msgspec.structs.replace(explanation, text=text, conditions=tuple(findings))

    def _is_secret(self, answer: PredicateAnswer) -> bool:
        return any(self.hides(key) for key in answer.what.split("."))


def _bare(key: str) -> str:
    return re.sub(r"[-_\s]", "", key).casefold()
