"""The demo with its monitor: a few clicks answer what started, what waited, and what failed."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.monitor.conftest import OpenPage
from tests.support.project import ROOT

PROSE = "Ten words stand in this sentence, and all of them count. "
pytestmark = [
    pytest.mark.servers,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="session"),
]


@asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[str]:
    """Runs the demo on a small feed and yields the address of its monitor. Fails if it does not exit with 0."""
    feed = folder / "feed"
    (feed / "inside").mkdir(parents=True)
    (feed / "one.md").write_text(f"# One\n\n{PROSE * 5}\n")
    (feed / "inside" / "two.md").write_text(f"# Two\n\n{PROSE * 5}\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "examples/trigger_demo/sample.py"), str(feed)),
        *("--output", str(folder / "output"), "--monitor", "0", "--patience", "60"),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"), "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        output = ""
        while (line := (await process.stdout.readline()).decode()) and "Monitor:" not in line:
            output += line
        assert "Monitor:" in line, output
        yield line.split()[1].rstrip("/")
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # The runner and the monitor, too.
            await process.wait()


async def test_a_few_clicks_answer_what_started_what_waited_and_what_failed(
    open_page: OpenPage, tmp_path: Path
) -> None:
    async with demo(tmp_path) as address:
        page = await open_page("/", base=address)
        main = page.locator("main")

        # Which event started this task?
        await page.get_by_role("link", name="Invocations", exact=True).click()
        await page.get_by_label("Task").fill("tasks.notify_subscribers")
        await page.get_by_role("button", name="Filter").click()
        await main.locator("tbody").get_by_role("link", name="notify_subscribers").first.click()
        await page.locator("svg.family a", has_text="enrich_article").first.click()
        await page.locator("dt:text-is('Started by') + dd a").click()
        await main.get_by_role("link", name="article.found").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("article.found")

        # Why did the feed in another format start nothing? Why did the digest not fire before?
        await page.goto(f"{address}/events")
        await page.get_by_role("link", name="Only recorded").click()
        await main.locator("tbody").get_by_role("link", name="feed.published").click()
        await expect(main).to_contain_text('payload.format is "rss", expected "markdown"')
        await page.goto(f"{address}/triggers")
        await main.get_by_role("link", name=re.compile("edition.closed")).click()
        await expect(page.locator("svg.rule")).to_be_visible()
        await main.locator("section", has_text="Latest runs").get_by_role("link").first.click()
        await expect(main.locator("section", has_text="Conditions met")).to_contain_text("edition.closed")

        # What failed, where, with what?
        await page.goto(address)
        failures = main.locator("section", has_text="Latest failures")
        await failures.get_by_role("link", name="enrich_article").first.click()
        await expect(main).to_contain_text("documents.py")
        await expect(main.locator("section", has_text="Arguments")).to_contain_text("broken")

        # Lines of the runner's log become links and a timeline.
        log = (tmp_path / "output" / "runner.log").read_text()
        await page.goto(f"{address}/logs")
        await page.get_by_label("Log lines").fill(log)
        await page.get_by_role("button", name="Analyze").click()
        await expect(main).to_contain_text("enrich_article, failed")
        assert await page.locator("svg.timeline .bar.st-failed").count() == 2
