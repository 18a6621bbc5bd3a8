"""Fixtures shared by all tests of a session: a browser, an app with a runner, and a served monitor.

They and the tests run on the session's event loop.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, Page

from tests.monitor.browser import DEADLINE, ConsoleErrors, chromium
from tests.monitor.shop import Shop, make_shop_app
from tests.support.apps import make_app
from trigger_engine._monitor.application import Monitor, asgi_app

__all__ = ["make_app"]

OpenPage = Callable[..., Awaitable[Page]]


@dataclass(frozen=True)
class Site:
    """A served monitor."""

    shop: Shop
    url: str


@asynccontextmanager
async def served(web: Monitor) -> AsyncIterator[str]:
    """Serves an application on a free port. Yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(web, log_level="warning", lifespan="on", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            web.end_streams()
            server.should_exit = True
            await running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The monitor of a shop with data and a live runner."""
    folder = tmp_path_factory.mktemp("monitor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        async with AsyncExitStack() as stack:
            app = make_shop_app(folder / "shop.db")
            await stack.enter_async_context(app)
            history = await stack.enter_async_context(app.history())
            await stack.enter_async_context(app.runner())
            shop = Shop(app, history)
            await shop.trade()
            yield Site(shop, await stack.enter_async_context(served(asgi_app(app))))


@pytest.fixture(scope="session")
def shop(site: Site) -> Shop:
    """The shop that the monitor shows."""
    return site.shop


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The shared browser."""
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(site: Site, browser: Browser) -> AsyncIterator[OpenPage]:
    """Opens pages of the monitor, each in its own browser context. Fails if a page logged an error."""
    console_errors: list[ConsoleErrors] = []
    async with AsyncExitStack() as stack:

        async def open_one(
            path: str = "/",
            *,
            width: int = 1440,
            dark: bool = False,
            script: bool = True,
            base: str = site.url,
            allow_errors: bool = False,
        ) -> Page:
            context = await browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if dark else "light",
                java_script_enabled=script,
            )
            stack.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(DEADLINE)
            if not allow_errors:
                console_errors.append(ConsoleErrors(page))
            await page.goto(base + path)
            return page

        yield open_one
    texts = [text for one in console_errors for text in one.texts if "status of 4" not in text]
    assert not texts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the test's app and its cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path
