"""Access control, protection of forms, and security headers."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trigger_engine._model.ids import derive
from trigger_engine._monitor.site import Options

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_OPEN_PATHS = ("/login", "/healthz")
_MAX_FORM_BYTES = 400_000
_WINDOW = 60.0
_MAX_FAILURES, _MAX_FAILURES_TOTAL = 5, 50


class Refused(Exception):
    """A rejected request. `status`: the HTTP status. `reason`: a text for people."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class FailedLogins:
    """Wrong tokens of the last minute, per client and in total."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: deque[tuple[float, str]] = deque()

    def is_blocked(self, client: str) -> bool:
        """Returns whether a client must wait before it may try again."""
        while self._failed and self._failed[0][0] < self._clock() - _WINDOW:
            self._failed.popleft()
        own = sum(1 for _, one in self._failed if one == client)
        return own >= _MAX_FAILURES or len(self._failed) >= _MAX_FAILURES_TOTAL

    def fail(self, client: str) -> None:
        """Records a wrong token."""
        self._failed.append((self._clock(), client))


class Guard:
    """Middleware that checks the host and the token of requests and sets headers of responses."""

    def __init__(self, inner: ASGIApp, options: Options, app_id: str) -> None:
        self._inner = inner
        self._options = options
        self._suffix = derive("monitor", app_id)[:8]
        self.failed_logins = FailedLogins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        request = Request(scope)
        scope.setdefault("state", {})
        scope["state"]["csrf"] = csrf = request.cookies.get(self._csrf_cookie) or secrets.token_urlsafe(24)
        scope["state"]["guard"] = self

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                is_page = headers.get("content-type", "").startswith("text/html")
                if is_page and self._csrf_cookie not in request.cookies:
                    headers.append("Set-Cookie", self._cookie(request, self._csrf_cookie, csrf))
            await send(message)

        answer = self._refusal(request)
        await (self._inner if answer is None else answer)(scope, receive, send_guarded)

    def log_in(self, request: Request, token: str) -> str | None:
        """Returns a session cookie for the right token, or None. Raises Refused after too many wrong tokens."""
        client = request.client.host if request.client else ""
        if self.failed_logins.is_blocked(client):
            raise Refused(429, "too many wrong tokens: wait a minute, then try again")
        if not self._is_token(token):
            self.failed_logins.fail(client)
            return None
        return self._cookie(request, self._session_cookie, self._session())

    def _refusal(self, request: Request) -> Response | None:
        hosts = self._options.hosts
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if hosts and host not in hosts and f"[{host}]" not in hosts:
            return PlainTextResponse(f"This monitor does not accept the host name {host!r}.", 400)
        path = _path(request)
        if self._options.token is None or path in _OPEN_PATHS or path.startswith("/static/"):
            return None
        if hmac.compare_digest(request.cookies.get(self._session_cookie, "").encode(), self._session().encode()):
            return None
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._by_bearer(request, bearer.strip())
        if path.startswith("/api/") or path in ("/metrics", "/live") or request.method != "GET":
            return _unauthorized()
        root = request.scope.get("root_path", "")
        return RedirectResponse(f"{root}/login", 303)

    def _by_bearer(self, request: Request, token: str) -> Response | None:
        try:
            return _unauthorized() if self.log_in(request, token) is None else None
        except Refused as refused:
            return JSONResponse({"error": refused.reason}, refused.status, headers={"Retry-After": "60"})

    def _is_token(self, token: str) -> bool:
        wanted = self._options.token
        return wanted is not None and hmac.compare_digest(token.encode(), wanted.encode())

    def _session(self) -> str:
        """The value of the session cookie. It is derived from the token, so every worker process can check it."""
        return hmac.new((self._options.token or "").encode(), b"trigger-engine monitor session", sha256).hexdigest()

    @property
    def _csrf_cookie(self) -> str:
        return f"te_csrf_{self._suffix}"

    @property
    def _session_cookie(self) -> str:
        return f"te_session_{self._suffix}"

    @staticmethod
    def _cookie(request: Request, name: str, value: str) -> str:
        path = request.scope.get("root_path", "") or "/"
        secure = "; Secure" if request.url.scheme == "https" else ""
        return f"{name}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}"


async def read_form(request: Request) -> dict[str, str]:
    """Reads the fields of a form sent by one of the monitor's pages. Raises Refused for other forms.

    The form must repeat the secret of a cookie that other sites can neither read nor set.
    """
    origin = request.headers.get("origin")
    host = request.headers.get("host")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refused(403, "this form was sent by another site")
    if origin is not None and urlsplit(origin).netloc != host:
        raise Refused(403, f"this form was sent by {origin}, not by this monitor")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            raise Refused(413, "this form is too large")
    fields = dict(parse_qsl(bytes(body).decode("utf-8", "replace"), keep_blank_values=True))
    given = fields.pop("csrf", "")
    cookie = request.cookies.get(request.state.guard._csrf_cookie, "")
    if not cookie or not hmac.compare_digest(given.encode(), cookie.encode()):
        raise Refused(403, "this form is outdated: go back, reload the page, and send it again")
    return fields


def _path(request: Request) -> str:
    return request.url.path.removeprefix(request.scope.get("root_path", "")) or "/"


def _unauthorized() -> Response:
    return JSONResponse(
        {"error": "a token is required: Authorization: Bearer …"}, 401, headers={"WWW-Authenticate": "Bearer"}
    )
