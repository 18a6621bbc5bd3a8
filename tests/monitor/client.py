"""Requests to an ASGI application, without a server."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class ClientResponse:
    """A response. Header names are in lower case; of repeated headers only the last is kept."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A client at 10.0.0.1 that keeps cookies."""

    def __init__(self, web: ASGIApp, *, root: str = "") -> None:
        self._web = web
        self._root = root
        self.cookies: dict[str, str] = {}
        self.last: ClientResponse | None = None

    async def get(self, target: str, **headers: str) -> ClientResponse:
        return await self._request("GET", target, b"", headers)

    async def post(self, target: str, fields: dict[str, str] | None = None, **headers: str) -> ClientResponse:
        """Sends a form, with the secret from the cookie unless `csrf` is given."""
        secret = next((value for name, value in self.cookies.items() if name.startswith("te_csrf")), "")
        form = {"csrf": secret, **(fields or {})}
        return await self._request("POST", target, urlencode(form).encode(), headers)

    async def _request(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> ClientResponse:
        url = urlsplit(target)
        given = {"host": "monitor.test", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            given["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": self._root + url.path,
            "raw_path": (self._root + url.path).encode(),
            "root_path": self._root,
            "query_string": url.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
            "client": ("10.0.0.1", 1234),
            "server": ("monitor.test", 80),
        }
        messages: list[Message] = []
        unread = [body]

        async def receive() -> Message:
            if not unread:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": unread.pop(), "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        try:
            await self._web(scope, receive, send)
        finally:
            self.last = self._response(messages) if messages else None
        assert self.last is not None
        return self.last

    def _response(self, messages: list[Message]) -> ClientResponse:
        found: dict[str, str] = {}
        for name, value in messages[0]["headers"]:
            found[name.decode().lower()] = value.decode()
            if name.lower() == b"set-cookie":
                cookie, _, kept = value.decode().partition(";")[0].partition("=")
                self.cookies[cookie] = kept
        answered = b"".join(message.get("body", b"") for message in messages[1:])
        return ClientResponse(messages[0]["status"], found, answered)
