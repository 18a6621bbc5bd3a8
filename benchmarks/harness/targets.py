"""Targets of figures, from targets.toml."""

from __future__ import annotations

import operator
import tomllib
from dataclasses import dataclass
from pathlib import Path

_TESTS = {"≥": operator.ge, "<": operator.lt}
TARGETS: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
"""By question and case."""


@dataclass(frozen=True, slots=True)
class Target:
    """A bound of a figure, or of its ratio to what stands beside it."""

    sign: str
    bound: float
    of_ratio: bool = False

    def __str__(self) -> str:
        return f"{'ratio ' if self.of_ratio else ''}{self.sign} {self.bound:,g}"

    def is_met(self, value: float, ratio: float | None) -> bool:
        """False also if the target needs a ratio and the figure has none."""
        found = ratio if self.of_ratio else value
        return found is not None and bool(_TESTS[self.sign](found, self.bound))


def targets_of(question: str, case: str) -> list[Target]:
    """The targets of a figure; most have none."""
    found = []
    for text in filter(None, TARGETS.get(question, {}).get(case, "").split(", ")):
        *of, sign, bound = text.split()
        found.append(Target(sign, float(bound), of_ratio=of == ["ratio"]))
    return found
