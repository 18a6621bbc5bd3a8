"""What a page answers with: one set of facts, for people as HTML and for machines as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trigger_engine.monitor.site import Call


@dataclass(frozen=True, slots=True)
class View:
    """A page. `facts`: what `/api` gives; `extra`: what only the template needs, such as drawings.

    `live`: whether the page is fetched anew when something happens; `ages`: also when only time has passed.
    `elsewhere`: the path, below the monitor's address, of the page that people should be led to instead.
    """

    template: str
    title: str
    facts: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    live: bool = False
    elsewhere: str | None = None
    ages: bool = False


Page = Callable[["Call"], Awaitable[View]]
