"""Responses without a browser: JSON of every page, metrics, streams, and errors."""

import asyncio
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.monitor.client import Client
from tests.support.apps import MakeApp, on_memory
from tests.support.waiting import wait_until
from trigger_engine import TriggerBuilder, TriggerEngine
from trigger_engine._monitor.application import Monitor, asgi_app
from trigger_engine._monitor.pages import PAGES
from trigger_engine.testing import inject_faults


def declare(app: TriggerEngine) -> TriggerEngine:
    @app.task(task_id="a/b job", triggers=TriggerBuilder().on_event("go", {"x": 1}).with_args_static({"n": 1}))
    async def job(n: int) -> int:
        return n

    return app


@pytest.fixture
async def app(folder: Path, make_app: MakeApp) -> AsyncIterator[TriggerEngine]:
    app = declare(make_app())
    async with app, app.runner():
        yield app


async def settled(app: TriggerEngine, web: Monitor) -> Client:
    """Emits an event, waits until its invocation has ended, and returns a client of the monitor."""
    await app.emit_event("go", {"x": 1})
    client = Client(web)

    async def has_ended() -> bool:
        return bool((await client.get("/api/invocations?status=success")).json["invocations"])

    await wait_until(has_ended)
    return client


async def test_every_page_is_available_as_json(app: TriggerEngine) -> None:
    async with asgi_app(app) as web:
        client = await settled(app, web)
        event = (await client.get("/api/events")).json["events"][0]
        run = (await client.get("/api/trigger-runs")).json["trigger_runs"][0]
        ids: dict[str, Any] = {
            "{event_id}": event["event_id"],
            "{run_id}": run["run_id"],
            "{invocation_id}": run["invocation_id"],
            "{trigger_id:path}": run["trigger_id"],
        }
        for pattern in PAGES:
            path = pattern
            for name, value in ids.items():
                path = path.replace(name, value)
            for answer in (await client.get(f"/api{'/overview' if path == '/' else path}"), await client.get(path)):
                assert answer.status == 200, path
        facts = (await client.get(f"/api/events/{event['event_id']}")).json
        assert facts["event"]["payload"] == {"x": 1}
        assert [one["outcome"] for one in facts["explanations"]] == ["fired"]
        assert (await client.get(f"/api/invocations/{run['invocation_id']}")).json["invocation"]["result"] == 1
        found = (await client.get(f"/api/search?q=event:{event['event_id']}")).json
        assert found["path"] == f"/events/{event['event_id']}"


async def test_ids_can_contain_any_character(app: TriggerEngine) -> None:
    async with asgi_app(app) as web:
        client = await settled(app, web)
        trigger_id = (await client.get("/api/trigger-runs")).json["trigger_runs"][0]["trigger_id"]
        assert trigger_id.startswith("a/b job:")
        listed = (await client.get("/triggers")).text
        link = listed.split('href="/triggers/')[1].split('"')[0]
        assert "%2F" in link
        assert (await client.get(f"/triggers/{trigger_id}")).status == 200


async def test_errors_are_pages_and_json(app: TriggerEngine) -> None:
    async with asgi_app(app) as web:
        client = Client(web)
        for path, status in (
            ("/events/unknown", 404),
            ("/invocations/unknown", 404),
            ("/trigger-runs/unknown", 404),
            ("/triggers/unknown", 404),
            ("/nothing/at/all", 404),
            ("/events?limit=many", 400),
            ("/invocations?status=lost", 400),
            ("/trigger-runs?since=1&since=2", 400),
        ):
            page = await client.get(path)
            assert page.status == status, path
            assert page.headers["content-type"].startswith("text/html")
            answer = await client.get(f"/api{path}")
            assert answer.status == status, path
            assert answer.json["error"]
        bad = (await client.get("/api/invocations?status=lost")).json
        assert (bad["parameter"], bad["value"]) == ("status", "lost")
        assert "registered" in bad["allowed"]


async def test_unreachable_backend_is_an_error_until_it_is_back() -> None:
    app = declare(on_memory())
    faults = inject_faults(app)
    async with app, asgi_app(app) as web:
        client = Client(web)
        assert (await client.get("/")).status == 200
        faults.fail("tail")
        assert (await client.get("/")).status == 503
        assert (await client.get("/healthz")).status == 503
        assert (await client.get("/api/events")).json["error"]
        faults.clear()
        assert (await client.get("/")).status == 200
        assert (await client.get("/healthz")).json == {"status": "ok"}


async def test_monitor_starts_while_the_backend_is_down() -> None:
    app = declare(on_memory())
    faults = inject_faults(app)
    faults.fail("open")
    web = asgi_app(app)
    messages = [{"type": "lifespan.startup"}]
    sent: list[str] = []
    statuses: list[int] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        client = Client(web)
        statuses.append((await client.get("/")).status)
        faults.clear()
        statuses.append((await client.get("/")).status)
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await web({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert statuses == [503, 200]


async def test_internal_error_is_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    app = declare(on_memory())

    def fail(*_: object) -> None:
        raise ZeroDivisionError("raised by the test")

    monkeypatch.setattr(import_module("trigger_engine._monitor.pages.overview"), "health", fail)
    async with app, asgi_app(app) as web:
        for path in ("/", "/api/overview"):
            client = Client(web)
            with pytest.raises(ZeroDivisionError):
                await client.get(path)
            assert client.last is not None
            assert client.last.status == 500
            assert "ZeroDivisionError while rendering this page" in client.last.text
            assert "content-security-policy" in client.last.headers


async def test_memory_app_can_be_monitored_in_its_own_process() -> None:
    app = declare(on_memory())
    web = asgi_app(app)
    async with app, app.runner():
        client = await settled(app, web)
        assert (await client.get("/api/overview")).json["overview"]["events"] == 1
        await web.__aexit__(None, None, None)


async def test_metrics_are_in_the_prometheus_format(app: TriggerEngine) -> None:
    async with asgi_app(app) as web:
        client = await settled(app, web)
        answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        entries = {one.labels["kind"]: one.value for one in families["trigger_engine_entries"].samples}
        assert (entries["event"], entries["fired"], entries["succeeded"]) == (1, 1, 1)
        values = {
            (one.name.removeprefix("trigger_engine_"), *one.labels.values()): one.value
            for family in families.values()
            for one in family.samples
        }
        assert values[("invocations", "success")] == 1
        assert values[("triggers", "active")] == 1
        assert values[("runners", "alive")] == 1
        assert values[("leader",)] == 1
        assert values[("waiting_invocations",)] == 0
        assert all(family.documentation for family in families.values())


async def test_versioned_assets_are_cached_forever(app: TriggerEngine) -> None:
    async with asgi_app(app) as web:
        client = Client(web)
        page = (await client.get("/")).text
        link = page.split('<script src="')[1].split('"')[0]
        assert "immutable" in (await client.get(link)).headers["cache-control"]
        assert (await client.get(link.partition("?")[0])).headers["cache-control"] == "no-cache"
        assert (await client.get("/static/absent.js")).status == 404
        assert "Permission to use" in (await client.get("/static/htmx-LICENSE.txt")).text


async def test_live_stream_is_an_event_stream(app: TriggerEngine) -> None:
    async with asgi_app(app) as web:
        streaming = asyncio.create_task(Client(web).get("/live?after=0"))
        await app.emit_event("go")
        await asyncio.sleep(0)
        web.end_streams()
        answer = await asyncio.wait_for(streaming, 5)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "retry:" in answer.text
