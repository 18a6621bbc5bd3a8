"""Headless Chromium, driven by Playwright: the system's own, installed if possible."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
DEADLINE = 30_000
"""Milliseconds after which waiting for a page fails."""


def chromium_path() -> str:
    """Returns the path of Chromium, or of CHROMIUM. Installs it for root on Debian; else raises RuntimeError."""
    named = os.environ.get("CHROMIUM") or _found()
    if named is not None:
        return named
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", *command], env=environment, check=True, capture_output=True, timeout=600)
    installed = _found()
    if installed is None:
        raise RuntimeError(
            "the tests of the monitor need Chromium: install it (Debian: apt-get install chromium), set CHROMIUM to "
            "its path, or skip these tests with -m 'not servers'"
        )
    return installed


def _found() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Starts a browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=_FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


class ConsoleErrors:
    """Errors and warnings in a page's console, and errors in its script."""

    def __init__(self, page: Page) -> None:
        self.texts: list[str] = []
        page.on("console", lambda message: self._add(message.type, message.text))
        page.on("pageerror", lambda error: self._add("error", str(error)))

    def _add(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.texts.append(text)
