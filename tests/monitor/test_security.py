"""Access control, protection of forms, and security headers."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.monitor.client import Client
from tests.support.apps import on_memory, on_sqlite
from tests.support.tasks import task_of
from tests.support.waiting import wait_until
from trigger_engine import ConfigError, TriggerBuilder, TriggerEngine
from trigger_engine._monitor.application import asgi_app
from trigger_engine._monitor.security import LOCAL_HOSTS, FailedLogins

TOKEN = "a-token-of-some-length"


@pytest.fixture
async def app(folder: Path) -> AsyncIterator[TriggerEngine]:
    app = on_sqlite(folder / "test.db")

    @app.task(task_id="job")
    async def job(n: int) -> None: ...

    async with app:
        yield app


async def enqueue(app: TriggerEngine) -> str:
    return (await task_of(app, "job")(n=1)).invocation_id


async def statuses(app: TriggerEngine) -> list[str]:
    async with app.history() as history:
        return [one.status.value for one in await history.invocations()]


async def test_every_response_forbids_inline_scripts_and_frames(app: TriggerEngine) -> None:
    async with asgi_app(app) as web:
        client = Client(web)
        for path in ("/", "/nothing", "/events?bad=1", "/api/events", "/static/monitor.js", "/healthz"):
            headers = (await client.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
        page = (await client.get("/")).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\bstyle=|javascript:", page)


async def test_everyone_has_access_without_a_token(app: TriggerEngine) -> None:
    async with asgi_app(app) as web:
        assert (await Client(web).get("/")).status == 200
        assert (await Client(web).get("/login")).headers["location"] == "/"


async def test_access_needs_the_token(app: TriggerEngine) -> None:
    async with asgi_app(app, token=TOKEN) as web:
        client = Client(web)
        asked = await client.get("/events")
        assert (asked.status, asked.headers["location"]) == (303, "/login")
        for path in ("/api/events", "/live", "/metrics"):
            assert (await client.get(path)).status == 401
        assert (await client.post("/invocations/x/cancel")).status == 401
        assert (await client.get("/static/monitor.css")).status == 200
        await client.get("/login")
        assert "Wrong token" in (await client.post("/login", {"token": "wrong"})).text
        done = await client.post("/login", {"token": TOKEN})
        assert (done.status, done.headers["location"]) == (303, "/")
        assert "HttpOnly; SameSite=Strict" in done.headers["set-cookie"]
        assert TOKEN not in str(client.cookies)
        assert (await client.get("/events")).status == 200
        bearer = await Client(web).get("/api/events", authorization=f"Bearer {TOKEN}")
        assert bearer.status == 200


async def test_session_ends_when_the_token_changes(app: TriggerEngine) -> None:
    client = Client(asgi_app(app, token=TOKEN))
    await client.get("/login")
    await client.post("/login", {"token": TOKEN})
    async with asgi_app(app, token=TOKEN + "-renewed") as web:
        client._web = web
        assert (await client.get("/events")).status == 303


async def test_wrong_tokens_are_limited(app: TriggerEngine) -> None:
    async with asgi_app(app, token=TOKEN) as web:
        client = Client(web)
        for _ in range(5):
            assert (await client.get("/api/events", authorization="Bearer guess")).status == 401
        right = await client.get("/api/events", authorization=f"Bearer {TOKEN}")
        assert (right.status, right.headers["retry-after"]) == (429, "60")
        await client.get("/login")
        assert (await client.post("/login", {"token": TOKEN})).status == 429


def test_client_may_try_again_after_a_minute() -> None:
    now = 0.0
    failed_logins = FailedLogins(clock=lambda: now)
    for _ in range(5):
        failed_logins.fail("a")
    assert failed_logins.is_blocked("a")
    assert not failed_logins.is_blocked("b")
    for number in range(45):
        failed_logins.fail(f"other {number}")
    assert failed_logins.is_blocked("b"), "all clients together are limited, too"
    now = 61.0
    assert not failed_logins.is_blocked("a")


def test_short_token_is_rejected() -> None:
    with pytest.raises(ConfigError, match="8 characters"):
        asgi_app(on_memory(), token="short")


async def test_forms_rerun_and_cancel(app: TriggerEngine) -> None:
    first = await enqueue(app)
    async with asgi_app(app) as web:
        client = Client(web)
        await client.get("/")
        again = await client.post(f"/invocations/{first}/rerun", origin="http://monitor.test")
        assert again.status == 303
        assert (await client.get(again.headers["location"])).status == 200
        done = await client.post(f"/invocations/{first}/cancel")
        assert done.headers["location"] == f"/invocations/{first}"
    assert await statuses(app) == ["registered", "cancelled"]


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"csrf": ""}, {}),
        ({"csrf": "guessed"}, {}),
        ({}, {"origin": "https://elsewhere.test"}),
        ({}, {"origin": "null"}),
        ({}, {"sec_fetch_site": "cross-site"}),
        ({}, {"sec_fetch_site": "same-site"}),
    ],
)
async def test_form_of_another_site_is_rejected(
    app: TriggerEngine, fields: dict[str, str], headers: dict[str, str]
) -> None:
    first = await enqueue(app)
    async with asgi_app(app) as web:
        client = Client(web)
        await client.get("/")
        rejected = await client.post(f"/invocations/{first}/cancel", fields, **headers)
        assert rejected.status == 403
        assert (await Client(web).post(f"/invocations/{first}/cancel")).status == 403
        assert (await client.get(f"/invocations/{first}/cancel")).status == 405
    assert await statuses(app) == ["registered"]


async def test_huge_form_is_rejected(app: TriggerEngine) -> None:
    async with asgi_app(app) as web:
        client = Client(web)
        await client.get("/")
        assert (await client.post("/invocations/x/cancel", {"more": "x" * 500_000})).status == 413


async def _have_ended(client: Client, count: int) -> bool:
    return len((await client.get("/api/invocations?status=success")).json["invocations"]) == count


async def test_form_applies_retention(folder: Path) -> None:
    app = on_sqlite(folder / "test.db", event_retention_days=1e-9, event_auto_purge_enabled=False)

    @app.task(task_id="job", triggers=TriggerBuilder().on_event("go"))
    async def job() -> None: ...

    async with app, asgi_app(app) as web:
        client = Client(web)
        page = (await client.get("/")).text
        assert 'action="/purge"' in page
        async with app.runner():
            await app.emit_events([("go", {})] * 5)
            await wait_until(lambda: _have_ended(client, 5))
        done = await client.post("/purge")
        assert done.status == 303
        removed = int(done.headers["location"].removeprefix("/?removed="))
        assert removed > 5
        assert f"Retention has removed {removed:,} entries." in (await client.get(done.headers["location"])).text
        assert not (await client.get("/api/events")).json["events"]
        assert (await Client(web).post("/purge")).status == 403


async def test_read_only_monitor_changes_nothing(app: TriggerEngine) -> None:
    first = await enqueue(app)
    async with asgi_app(app, read_only=True) as web:
        client = Client(web)
        page = await client.get(f"/invocations/{first}")
        assert "<form method" not in page.text
        assert "/purge" not in (await client.get("/")).text
        assert (await client.post("/purge")).status == 403
        assert (await client.post(f"/invocations/{first}/cancel")).status == 403
    assert await statuses(app) == ["registered"]


async def test_other_host_names_are_rejected(app: TriggerEngine) -> None:
    async with asgi_app(app, hosts=LOCAL_HOSTS) as web:
        for host in ("127.0.0.1:8765", "localhost", "[::1]:8765"):
            assert (await Client(web).get("/", host=host)).status == 200
        for host in ("attacker.test", "127.0.0.1.attacker.test:8765", ""):
            assert (await Client(web).get("/", host=host)).status == 400


async def test_monitor_can_be_mounted_below_a_path(app: TriggerEngine) -> None:
    first = await enqueue(app)
    async with asgi_app(app, token=TOKEN) as monitor:
        client = Client(Starlette(routes=[Mount("/ops/monitor", monitor)]))
        assert (await client.get("/ops/monitor/events")).headers["location"] == "/ops/monitor/login"
        await client.get("/ops/monitor/login")
        done = await client.post("/ops/monitor/login", {"token": TOKEN})
        assert "Path=/ops/monitor;" in done.headers["set-cookie"]
        page = (await client.get("/ops/monitor/")).text
        links = re.findall(r'(?:href|src|action|hx-get)="([^#"]+)"', page)
        assert links
        assert all(link.startswith("/ops/monitor") for link in links), links
        assert (await client.get(f"/ops/monitor/invocations/{first}")).status == 200
        again = await client.post(f"/ops/monitor/invocations/{first}/rerun")
        assert again.headers["location"].startswith("/ops/monitor/invocations/")
        assert (await client.get("/ops/monitor/api/invocations")).json["invocations"]
