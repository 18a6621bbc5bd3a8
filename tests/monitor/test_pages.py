"""The pages in a real browser: their content and links."""

import re
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page, expect

from tests.monitor.conftest import OpenPage
from tests.monitor.shop import LONG, SCRIPT, SECRET, Shop
from tests.support.tasks import task_of

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="session")]


async def paths(shop: Shop) -> list[str]:
    """Returns the path of one page of every kind."""
    failed = await shop.invocation("shop.ship", status="failed")
    closing = next(one for one in await shop.history.triggers() if one.task_id == "shop.close_day")
    return [
        "/",
        "/events",
        f"/events/{shop.ids['paid']}",
        "/trigger-runs",
        f"/trigger-runs/{(await shop.run('shop.ship')).run_id}",
        "/invocations",
        f"/invocations/{failed.invocation_id}",
        "/triggers",
        f"/triggers/{closing.trigger_id}",
        "/search?q=nothing",
        "/timeline?since=1h&events=all",
        f"/logs?lines=event:{shop.ids['paid']}+invocation:{failed.invocation_id}",
    ]


async def main_text(page: Page) -> str:
    return await page.locator("main").inner_text()


async def test_overview_shows_problems_and_activity(open_page: OpenPage) -> None:
    page = await open_page("/")
    text = await main_text(page)
    assert "1 invocation failed in the last hour." in text
    assert "1 trigger run was rejected in the last hour." in text
    assert re.search(r"leads\s+alive", text)
    assert "no such order: broken" in text
    assert await page.locator(".chart rect").count() >= 3
    slowest = page.locator("section", has_text="Slowest filters and providers")
    await expect(slowest).to_contain_text("tests.monitor.shop.is_expensive")


async def test_events_are_filtered_by_outcome(open_page: OpenPage) -> None:
    page = await open_page("/events")
    for tab, codes in (
        ("Only recorded", {SCRIPT, "long", "order.paid"}),
        ("Started work", {"order.paid", "order.shipped"}),
        ("Met a condition, started nothing", {"order.paid", "order.shipped"}),
    ):
        await page.get_by_role("link", name=tab, exact=True).click()
        shown = set(await page.locator("tbody td:nth-child(2)").all_inner_texts())
        assert shown <= codes, tab
        assert shown, tab
    await page.get_by_label("Code").fill("order.paid")
    await page.get_by_label("Text in the payload").fill("a-9")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    assert "matched" in await main_text(page)
    assert "event_code=order.paid" in page.url


async def test_event_shows_payload_conditions_runs_and_invocations(open_page: OpenPage, shop: Shop) -> None:
    page = await open_page(f"/events/{shop.ids['paid']}")
    text = await main_text(page)
    assert '"order": "A-7"' in text
    assert 'event:order.paid{"country":"FI"}' in text
    assert "payload.country" not in text.split("Payload")[0].split("shop.audit")[0] or "fired" in text
    await page.locator("section", has_text="Started invocations").get_by_role("link", name="ship").click()
    assert "A-7 is on its way" in await main_text(page)


async def test_event_shows_which_filter_rejected_it(open_page: OpenPage, shop: Shop) -> None:
    page = await open_page(f"/events/{shop.ids['abroad']}")
    text = await main_text(page)
    assert 'payload.country is "SE", expected "FI"' in text
    assert "tests.monitor.shop.is_expensive" in text


async def test_invocation_leads_to_the_event_that_started_it(open_page: OpenPage, shop: Shop) -> None:
    notified = await shop.invocation("shop.notify_customer")
    page = await open_page(f"/invocations/{notified.invocation_id}")
    await page.locator("dd", has_text="because").get_by_role("link").click()
    await page.get_by_title("invocation:").first.click()
    await page.locator("dd", has_text="because").get_by_role("link").click()
    await page.get_by_role("link", name="order.paid").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("order.paid")
    assert '"order": "A-7"' in await main_text(page)


async def test_failure_shows_its_error_traceback_and_arguments(open_page: OpenPage) -> None:
    page = await open_page("/")
    await page.locator("section", has_text="Latest failures").get_by_role("link", name="ship").first.click()
    text = await main_text(page)
    assert "LookupError no such order: broken" in text
    assert "shop.py" in text
    assert '"order": "broken"' in text


async def test_rejected_run_shows_its_error(open_page: OpenPage) -> None:
    page = await open_page("/trigger-runs?rejected=yes")
    await page.locator("tbody").get_by_role("link", name="ship").click()
    assert "KeyError: 'order'" in await main_text(page)
    assert "Building the arguments failed." in await main_text(page)


async def test_run_shows_what_met_each_condition(open_page: OpenPage, shop: Shop) -> None:
    run = await shop.run("shop.ship", event_id=shop.ids["paid"])
    page = await open_page(f"/trigger-runs/{run.run_id}")
    await expect(page.locator("svg.rule .met")).to_have_count(1)
    await expect(page.locator("section", has_text="Conditions met").locator("tr")).to_have_count(1)
    assert "tests.monitor.shop.order_of, from the event" in await main_text(page)
    assert '"order": "A-7"' in await main_text(page)


async def test_invocation_shows_its_family(open_page: OpenPage, shop: Shop) -> None:
    ship = await shop.invocation("shop.ship", status="success")
    page = await open_page(f"/invocations/{ship.invocation_id}")
    text = await main_text(page)
    assert [word for word in ("registered", "pending", "running", "success") if word not in text] == []
    assert "order.shipped" in text
    await page.locator("svg.family a", has_text="notify_customer").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("shop.notify_customer")


async def test_partly_met_and_shows_what_it_waits_for(open_page: OpenPage) -> None:
    page = await open_page("/triggers")
    text = await main_text(page)
    assert "2 of 3, waiting for event day.ended" in text
    assert "shop.wait" in text.split("Tasks without triggers")[1]
    await page.get_by_role("link", name=re.compile("order.shipped and notify_customer is success")).click()
    await expect(page.locator("svg.rule .met")).to_have_count(2)
    await expect(page.locator("svg.rule .unmet")).to_have_count(1)


async def test_search_box_accepts_any_id(open_page: OpenPage, shop: Shop) -> None:
    run = await shop.run("shop.notify_customer")
    page = await open_page("/events")
    for token, where in (
        (f"event:{shop.ids['paid']}", "/events/"),
        (run.run_id, "/trigger-runs/"),
        (f"invocation:{run.invocation_id}", "/invocations/"),
        (f"trigger:{run.trigger_id}", "/triggers/"),
        (f"runner:{(await shop.history.runners())[0].runner_id}", "/#runner-"),
    ):
        await page.keyboard.press("/")
        await page.keyboard.type(token)
        await page.keyboard.press("Enter")
        await page.wait_for_url(re.compile(re.escape(where)))
    await page.goto(page.url.partition("/#")[0] + "/search?q=event:unknown")
    assert "Not found" in await main_text(page)


async def test_live_pages_update_unless_paused(open_page: OpenPage, shop: Shop) -> None:
    page = await open_page("/events?event_code=ping")
    assert "No event matches the filters" in await main_text(page)
    await shop.app.emit_event("ping", {"n": 1})
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("button", name="Live").click()
    await shop.app.emit_event("ping", {"n": 2})
    await expect(page.get_by_role("button", name="Paused, updates available")).to_be_visible()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("button", name="Paused").click()
    await expect(page.locator("tbody tr")).to_have_count(2)


async def test_page_shows_a_lost_connection_and_reconnects(open_page: OpenPage, shop: Shop) -> None:
    page = await open_page("/search?q=nothing", allow_errors=True)
    root = page.url.partition("/search")[0]
    await page.route("**/live*", lambda route: route.abort())
    await page.goto(f"{root}/events?event_code=pong")
    await expect(page.get_by_role("button", name="Not connected")).to_be_visible()
    await page.unroute("**/live*")
    await shop.app.emit_event("pong")
    await expect(page.get_by_role("button", name="Live")).to_be_visible()
    await expect(page.locator("tbody tr")).to_have_count(1)


async def test_pages_of_a_list_do_not_shift_while_events_arrive(open_page: OpenPage, shop: Shop) -> None:
    await shop.app.emit_events([("page", {"n": n}) for n in range(6)])
    page = await open_page("/events?event_code=page&limit=2", script=False)
    seen = await page.locator("tbody code").all_inner_texts()
    while await page.get_by_role("link", name="Older").count():
        await shop.app.emit_event("page", {"n": -1})
        await page.get_by_role("link", name="Older").click()
        seen += await page.locator("tbody code").all_inner_texts()
    assert seen == [f"n: {n}" for n in range(5, -1, -1)]


async def test_lists_and_details_work_without_javascript(open_page: OpenPage, shop: Shop) -> None:
    page = await open_page("/events", script=False)
    await page.get_by_label("Code").fill("order.paid")
    await page.get_by_role("button", name="Filter").click()
    await page.locator("tbody").get_by_role("link", name="order.paid").last.click()
    assert '"order": "A-7"' in await main_text(page)
    again = await open_page(f"/invocations/{(await shop.invocation('shop.alert')).invocation_id}", script=False)
    await again.get_by_role("button", name="Run again").click()
    await expect(again.locator("dt", has_text="Repeats")).to_be_visible()
    await shop.settle()


async def test_running_invocation_can_be_cancelled(open_page: OpenPage, shop: Shop) -> None:
    handle = await task_of(shop.app, "shop.wait").options()(seconds=600)
    page = await open_page(f"/invocations/{handle.invocation_id}")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("h1 + .status")).to_have_text("cancelled")
    await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


async def test_user_content_is_escaped(open_page: OpenPage, shop: Shop) -> None:
    page = await open_page("/events")
    await page.get_by_role("link", name=SCRIPT).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(SCRIPT)
    assert SCRIPT in await page.locator("pre").first.inner_text()


async def test_secrets_are_masked_everywhere(open_page: OpenPage, shop: Shop) -> None:
    event_id = shop.ids["script"]
    page = await open_page("/", script=False)
    root = page.url.rstrip("/")
    for path in ("/events", f"/events/{event_id}", f"/events/{event_id}/payload", f"/api/events/{event_id}"):
        await page.goto(root + path)
        text = await page.locator("body").inner_text()
        assert SECRET not in text, path
        assert "••••••" in text, path


async def test_large_payload_is_shortened_with_a_link_to_all_of_it(open_page: OpenPage, shop: Shop) -> None:
    page = await open_page(f"/events/{shop.ids['long']}")
    assert len(await main_text(page)) < 6_000
    await page.get_by_role("link", name="Show all").click()
    assert LONG in await page.locator("body").inner_text()


async def test_invalid_parameters_are_errors_with_the_valid_values(open_page: OpenPage) -> None:
    page = await open_page("/")
    root = page.url.rstrip("/")
    for query, words in (
        ("event_cod=a", ["event_cod", "did you mean 'event_code'"]),
        ("since=yesterday", ["since", "yesterday", "2h"]),
        ("matched=perhaps", ["matched", "perhaps", "yes, no"]),
        ("limit=0", ["limit", "from 1 to 500"]),
        ("cursor=zzz", ["cursor"]),
    ):
        await page.goto(f"{root}/events?{query}")
        text = await main_text(page)
        assert all(word in text for word in words), text
    await page.get_by_role("link", name="This page without parameters").click()
    await expect(page.get_by_role("heading", name="Events")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_axe_finds_no_serious_problem(open_page: OpenPage, shop: Shop, *, dark: bool) -> None:
    page = await open_page("/", dark=dark)
    root = page.url.rstrip("/")
    for path in (await paths(shop))[:: 3 if dark else 1]:
        await page.goto(root + path)
        found: Any = await Axe().run(page)
        serious = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
        assert not serious, (path, [(one["id"], one["nodes"][0]["html"]) for one in serious])


@pytest.mark.parametrize("width", [360, 1440])
async def test_pages_fit_the_window(open_page: OpenPage, shop: Shop, *, width: int) -> None:
    page = await open_page("/", width=width)
    root = page.url.rstrip("/")
    for path in await paths(shop):
        await page.goto(root + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
