"""The result of a page: one set of facts, rendered as HTML or returned as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trigger_engine._monitor.site import Call


@dataclass(frozen=True, slots=True)
class View:
    """A page. `facts`: the response under `/api`. `extra`: data only for the template, such as drawings.

    `live`: the page is reloaded when something happens; `ages`: also regularly, to update ages. `redirect`: the path,
    below the monitor's root, of the page to show instead.
    """

    template: str
    title: str
    facts: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    live: bool = False
    redirect: str | None = None
    ages: bool = False


Page = Callable[["Call"], Awaitable[View]]
