"""The web application: routes, responses, and error pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from trigger_engine._app.app import TriggerEngine
from trigger_engine._monitor.live import live
from trigger_engine._monitor.metrics import CONTENT_TYPE, metrics
from trigger_engine._monitor.pages import CHANGES, PAGES, TEXTS
from trigger_engine._monitor.pages.logs import address_of, logs
from trigger_engine._monitor.parameters import BadParameter
from trigger_engine._monitor.rendering import render, render_error
from trigger_engine._monitor.security import Guard, Refused, read_form
from trigger_engine._monitor.site import Call, Options, Site
from trigger_engine._monitor.view import Page
from trigger_engine._readmodel.json_text import json_bytes
from trigger_engine.errors import (
    BackendUnavailable,
    ConfigError,
    InvocationNotFound,
    QueryError,
    RecordNotFound,
)


class Monitor:
    """An ASGI application, created by `asgi_app`.

    Mount it, and enter it while your application runs (`async with monitor:`), so that it closes what it has opened.
    If it is not entered, it opens the app's history with the first request.
    """

    def __init__(self, app: TriggerEngine, options: Options) -> None:
        self._site = Site(app, options)
        self._web = Starlette(
            routes=_routes(self._site),
            exception_handlers=_failures(self._site),
            lifespan=self._lifespan,
        )
        self._guarded = Guard(self._web, options, app.app_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._guarded(scope, receive, send)

    async def __aenter__(self) -> Self:
        """Opens the app's history. Raises BackendUnavailable, ConfigError."""
        await self._site.history()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._site.close()

    def end_streams(self) -> None:
        """Ends the streams of live pages, so that a server can stop gracefully."""
        self._site.ending.set()

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Opens the history. An unreachable backend does not prevent the start, because users need the monitor then."""
        with contextlib.suppress(BackendUnavailable):
            await self._site.history()
        try:
            yield
        finally:
            await self._site.close()


def asgi_app(
    app: TriggerEngine, *, token: str | None = None, read_only: bool = False, hosts: tuple[str, ...] = ()
) -> Monitor:
    """Returns the monitor of an app, to mount in a web application or to run in a server.

    `token`: required for access. Without a token everyone who reaches the pages has access, so put them behind your
    own authentication. `read_only`: rejects all actions. `hosts`: the allowed host names; empty for any. Values under
    keys that look secret (see the setting `masked_keys`) are hidden.
    """
    if token is not None and len(token) < 8:
        raise ConfigError("the monitor's token has fewer than 8 characters: choose a longer one")
    return Monitor(app, Options(token=token, read_only=read_only, hosts=hosts))


def _routes(site: Site) -> list[Route]:
    routes = [
        Route("/static/{name}", site.assets.respond),
        Route("/live", partial(live, site)),
        Route("/login", partial(_log_in, site), methods=["GET", "POST"]),
        Route("/healthz", partial(_health, site)),
        Route("/metrics", partial(_metrics, site)),
    ]
    routes.append(Route("/logs", partial(_explore, site), methods=["POST"]))
    for path, text in TEXTS.items():
        routes.append(Route(path, partial(_text, site, text)))
    for path, change in CHANGES.items():
        routes.append(Route(path, partial(_change, site, change), methods=["POST"]))
    for path, page in PAGES.items():
        routes.append(Route(path, partial(_html, site, page)))
        routes.append(Route(f"/api{'/overview' if path == '/' else path}", partial(_json, site, page)))
    return routes


async def _html(site: Site, page: Page, request: Request) -> Response:
    call = Call(site, request)
    view = await page(call)
    if view.redirect is not None:
        return RedirectResponse(call.url(view.redirect), 303)
    return HTMLResponse(render(call, view))


async def _json(site: Site, page: Page, request: Request) -> Response:
    view = await page(Call(site, request))
    return Response(json_bytes(view.facts), media_type="application/json")


async def _text(site: Site, text: Callable[[Call], Awaitable[str]], request: Request) -> Response:
    return Response(await text(Call(site, request)), media_type="text/plain")


async def _change(site: Site, change: Callable[[Call], Awaitable[str]], request: Request) -> Response:
    if site.options.read_only:
        raise Refused(403, "this monitor is read-only")
    await read_form(request)
    call = Call(site, request)
    return RedirectResponse(call.url(await change(call)), 303)


async def _explore(site: Site, request: Request) -> Response:
    """Handles log lines from a form. Redirects to an address that can be shared if the lines fit into one."""
    fields = await read_form(request)
    call = Call(site, request, fields)
    address = address_of(fields.get("lines", ""))
    if address is not None:
        return RedirectResponse(call.url(address), 303)
    return HTMLResponse(render(call, await logs(call)))


async def _health(site: Site, request: Request) -> Response:
    history = await site.history()
    async with asyncio.timeout(5):
        await history.wait_beyond(-1, timeout=0)
    return JSONResponse({"status": "ok"})


async def _metrics(site: Site, request: Request) -> Response:
    return Response(await metrics(Call(site, request)), headers={"Content-Type": CONTENT_TYPE})


async def _log_in(site: Site, request: Request) -> Response:
    call = Call(site, request)
    if site.options.token is None:
        return RedirectResponse(call.url("/"), 303)
    is_wrong = False
    if request.method == "POST":
        fields = await read_form(request)
        cookie = request.state.guard.log_in(request, fields.get("token", ""))
        if cookie is not None:
            return RedirectResponse(call.url("/"), 303, headers={"Set-Cookie": cookie})
        is_wrong = True
    template = site.templates.get_template("login.html")
    page = template.render(url=call.url, asset=site.assets.path, csrf=request.state.csrf, app_id="", is_wrong=is_wrong)
    return HTMLResponse(page, 403 if is_wrong else 200)


def _failures(site: Site) -> dict[Any, Any]:
    """Returns the handler of each kind of error; it responds with a page, or with JSON under /api."""

    def respond(request: Request, status: int, title: str, text: str, **details: str) -> Response:
        call = Call(site, request)
        if call.wants_json:
            return JSONResponse({"error": text, **details}, status)
        headers = {"Retry-After": "60"} if status == 429 else None
        return HTMLResponse(render_error(call, status, title, text, details), status, headers=headers)

    async def bad_parameter(request: Request, exc: BadParameter) -> Response:
        details = {"parameter": exc.name, "value": exc.value, "allowed": exc.allowed}
        return respond(request, 400, "Invalid parameter", f"The parameter {exc.name} is invalid.", **details)

    async def bad_query(request: Request, exc: QueryError) -> Response:
        return respond(request, 400, "Invalid parameter", str(exc))

    async def not_found(request: Request, exc: Exception) -> Response:
        return respond(request, 404, "Not in the history", str(exc))

    async def down(request: Request, exc: Exception) -> Response:
        return respond(request, 503, "The backend is unreachable", str(exc))

    async def refused(request: Request, exc: Refused) -> Response:
        return respond(request, exc.status, "Rejected", exc.reason)

    async def broken(request: Request, exc: Exception) -> Response:
        text = f"{type(exc).__name__} while rendering this page: see the traceback in the log of the monitor's process."
        return respond(request, 500, "The monitor failed", text)

    async def other(request: Request, exc: HTTPException) -> Response:
        title = "Page not found" if exc.status_code == 404 else "Not allowed"
        return respond(request, exc.status_code, title, f"{request.method} {Call(site, request).path}: {exc.detail}")

    return {
        BadParameter: bad_parameter,
        QueryError: bad_query,
        RecordNotFound: not_found,
        InvocationNotFound: not_found,
        BackendUnavailable: down,
        TimeoutError: down,
        Refused: refused,
        HTTPException: other,
        Exception: broken,
    }
