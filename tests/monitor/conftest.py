"""One browser, one app with a runner, and one server with its monitor, for all tests of a session.

They live on the session's event loop, and so do these tests.
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

from tests.monitor.browser import DEADLINE, Complaints, chromium
from tests.monitor.shop import Shop, make_shop_app
from tests.support.apps import make_app
from trigger_engine.monitor import Monitor, asgi_app

__all__ = ["make_app"]

OpenPage = Callable[..., Awaitable[Page]]


@dataclass(frozen=True)
class Site:
    """A served monitor."""

    shop: Shop
    url: str


@asynccontextmanager
async def served(web: Monitor) -> AsyncIterator[str]:
    """Serves an application on a free port; gives its address."""
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
    """The monitor of a shop in which much has happened, and whose runner is up."""
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
    """One browser for all."""
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(site: Site, browser: Browser) -> AsyncIterator[OpenPage]:
    """Opens pages of the monitor, each in a browser of its own; at the end none may have complained."""
    complaints: list[Complaints] = []
    async with AsyncExitStack() as stack:

        async def open_one(
            path: str = "/",
            *,
            width: int = 1440,
            dark: bool = False,
            script: bool = True,
            base: str = site.url,
            may_complain: bool = False,
        ) -> Page:
            context = await browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if dark else "light",
                java_script_enabled=script,
            )
            stack.push_async_callback(context.close)
            page = await context.new_page()
            page.set_default_timeout(DEADLINE)
            if not may_complain:
                complaints.append(Complaints(page))
            await page.goto(base + path)
            return page

        yield open_one
    heard = [text for one in complaints for text in one.heard if "status of 4" not in text]
    assert not heard


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for an app of the test's own, its cache too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path
