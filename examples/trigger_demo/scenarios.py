"""The six scenarios. Each does something, waits until all that must follow has ended, and says what the history tells.

A scenario returns its outcome in a few words, and raises DidNotHappen.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from narration import ended, short
from stage import DidNotHappen, Stage, everything
from tasks import (
    INBOX,
    WORTH_READING,
    alert_editorial,
    enrich_article,
    generate_digest,
    ingest_feed,
    notify_subscribers,
)

from trigger_engine.history import EventRecord, InvocationRecord, TriggerRunRecord

LETTER = """---
title: Letter from the inbox, {edition}
summary: Nobody announced this document. A schedule found it.
tags: [inbox, {edition}]
---

This letter was dropped into the inbox folder while the pipeline was running. Nothing was emitted for it and nothing was
called: every second second a cron trigger starts the task that looks into the inbox, and what it finds there for the
first time goes the same way as every other document, through enrichment into the next digest.
"""
BROKEN = {
    "front-matter.md": b"---\ntitle: [never closed\n---\n\nThe list in the front matter has no end.\n",
    "not-utf-8.md": "# Größenwahn\n\nThis file was saved as Latin-1.\n".encode("latin-1"),
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario: its title, what it shows, and how it goes."""

    title: str
    shows: str
    play: Callable[[Stage], Awaitable[str]]


async def scheduled_refresh(stage: Stage) -> str:
    """A document in the inbox is found by the schedule."""
    since = datetime.now(UTC)
    letter = INBOX / f"{stage.edition}.md"
    INBOX.mkdir(parents=True, exist_ok=True)
    letter.write_text(LETTER.format(edition=stage.edition), encoding="utf-8")
    stage.narrator.say("write", f"{letter}; nothing is emitted")

    async def look() -> EventRecord | None:
        found = await stage.history.events(event_code="article.found", since=since)
        return next((event for event in found if event.payload["path"] == str(letter.resolve())), None)

    event = await stage.until(look, f"an article.found for {letter.name}")
    ingesting = await stage.end_of(event.emitter_invocation_id)
    run = await stage.history.trigger_run(str(ingesting.trigger_run_id))
    if run.participants[0].kind != "cron":
        raise DidNotHappen(f"{letter.name} was found by {ingesting.invocation_id}, which no schedule started")
    stage.narrator.fired(run)
    stage.narrator.say("emit", f'article.found {{"name": "{event.payload["name"]}", …}} by {short(ingesting.task_id)}')
    await _enriched(stage, [event])
    return f"found at {run.participants[0].scheduled_for:%H:%M:%S} UTC, enriched"


async def published_feed(stage: Stage) -> str:
    """A feed is published twice under one key: the same task as above, with other arguments, once."""
    payload = {"folder": str(stage.feed), "edition": stage.edition, "format": "markdown"}
    ids = [await stage.app.emit_event("feed.published", payload, idempotency_key=stage.edition) for _ in range(2)]
    if ids[0] != ids[1]:
        raise DidNotHappen(f"one idempotency key gave two events: {ids[0]} and {ids[1]}")
    stage.narrator.say("emit", f"feed.published {json.dumps(payload)}, twice under one key: one event:{ids[0]}")
    run = await stage.run_of(ids[0], ingest_feed)
    stage.narrator.fired(run)
    count = await _ingested(stage, run)
    return f"1 event, 1 ingestion, {count} documents enriched"


async def front_page(stage: Stage) -> str:
    """Documents at the top of the feed are announced, those in subfolders are not."""
    wanted = [one for one in stage.enriched if one.status == "success" and one.arguments["placement"] == "front"]
    others = [one for one in stage.enriched if one.arguments["placement"] != "front"]
    runs = [await _reaction(stage, one, notify_subscribers.task_id) for one in wanted]
    stage.narrator.fired(runs[0], len(runs))
    for run in runs:
        notified = await stage.end_of(run.invocation_id)
        if notified.status != "success":
            raise DidNotHappen(f"{ended(notified)} for {notified.arguments['name']}")
    for one in others:
        if await _reactions(stage, one, notify_subscribers.task_id):
            raise DidNotHappen(f"{one.arguments['name']} lies inside, and was announced")
    stage.narrator.say("note", f"the filter kept {len(others)} documents from subfolders out")
    return f"{len(runs)} announced, {len(others)} not"


async def broken_documents(stage: Stage) -> str:
    """Documents that cannot be enriched reach the editors."""
    folder = stage.output / stage.edition / "broken"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in BROKEN.items():
        (folder / name).write_bytes(content)
    payload = {"folder": str(folder), "edition": f"{stage.edition}/broken", "format": "markdown"}
    event_id = await stage.app.emit_event("feed.published", payload)
    stage.narrator.say("emit", f"feed.published {json.dumps(payload)}")
    await _ingested(stage, await stage.run_of(event_id, ingest_feed))
    failed = [one for one in stage.enriched if one.status == "failed"]
    if len(failed) < len(BROKEN):
        raise DidNotHappen(f"{len(BROKEN)} documents are broken, {len(failed)} failed")
    runs = [await _reaction(stage, one, alert_editorial.task_id) for one in failed]
    stage.narrator.fired(runs[0], len(runs))
    for run in runs:
        alerted = await stage.end_of(run.invocation_id)
        stage.narrator.say("end", f"{ended(alerted)}: {alerted.arguments['problem']}")
        if alerted.status != "success":
            raise DidNotHappen(f"{ended(alerted)} for {alerted.arguments['name']}")
    return f"{len(failed)} failures, {len(runs)} alerts"


async def unwanted_format(stage: Stage) -> str:
    """An event that nothing wants is kept, and starts nothing."""
    payload = {"folder": str(stage.feed), "edition": stage.edition, "format": "rss"}
    event_id = await stage.app.emit_event("feed.published", payload)
    stage.narrator.say("emit", f"feed.published {json.dumps(payload)}")

    async def look() -> EventRecord | None:
        event = await stage.history.event(event_id)
        return event if (await stage.history.overview()).judged_upto >= event.position else None

    event = await stage.until(look, "the judgement on the event")
    if event.triggered or event.matched or not event.valid_condition_ids:
        raise DidNotHappen(f"event:{event_id} has met {event.matched_condition_ids} of {event.valid_condition_ids}")
    (explanation,) = [one for one in (await stage.history.explain(event_id)).explanations if one.outcome == "filtered"]
    stage.narrator.say("note", f"{short(explanation.task_id)} was not started: {explanation.text}")
    return f"recorded only: {explanation.text}"


async def closed_edition(stage: Stage) -> str:
    """Closing the edition is the last part that the digest waits for."""
    articles = {
        one.arguments["path"]
        for one in stage.enriched
        if one.status == "success" and one.result["words"] >= WORTH_READING
    }
    stage.narrator.say("note", f"{generate_digest.task_id} waits: {len(articles)} articles, and no edition.closed yet")
    event_id = await stage.app.emit_event("edition.closed", {"edition": stage.edition})
    stage.narrator.say("emit", f'edition.closed {{"edition": "{stage.edition}"}}')
    run = await stage.run_of(event_id, generate_digest)
    stage.narrator.fired(run)
    digest = await stage.end_of(run.invocation_id)
    if digest.status != "success":
        raise DidNotHappen(f"{ended(digest)}: {digest.exception_message}")
    missing = articles - {article["path"] for article in digest.arguments["articles"]}
    if missing:
        raise DidNotHappen(f"the digest lacks {len(missing)} articles, such as {min(missing)}")
    stage.digest.extend(Path(path) for path in digest.result)
    stage.narrator.say("end", f"{ended(digest)}: {', '.join(path.name for path in stage.digest)}")
    return f"{len(digest.arguments['articles'])} articles in one digest"


SCENARIOS = (
    Scenario("Scheduled refresh", "cron, beside an event, on one task", scheduled_refresh),
    Scenario("Published feed", "event with payload filter, idempotency key", published_feed),
    Scenario("Front page", "status, filtered by the call's arguments", front_page),
    Scenario("Broken documents", "exception, by its base class", broken_documents),
    Scenario("Unwanted format", "an event that meets no condition", unwanted_format),
    Scenario("Closed edition", "status AND result AND event", closed_edition),
)


async def _ingested(stage: Stage, run: TriggerRunRecord) -> int:
    """Waits for an ingestion and for the enrichment of every document of it; returns how many there were."""
    ingesting = await stage.end_of(run.invocation_id)
    if ingesting.status != "success":
        raise DidNotHappen(f"{ended(ingesting)}: {ingesting.exception_message}")
    events = await stage.emitted_by(ingesting.invocation_id)
    if len(events) != ingesting.result:
        raise DidNotHappen(f"{ingesting.result} documents were found, and {len(events)} events emitted for them")
    stage.narrator.say("emit", f"article.found × {len(events)} by {short(ingesting.task_id)}, in one append")
    await _enriched(stage, events)
    return len(events)


async def _enriched(stage: Stage, events: list[EventRecord]) -> None:
    """Waits until the document of each event has been enriched, or has failed to be."""
    runs = [await stage.run_of(event.event_id, enrich_article) for event in events]
    invocations = [await stage.end_of(run.invocation_id) for run in runs]
    stage.enriched.extend(invocations)
    for run in runs[:1]:
        stage.narrator.fired(run, len(runs))
    for one in invocations[-3:]:
        told = f'"{one.result["title"]}", {one.result["words"]:,} words' if one.status == "success" else ""
        stage.narrator.say("end", f"{one.arguments['name']}: {ended(one)} {told}".rstrip())


async def _reaction(stage: Stage, source: InvocationRecord, task_id: str) -> TriggerRunRecord:
    async def look() -> TriggerRunRecord | None:
        return next(iter(await _reactions(stage, source, task_id)), None)

    return await stage.until(look, f"{task_id} after invocation:{source.invocation_id}")


async def _reactions(stage: Stage, source: InvocationRecord, task_id: str) -> list[TriggerRunRecord]:
    runs = await everything(
        lambda cursor: stage.history.trigger_runs(source_invocation_id=source.invocation_id, cursor=cursor)
    )
    return [run for run in runs if run.task_id == task_id]
