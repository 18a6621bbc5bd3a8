"""Renders views as HTML pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trigger_engine._monitor.formatting import age_text
from trigger_engine._monitor.site import Call
from trigger_engine._monitor.view import View

SECTIONS = (
    ("/", "Overview"),
    ("/events", "Events"),
    ("/trigger-runs", "Runs"),
    ("/invocations", "Invocations"),
    ("/triggers", "Triggers"),
    ("/timeline", "Timeline"),
    ("/logs", "Logs"),
)
"""The main pages, in the order of the navigation."""


def render(call: Call, view: View) -> str:
    """Renders a view."""
    frame = _frame(call) | {
        "title": view.title,
        "position": call.position,
        "is_live": view.live and "cursor" not in call.request.query_params,
        "ages": view.ages,
        "json_url": call.url(f"/api{'/overview' if call.path == '/' else call.path}", **call.request.query_params),
    }
    return call.site.templates.get_template(view.template).render(**view.facts, **view.extra, **frame)


def render_error(call: Call, status: int, title: str, text: str, details: Mapping[str, str]) -> str:
    """Renders an error page."""
    frame = _frame(call) | {"title": title, "position": 0, "is_live": False, "ages": False, "json_url": None}
    return call.site.templates.get_template("error.html").render(status=status, text=text, details=details, **frame)


def _frame(call: Call) -> dict[str, Any]:
    return {
        "app_id": call.site.app.app_id,
        "sections": SECTIONS,
        "here": call.path,
        "url": call.url,
        "asset": call.site.assets.path,
        "with_query": call.with_query,
        "csrf": call.request.state.csrf,
        "read_only": call.site.options.read_only,
        "now": call.now,
        "age": lambda time: age_text(time, call.now),
        "query": call.request.query_params,
    }
