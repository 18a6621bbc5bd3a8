"""A media pipeline: documents are found, enriched, announced, and collected in a digest.

Each trigger is declared on the task that it starts. No task calls another one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from digest import write_atomically, write_digest
from documents import Article, EnrichmentError, Placement, find_documents, read_article

from trigger_engine import (
    Event,
    EventContext,
    ExceptionContext,
    ResultContext,
    StatusContext,
    TriggerBuilder,
    TriggerContext,
    TriggerEngine,
)

OUTPUT = Path(os.environ.get("TRIGGER_DEMO_OUTPUT") or Path(__file__).resolve().parent / "output")
INBOX = OUTPUT / "inbox"
WORTH_READING = 30


@asynccontextmanager
async def inbox(_: TriggerEngine) -> AsyncIterator[None]:
    """Creates the folder that the schedule scans, before a runner's first task."""
    INBOX.mkdir(parents=True, exist_ok=True)
    yield


app = TriggerEngine(lifespan=inbox)


def feed_of(ctx: EventContext) -> dict[str, Any]:
    """Arguments of `ingest_feed` from the event that published a feed."""
    return {"folder": ctx.payload["folder"], "edition": ctx.payload["edition"]}


@app.task(
    triggers=[
        TriggerBuilder().on_cron("*/2 * * * * *").with_args_static({"folder": "inbox", "edition": "inbox"}),
        TriggerBuilder()
        .on_event("feed.published", payload_filter={"format": "markdown"})
        .with_args_from_event(feed_of),
    ]
)
async def ingest_feed(folder: str, edition: str) -> int:
    """Emits one `article.found` for each document of a folder that was not found before."""
    found = await asyncio.to_thread(find_documents, OUTPUT / folder, skip=[OUTPUT])
    events = [
        Event(
            "article.found",
            {"path": one.path, "name": one.name, "placement": one.placement, "edition": edition},
            idempotency_key=f"{edition}:{one.path}:{one.version}",
        )
        for one in found
    ]
    await app.emit_events(events)
    return len(events)


def document_of(ctx: EventContext) -> dict[str, Any]:
    """Arguments of `enrich_article`: exactly those of the payload."""
    return dict(ctx.payload)


@app.task(
    triggers=TriggerBuilder().on_event("article.found").with_args_from_event(document_of),
    max_retries=2,
    retry_for=OSError,
    timeout=30,
)
def enrich_article(path: str, name: str, placement: Placement, edition: str) -> Article:
    """Reads a document. Retries if the disk cannot be read, but not if the document is broken."""
    return read_article(Path(path), name)


def note_of(ctx: StatusContext) -> dict[str, Any]:
    """Arguments of `notify_subscribers`: those of the call that succeeded."""
    return {key: ctx.arguments.kwargs[key] for key in ("name", "edition")}


@app.task(
    triggers=TriggerBuilder()
    .on_status(enrich_article, call_arguments={"placement": "front"})
    .with_args_from_status(note_of)
)
def notify_subscribers(name: str, edition: str) -> str:
    """Writes a note to the subscribers of the front page."""
    note = OUTPUT / "mail" / edition / f"{name}.txt"
    return str(write_atomically(note, f"To the subscribers of the front page: {name} is new.\n"))


def alert_of(ctx: ExceptionContext) -> dict[str, Any]:
    """Arguments of `alert_editorial`: what failed, and how."""
    return {
        "name": ctx.arguments.kwargs["name"],
        "edition": ctx.arguments.kwargs["edition"],
        "problem": f"{ctx.exception_type}: {ctx.exception_message}",
    }


@app.task(
    triggers=TriggerBuilder()
    .on_exception(enrich_article, exception_types=EnrichmentError)
    .with_args_from_exception(alert_of)
)
def alert_editorial(name: str, edition: str, problem: str) -> str:
    """Reports a document that could not be enriched to the editors."""
    return str(write_atomically(OUTPUT / "alerts" / edition / f"{name}.txt", f"{problem}\n"))


def is_worth_reading(article: Article) -> bool:
    """Whether an article is long enough for a digest."""
    return article.words >= WORTH_READING


def digest_of(ctx: TriggerContext) -> dict[str, Any]:
    """Arguments of `generate_digest`: the newest version of every article since the last digest."""
    assert ctx.event is not None
    articles = {one.result.path: one.result for one in ctx.contexts if isinstance(one, ResultContext)}
    return {"edition": ctx.event.payload["edition"], "articles": list(articles.values())}


@app.task(
    triggers=TriggerBuilder()
    .on_status(enrich_article, "SUCCESS")
    .on_result(enrich_article, filter_result=is_worth_reading)
    .on_event("edition.closed")
    .with_logic("and")
    .with_args_from_trigger_context(digest_of)
)
def generate_digest(edition: str, articles: list[Article]) -> list[str]:
    """Writes the digest once the edition is closed and an article is worth reading."""
    return [str(path) for path in write_digest(OUTPUT / edition, edition, articles)]
