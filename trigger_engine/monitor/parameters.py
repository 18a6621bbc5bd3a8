"""What a request asks for: its query parameters, checked, each with the word about what is allowed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from starlette.datastructures import QueryParams

from trigger_engine.suggestions import did_you_mean

T = TypeVar("T")
YES_OR_NO = {"yes": True, "no": False}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


class BadParameter(Exception):
    """A query parameter that means nothing. `allowed`: what may stand there."""

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"{name}={value!r}: {allowed}")
        self.name = name
        self.value = value
        self.allowed = allowed


class Parameters:
    """The query parameters of a page. An empty one, as forms send it, counts as not given. Raises BadParameter."""

    def __init__(self, query: QueryParams, known: Collection[str], *, now: datetime) -> None:
        self._now = now
        self._values: dict[str, str] = {}
        for name, value in query.multi_items():
            if name not in known:
                allowed = f"there is no such parameter{did_you_mean(name, known)}; there are: {_listed(known)}"
                raise BadParameter(name, value, allowed)
            if name in self._values:
                raise BadParameter(name, value, "it is given twice: give it once")
            if value.strip():
                self._values[name] = value.strip()

    @property
    def given(self) -> Mapping[str, str]:
        """The parameters that are given, as they were written."""
        return self._values

    def text(self, name: str) -> str | None:
        """A text, None when it is not given."""
        return self._values.get(name)

    def choice(self, name: str, choices: Mapping[str, T]) -> T | None:
        """One of some words."""
        value = self._values.get(name)
        if value is None:
            return None
        if value not in choices:
            raise BadParameter(name, value, f"give one of {_listed(choices)}{did_you_mean(value, choices)}")
        return choices[value]

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number within limits."""
        value = self._values.get(name)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
            raise BadParameter(name, value, f"give a whole number from {least:,} to {most:,}")
        return int(value)

    def time(self, name: str) -> datetime | None:
        """An ISO time, in UTC where it names no zone, or an age such as 90s, 15m, 2h, 7d."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            if age := _AGE.fullmatch(value):
                return self._now - timedelta(seconds=float(age[1]) * _UNITS[age[2]])
            time = datetime.fromisoformat(value)
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            example = f"{self._now:%Y-%m-%dT%H:%M}"
            allowed = f"give an ISO time such as {example} (UTC where it names no zone), or an age such as 15m, 2h, 7d"
            raise BadParameter(name, value, allowed) from None


def _listed(words: Collection[str]) -> str:
    return ", ".join(words) if words else "none"
