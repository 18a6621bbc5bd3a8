"""The timeline and the log explorer in a real browser."""

import io
import logging
import re

import pytest
from playwright.async_api import expect

from tests.monitor.conftest import OpenPage
from tests.monitor.shop import Shop
from trigger_engine._runtime.log_format import InvocationFilter, TextFormatter

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="session")]


async def test_event_leads_to_its_place_in_the_timeline(open_page: OpenPage, shop: Shop) -> None:
    page = await open_page(f"/events/{shop.ids['paid']}")
    await page.get_by_role("link", name="Show in timeline").click()
    await expect(page.locator("svg.timeline path.mark-triggered.focused").first).to_be_visible()
    await expect(page.locator("svg.timeline path.mark-run.focused")).to_have_count(1)
    assert await page.locator("svg.timeline .line.focused").count() >= 1
    lanes = await page.locator("svg.timeline text.lane").all_text_contents()
    assert any("ship" in lane for lane in lanes)
    await page.locator("svg.timeline a:has(.bar.focused)").first.click()
    await expect(page.locator("h1 .kind")).to_have_text("Invocation")


async def test_event_that_started_nothing_is_shown_only_in_focus_or_on_request(open_page: OpenPage, shop: Shop) -> None:
    page = await open_page(f"/timeline?focus=event:{shop.ids['expensive']}")
    await expect(page.locator("svg.timeline path.mark-matched.focused")).to_have_count(1)
    root = page.url.partition("/timeline")[0]
    await page.goto(f"{root}/timeline?since=1h")
    await expect(page.locator("svg.timeline path.mark-matched")).to_have_count(0)
    await expect(page.locator("svg.timeline path.mark-recorded")).to_have_count(0)
    await page.goto(f"{root}/timeline?since=1h&events=all")
    assert await page.locator("svg.timeline path.mark-matched").count() >= 1


async def test_timeline_zooms_and_pans_by_links_keys_and_dragging(open_page: OpenPage) -> None:
    page = await open_page("/timeline?since=1h")

    async def window() -> float:
        svg = page.locator("svg.timeline")
        since, until = [await svg.get_attribute(f"data-{name}") for name in ("since", "until")]
        seconds: float = await page.evaluate("([a, b]) => (Date.parse(b) - Date.parse(a)) / 1000", [since, until])
        return seconds

    assert await window() == pytest.approx(3600, abs=1)
    await page.get_by_role("link", name="Zoom in").click()
    await page.wait_for_url(re.compile("until="))
    assert await window() == pytest.approx(1800, abs=1)
    first = page.url
    await page.locator("h1").click()
    await page.keyboard.press("ArrowLeft")
    await page.wait_for_function("url => location.href !== url", arg=first)
    assert await window() == pytest.approx(1800, abs=1)
    box = await page.locator("svg.timeline").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] - 4
    before = page.url
    await page.mouse.move(box["x"] + box["width"] * 0.4, y)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=4)
    await page.mouse.up()
    await page.wait_for_function("url => location.href !== url", arg=before)
    assert 100 < await window() < 400


async def test_lanes_are_tasks_or_runners(open_page: OpenPage, shop: Shop) -> None:
    page = await open_page("/timeline?since=1h")
    await page.get_by_label("Lanes").select_option("runner")
    await page.get_by_role("button", name="Show").click()
    runner_id = (await shop.history.runners())[0].runner_id
    await expect(page.locator("svg.timeline text.lane", has_text=runner_id[-8:])).to_have_count(1)


async def test_log_lines_become_links_and_a_timeline_with_the_emitters(open_page: OpenPage, shop: Shop) -> None:
    shipped = await shop.history.events(event_code="order.shipped", limit=1)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(InvocationFilter())
    handler.setFormatter(TextFormatter())
    text = f"saw event:{shipped[0].event_id}, and event:unknown."
    handler.handle(logging.makeLogRecord({"name": "shop", "levelname": "INFO", "msg": text}))
    page = await open_page("/logs")
    await page.get_by_label("Log lines").fill(stream.getvalue())
    await page.get_by_role("button", name="Analyze").click()
    await page.wait_for_url(re.compile("lines="))
    text = await page.locator("main").inner_text()
    assert "event order.shipped" in text
    assert "not in the history" in text
    lanes = await page.locator("svg.timeline text.lane").all_text_contents()
    assert any("ship" in lane for lane in lanes), "the emitter is included"
    await page.locator("pre.log a").first.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("order.shipped")


async def test_many_log_lines_are_analyzed(open_page: OpenPage, shop: Shop) -> None:
    line = f"2026-05-17 12:00:00 INFO shop: <b>event:{shop.ids['paid']}</b>\n"
    page = await open_page("/logs", script=False)
    await page.get_by_label("Log lines").fill(line * 300)
    await page.get_by_role("button", name="Analyze").click()
    await expect(page.locator("pre.log a")).to_have_count(300)
    assert "lines=" not in page.url
    assert "<b>" in await page.locator("pre.log").inner_text()
