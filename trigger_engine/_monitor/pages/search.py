"""Finds a record by its id."""

from __future__ import annotations

from trigger_engine._monitor.record_paths import path_of
from trigger_engine._monitor.site import Call
from trigger_engine._monitor.view import View
from trigger_engine._readmodel.records import NoticeRecord, VoidRecord
from trigger_engine.errors import RecordNotFound


async def search(call: Call) -> View:
    """Redirects to the record with an id, given alone or as a token such as `event:<id>`."""
    given = call.parameters("q")
    token = given.text("q")
    if token is None:
        return View("search.html", "Find", {"q": "", "kind": None, "path": None, "entry": None})
    try:
        found = await (await call.site.history()).search(token)
    except RecordNotFound:
        return View("search.html", "Not found", {"q": token, "kind": None, "path": None, "entry": None})
    page = path_of(found)
    if page is not None:
        facts = {"q": token, "kind": page[0], "path": page[1], "entry": None}
        return View("search.html", "Found", facts, redirect=page[1])
    assert isinstance(found, (NoticeRecord, VoidRecord))
    entry = {"kind": found.kind, "timestamp": found.timestamp, "entry_id": found.entry_id}
    entry["text"] = found.text if isinstance(found, NoticeRecord) else f"void: {found.reason}"
    return View("search.html", "Found", {"q": token, "kind": "entry", "path": None, "entry": entry})
