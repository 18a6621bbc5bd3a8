"""Parses and checks the query parameters of a request."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from starlette.datastructures import QueryParams

from trigger_engine._suggestions import did_you_mean

T = TypeVar("T")
YES_OR_NO = {"yes": True, "no": False}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


class BadParameter(Exception):
    """An invalid query parameter. `allowed`: describes the valid values."""

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"{name}={value!r}: {allowed}")
        self.name = name
        self.value = value
        self.allowed = allowed


class Parameters:
    """The query parameters of a page. Empty ones, which forms send, are ignored. Raises BadParameter."""

    def __init__(self, query: QueryParams, known: Collection[str], *, now: datetime) -> None:
        self._now = now
        self._values: dict[str, str] = {}
        for name, value in query.multi_items():
            if name not in known:
                allowed = f"unknown parameter{did_you_mean(name, known)}; known parameters: {_listed(known)}"
                raise BadParameter(name, value, allowed)
            if name in self._values:
                raise BadParameter(name, value, "given twice: give it once")
            if value.strip():
                self._values[name] = value.strip()

    @property
    def given(self) -> Mapping[str, str]:
        """The given parameters, unparsed."""
        return self._values

    def text(self, name: str) -> str | None:
        """Returns a text, or None if it is not given."""
        return self._values.get(name)

    def choice(self, name: str, choices: Mapping[str, T]) -> T | None:
        """Returns one of several choices, or None if it is not given."""
        value = self._values.get(name)
        if value is None:
            return None
        if value not in choices:
            raise BadParameter(name, value, f"give one of {_listed(choices)}{did_you_mean(value, choices)}")
        return choices[value]

    def number(self, name: str, default: int, *, minimum: int, maximum: int) -> int:
        """Returns a whole number within limits."""
        value = self._values.get(name)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or not minimum <= int(value) <= maximum:
            raise BadParameter(name, value, f"give a whole number from {minimum:,} to {maximum:,}")
        return int(value)

    def time(self, name: str) -> datetime | None:
        """Parses an ISO time (UTC by default) or an age such as 90s, 15m, 2h, 7d."""
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
            allowed = f"give an ISO time such as {example} (UTC by default), or an age such as 15m, 2h, 7d"
            raise BadParameter(name, value, allowed) from None


def _listed(words: Collection[str]) -> str:
    return ", ".join(words) if words else "none"
