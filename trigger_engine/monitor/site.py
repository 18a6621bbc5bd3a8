"""What all pages of one monitor share: the app, its history, the templates, and what is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import jinja2
import msgspec
from starlette.requests import Request

from trigger_engine.app import TriggerEngine
from trigger_engine.history import History
from trigger_engine.history.reading import Reading
from trigger_engine.monitor import formatting
from trigger_engine.monitor.assets import Assets
from trigger_engine.monitor.masking import Mask
from trigger_engine.monitor.parameters import Parameters
from trigger_engine.monitor.tokens import pieces

T = TypeVar("T")
_TEMPLATES = Path(__file__).parent / "templates"
_FILTERS: Mapping[str, Callable[..., Any]] = {
    "time": formatting.time_text,
    "exact": formatting.exact_time,
    "duration": formatting.duration_text,
    "number": formatting.number_text,
    "pretty": formatting.pretty,
    "preview": formatting.preview,
    "cut": formatting.cut,
    "size": formatting.size_text,
    "short": formatting.short_id,
    "task": formatting.short_task,
    "tokens": pieces,
    "segment": partial(quote, safe=""),
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor allows. `token`: who shows it may look; None: everybody who reaches it. `hosts`: empty for any."""

    token: str | None = None
    read_only: bool = False
    hosts: tuple[str, ...] = ()


class Site:
    """One app's monitor. Its history is opened for the event loop that first asks, and left by `close`."""

    def __init__(self, app: TriggerEngine, options: Options) -> None:
        self.app = app
        self.options = options
        self.assets = Assets()
        self.mask = Mask(app.settings.masked_keys)
        self.ending = asyncio.Event()
        self._history: History | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters.update(_FILTERS)

    async def history(self) -> History:
        """The app's history, opened on first use. Raises BackendUnavailable, ConfigError."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._history = loop, None
            self._opening, self.ending = asyncio.Lock(), asyncio.Event()
        async with self._opening:
            if self._history is None:
                self._history = await self.app.history().__aenter__()
            return self._history

    async def close(self) -> None:
        """Leaves the history; twice is harmless."""
        history, self._history = self._history, None
        self.ending.set()
        if history is not None:
            await history.__aexit__(None, None, None)


class Call:
    """One request to a page. `fields`: of a form; `position`: where the log ended for what was asked last."""

    def __init__(self, site: Site, request: Request, fields: Mapping[str, str] | None = None) -> None:
        self.site = site
        self.request = request
        self.fields = fields or {}
        self.now = datetime.now(UTC)
        self.position = 0

    async def ask(self, question: Callable[[Reading], T]) -> T:
        """What `question` returns for a reading of the app's history; several queries see one moment."""

        def read(reading: Reading) -> tuple[T, int]:
            return question(reading), reading.progress.position

        answer, self.position = await (await self.site.history()).ask(read)
        return answer

    def parameters(self, *known: str) -> Parameters:
        """The query parameters, of which only `known` ones may be there. Raises BadParameter."""
        return Parameters(self.request.query_params, known, now=self.now)

    @property
    def path(self) -> str:
        """The path below the place where the monitor is mounted."""
        path, root = self.request.url.path, self.request.scope.get("root_path", "")
        return path.removeprefix(root) or "/"

    @property
    def wants_json(self) -> bool:
        """Whether a machine asks."""
        return self.path.startswith("/api/")

    def url(self, path: str, **query: Any) -> str:
        """A link to a path of the monitor; parameters that are None or empty are left out."""
        given: Sequence[tuple[str, Any]] = [(name, value) for name, value in query.items() if value not in (None, "")]
        root = self.request.scope.get("root_path", "")
        return f"{root}{path}" + (f"?{urlencode(given)}" if given else "")

    def with_query(self, **changes: Any) -> str:
        """A link to this page with some parameters changed, and from the first page on."""
        query = dict(self.request.query_params)
        query.pop("cursor", None)
        return self.url(self.path, **{**query, **changes})
