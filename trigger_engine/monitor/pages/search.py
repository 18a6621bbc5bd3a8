"""Finding whatever an id names."""

from __future__ import annotations

from trigger_engine.errors import RecordNotFound
from trigger_engine.history import NoticeRecord, VoidRecord
from trigger_engine.monitor.places import place_of
from trigger_engine.monitor.site import Call
from trigger_engine.monitor.view import View


async def search(call: Call) -> View:
    """Leads to what an id names, bare or as a token such as `event:<id>`."""
    given = call.parameters("q")
    token = given.text("q")
    if token is None:
        return View("search.html", "Find", {"q": "", "kind": None, "path": None, "noted": None})
    try:
        found = await (await call.site.history()).search(token)
    except RecordNotFound:
        return View("search.html", "Not found", {"q": token, "kind": None, "path": None, "noted": None})
    place = place_of(found)
    if place is not None:
        facts = {"q": token, "kind": place[0], "path": place[1], "noted": None}
        return View("search.html", "Found", facts, elsewhere=place[1])
    assert isinstance(found, (NoticeRecord, VoidRecord))
    noted = {"kind": found.kind, "timestamp": found.timestamp, "entry_id": found.entry_id}
    noted["text"] = found.text if isinstance(found, NoticeRecord) else f"counts for nothing: {found.reason}"
    return View("search.html", "Found", {"q": token, "kind": "entry", "path": None, "noted": noted})
