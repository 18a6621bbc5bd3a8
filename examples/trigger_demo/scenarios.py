"""The six scenarios. Each acts, waits until everything that follows has ended, and checks the history.

A scenario returns a short summary, or raises ScenarioFailed.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from demo_run import DemoRun, ScenarioFailed, everything
from narration import ended, short
from tasks import (
    INBOX,
    WORTH_READING,
    alert_editorial,
    enrich_article,
    generate_digest,
    ingest_feed,
    notify_subscribers,
)

from trigger_engine import EventRecord, InvocationRecord, TriggerRunRecord

LETTER = """---
title: Letter from the inbox, {edition}
summary: Nobody announced this document. A schedule found it.
tags: [inbox, {edition}]
---

This letter was dropped into the inbox folder while the pipeline was running. Nothing was emitted for it and nothing was
called: every two seconds a cron trigger starts the task that scans the inbox for documents that it has not seen before.
A new document then goes the same way as all others, through enrichment into the next digest.
"""
BROKEN = {
    "front-matter.md": b"---\ntitle: [never closed\n---\n\nThe list in the front matter has no end.\n",
    "not-utf-8.md": "# Größenwahn\n\nThis file was saved as Latin-1.\n".encode("latin-1"),
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: its title, what it shows, and the function that runs it."""

    title: str
    shows: str
    run: Callable[[DemoRun], Awaitable[str]]


async def scheduled_refresh(demo: DemoRun) -> str:
    """The schedule finds a document in the inbox."""
    since = datetime.now(UTC)
    letter = INBOX / f"{demo.edition}.md"
    INBOX.mkdir(parents=True, exist_ok=True)
    letter.write_text(LETTER.format(edition=demo.edition), encoding="utf-8")
    demo.narrator.say("write", f"{letter}; nothing is emitted")

    async def look() -> EventRecord | None:
        found = await demo.history.events(event_code="article.found", since=since)
        return next((event for event in found if event.payload["path"] == str(letter.resolve())), None)

    event = await demo.until(look, f"article.found for {letter.name}")
    ingesting = await demo.end_of(event.emitter_invocation_id)
    run = await demo.history.trigger_run(str(ingesting.trigger_run_id))
    if run.participants[0].kind != "cron":
        raise ScenarioFailed(f"{letter.name} was found by {ingesting.invocation_id}, which no schedule started")
    demo.narrator.fired(run)
    demo.narrator.say("emit", f'article.found {{"name": "{event.payload["name"]}", …}} by {short(ingesting.task_id)}')
    await _enriched(demo, [event])
    return f"found at {run.participants[0].scheduled_for:%H:%M:%S} UTC, enriched"


async def published_feed(demo: DemoRun) -> str:
    """A feed published twice with one key starts the same task as above once, with other arguments."""
    payload = {"folder": str(demo.feed), "edition": demo.edition, "format": "markdown"}
    ids = [await demo.app.emit_event("feed.published", payload, idempotency_key=demo.edition) for _ in range(2)]
    if ids[0] != ids[1]:
        raise ScenarioFailed(f"one idempotency key created two events: {ids[0]} and {ids[1]}")
    demo.narrator.say("emit", f"feed.published {json.dumps(payload)}, twice with one key: one event:{ids[0]}")
    run = await demo.run_of(ids[0], ingest_feed)
    demo.narrator.fired(run)
    count = await _ingested(demo, run)
    return f"1 event, 1 ingestion, {count} documents enriched"


async def front_page(demo: DemoRun) -> str:
    """Documents at the top of the feed are announced, those in subfolders are not."""
    wanted = [one for one in demo.enriched if one.status == "success" and one.arguments["placement"] == "front"]
    others = [one for one in demo.enriched if one.arguments["placement"] != "front"]
    runs = [await _reaction(demo, one, notify_subscribers.task_id) for one in wanted]
    demo.narrator.fired(runs[0], len(runs))
    for run in runs:
        notified = await demo.end_of(run.invocation_id)
        if notified.status != "success":
            raise ScenarioFailed(f"{ended(notified)} for {notified.arguments['name']}")
    for one in others:
        if await _reactions(demo, one, notify_subscribers.task_id):
            raise ScenarioFailed(f"{one.arguments['name']} is in a subfolder, but was announced")
    demo.narrator.say("note", f"the filter excluded {len(others)} documents in subfolders")
    return f"{len(runs)} announced, {len(others)} not"


async def broken_documents(demo: DemoRun) -> str:
    """Documents that cannot be enriched are reported to the editors."""
    folder = demo.output / demo.edition / "broken"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in BROKEN.items():
        (folder / name).write_bytes(content)
    payload = {"folder": str(folder), "edition": f"{demo.edition}/broken", "format": "markdown"}
    event_id = await demo.app.emit_event("feed.published", payload)
    demo.narrator.say("emit", f"feed.published {json.dumps(payload)}")
    await _ingested(demo, await demo.run_of(event_id, ingest_feed))
    failed = [one for one in demo.enriched if one.status == "failed"]
    if len(failed) < len(BROKEN):
        raise ScenarioFailed(f"{len(BROKEN)} documents are broken, {len(failed)} failed")
    runs = [await _reaction(demo, one, alert_editorial.task_id) for one in failed]
    demo.narrator.fired(runs[0], len(runs))
    for run in runs:
        alerted = await demo.end_of(run.invocation_id)
        demo.narrator.say("end", f"{ended(alerted)}: {alerted.arguments['problem']}")
        if alerted.status != "success":
            raise ScenarioFailed(f"{ended(alerted)} for {alerted.arguments['name']}")
    return f"{len(failed)} failures, {len(runs)} alerts"


async def unwanted_format(demo: DemoRun) -> str:
    """An event that meets no condition is stored, and starts nothing."""
    payload = {"folder": str(demo.feed), "edition": demo.edition, "format": "rss"}
    event_id = await demo.app.emit_event("feed.published", payload)
    demo.narrator.say("emit", f"feed.published {json.dumps(payload)}")

    async def look() -> EventRecord | None:
        event = await demo.history.event(event_id)
        return event if (await demo.history.overview()).evaluated_upto >= event.position else None

    event = await demo.until(look, "evaluation of the event")
    if event.triggered or event.matched or not event.valid_condition_ids:
        raise ScenarioFailed(f"event:{event_id} met {event.matched_condition_ids} of {event.valid_condition_ids}")
    (explanation,) = [one for one in (await demo.history.explain(event_id)).explanations if one.outcome == "filtered"]
    demo.narrator.say("note", f"{short(explanation.task_id)} did not start: {explanation.text}")
    return f"recorded only: {explanation.text}"


async def closed_edition(demo: DemoRun) -> str:
    """Closing the edition meets the last condition of the digest."""
    articles = {
        one.arguments["path"]
        for one in demo.enriched
        if one.status == "success" and one.result["words"] >= WORTH_READING
    }
    demo.narrator.say("note", f"{generate_digest.task_id} is waiting: {len(articles)} articles, no edition.closed yet")
    event_id = await demo.app.emit_event("edition.closed", {"edition": demo.edition})
    demo.narrator.say("emit", f'edition.closed {{"edition": "{demo.edition}"}}')
    run = await demo.run_of(event_id, generate_digest)
    demo.narrator.fired(run)
    digest = await demo.end_of(run.invocation_id)
    if digest.status != "success":
        raise ScenarioFailed(f"{ended(digest)}: {digest.exception_message}")
    missing = articles - {article["path"] for article in digest.arguments["articles"]}
    if missing:
        raise ScenarioFailed(f"the digest lacks {len(missing)} articles, such as {min(missing)}")
    demo.digest.extend(Path(path) for path in digest.result)
    demo.narrator.say("end", f"{ended(digest)}: {', '.join(path.name for path in demo.digest)}")
    return f"{len(digest.arguments['articles'])} articles in one digest"


SCENARIOS = (
    Scenario("Scheduled refresh", "a cron and an event trigger on one task", scheduled_refresh),
    Scenario("Published feed", "event with payload filter, idempotency key", published_feed),
    Scenario("Front page", "status, filtered by the call's arguments", front_page),
    Scenario("Broken documents", "exception, matched by its base class", broken_documents),
    Scenario("Unwanted format", "an event that meets no condition", unwanted_format),
    Scenario("Closed edition", "status AND result AND event", closed_edition),
)


async def _ingested(demo: DemoRun, run: TriggerRunRecord) -> int:
    """Waits for an ingestion and the enrichment of all its documents; returns how many there are."""
    ingesting = await demo.end_of(run.invocation_id)
    if ingesting.status != "success":
        raise ScenarioFailed(f"{ended(ingesting)}: {ingesting.exception_message}")
    events = await demo.emitted_by(ingesting.invocation_id)
    if len(events) != ingesting.result:
        raise ScenarioFailed(f"{ingesting.result} documents were found, but {len(events)} events emitted")
    demo.narrator.say("emit", f"article.found × {len(events)} by {short(ingesting.task_id)}, in one append")
    await _enriched(demo, events)
    return len(events)


async def _enriched(demo: DemoRun, events: list[EventRecord]) -> None:
    """Waits until the document of each event is enriched or has failed."""
    runs = [await demo.run_of(event.event_id, enrich_article) for event in events]
    invocations = [await demo.end_of(run.invocation_id) for run in runs]
    demo.enriched.extend(invocations)
    for run in runs[:1]:
        demo.narrator.fired(run, len(runs))
    for one in invocations[-3:]:
        summary = f'"{one.result["title"]}", {one.result["words"]:,} words' if one.status == "success" else ""
        demo.narrator.say("end", f"{one.arguments['name']}: {ended(one)} {summary}".rstrip())


async def _reaction(demo: DemoRun, source: InvocationRecord, task_id: str) -> TriggerRunRecord:
    async def look() -> TriggerRunRecord | None:
        return next(iter(await _reactions(demo, source, task_id)), None)

    return await demo.until(look, f"run of {task_id} after invocation:{source.invocation_id}")


async def _reactions(demo: DemoRun, source: InvocationRecord, task_id: str) -> list[TriggerRunRecord]:
    runs = await everything(
        lambda cursor: demo.history.trigger_runs(source_invocation_id=source.invocation_id, cursor=cursor)
    )
    return [run for run in runs if run.task_id == task_id]
