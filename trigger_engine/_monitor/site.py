"""Shared by all pages of a monitor: the app, its history, the templates and the options."""

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

from trigger_engine._app.app import TriggerEngine
from trigger_engine._monitor import formatting
from trigger_engine._monitor.assets import Assets
from trigger_engine._monitor.masking import Mask
from trigger_engine._monitor.parameters import Parameters
from trigger_engine._monitor.tokens import split_tokens
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot

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
    "tokens": split_tokens,
    "segment": partial(quote, safe=""),
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a monitor. `token`: required for access; None for no check. `hosts`: empty for any."""

    token: str | None = None
    read_only: bool = False
    hosts: tuple[str, ...] = ()


class Site:
    """One app's monitor. Its history is opened on first use in an event loop and closed by `close`."""

    def __init__(self, app: TriggerEngine, options: Options) -> None:
        self.app = app
        self.options = options
        self.assets = Assets()
        self.mask = Mask(app._internals.settings.masked_keys)
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
        """Returns the app's history, opened on first use. Raises BackendUnavailable, ConfigError."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._history = loop, None
            self._opening, self.ending = asyncio.Lock(), asyncio.Event()
        async with self._opening:
            if self._history is None:
                self._history = await self.app.history().__aenter__()
            return self._history

    async def close(self) -> None:
        """Closes the history. Closing twice is harmless."""
        history, self._history = self._history, None
        self.ending.set()
        if history is not None:
            await history.__aexit__(None, None, None)


class Call:
    """One request to a page. `fields`: those of a form. `position`: the end of the log at the last query."""

    def __init__(self, site: Site, request: Request, fields: Mapping[str, str] | None = None) -> None:
        self.site = site
        self.request = request
        self.fields = fields or {}
        self.now = datetime.now(UTC)
        self.position = 0

    async def query(self, query: Callable[[ReadSnapshot], T]) -> T:
        """Returns `query(snapshot)` for a snapshot of the app's history; all reads see the same state."""

        def read(snapshot: ReadSnapshot) -> tuple[T, int]:
            return query(snapshot), snapshot.progress.position

        result, self.position = await (await self.site.history()).query(read)
        return result

    def parameters(self, *known: str) -> Parameters:
        """Returns the query parameters. Raises BadParameter for others than the `known` ones."""
        return Parameters(self.request.query_params, known, now=self.now)

    @property
    def path(self) -> str:
        """The path below the mount point of the monitor."""
        path, root = self.request.url.path, self.request.scope.get("root_path", "")
        return path.removeprefix(root) or "/"

    @property
    def wants_json(self) -> bool:
        """Whether the response must be JSON."""
        return self.path.startswith("/api/")

    def url(self, path: str, **query: Any) -> str:
        """Returns a link to a path of the monitor. Parameters that are None or empty are left out."""
        given: Sequence[tuple[str, Any]] = [(name, value) for name, value in query.items() if value not in (None, "")]
        root = self.request.scope.get("root_path", "")
        return f"{root}{path}" + (f"?{urlencode(given)}" if given else "")

    def with_query(self, **changes: Any) -> str:
        """Returns a link to the first page of this list with some parameters changed."""
        query = dict(self.request.query_params)
        query.pop("cursor", None)
        return self.url(self.path, **{**query, **changes})
