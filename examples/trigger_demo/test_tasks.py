"""Tests of the demo's tasks and triggers, without a runner, a store or waiting. Run `pytest` in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import tasks
from documents import Article, BrokenFrontMatter, NotText, read_article

from trigger_engine import EventContext, ResultContext, TriggerContext
from trigger_engine.testing import TestEngine

PROSE = "A sentence of seven words stands here. " * 10


@pytest.fixture(autouse=True)
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tasks, "OUTPUT", tmp_path / "output")
    monkeypatch.setattr(tasks, "INBOX", tmp_path / "output" / "inbox")
    return tmp_path / "output"


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    (tmp_path / "feed" / "deep").mkdir(parents=True)
    (tmp_path / "feed" / "one.md").write_text(f"---\ntags: [news]\n---\n# One\n\n{PROSE}[link](https://example.org)\n")
    (tmp_path / "feed" / "deep" / "two.md").write_text(f"# Two\n\n{PROSE}\n\n## Part\n")
    return tmp_path / "feed"


async def publish(engine: TestEngine, folder: Path, **payload: str) -> None:
    await tasks.app.emit_event(
        "feed.published", {"folder": str(folder), "edition": "e", "format": "markdown"} | payload
    )
    await engine.run_until_idle()


async def test_every_document_is_enriched_and_the_front_page_announced(feed: Path) -> None:
    async with TestEngine(tasks.app) as engine:
        await publish(engine, feed)
        assert sorted(call["name"] for call in engine.calls(tasks.enrich_article)) == ["deep/two.md", "one.md"]
        assert engine.calls(tasks.notify_subscribers) == [{"name": "one.md", "edition": "e"}]


async def test_a_document_is_enriched_once(feed: Path) -> None:
    async with TestEngine(tasks.app) as engine:
        await publish(engine, feed)
        await publish(engine, feed)
        assert len(engine.calls(tasks.ingest_feed)) == 2
        assert len(engine.calls(tasks.enrich_article)) == 2


async def test_another_format_starts_nothing(feed: Path) -> None:
    async with TestEngine(tasks.app) as engine:
        await publish(engine, feed, format="rss")
        assert engine.runs() == []


async def test_the_schedule_scans_the_inbox_every_two_seconds(output: Path) -> None:
    async with TestEngine(tasks.app) as engine:
        (output / "inbox" / "letter.md").write_text(PROSE)
        await engine.advance(seconds=4)
        assert engine.calls(tasks.ingest_feed) == [{"folder": "inbox", "edition": "inbox"}] * 2
        assert [call["name"] for call in engine.calls(tasks.enrich_article)] == ["letter.md"]


async def test_a_broken_document_is_reported_to_the_editors(feed: Path) -> None:
    (feed / "broken.md").write_bytes(b"caf\xe9")
    async with TestEngine(tasks.app, allow_failures=True) as engine:
        await publish(engine, feed)
        (alert,) = engine.calls(tasks.alert_editorial)
        assert alert["name"] == "broken.md"
        assert alert["problem"].startswith("NotText: broken.md is not UTF-8")


async def test_the_digest_is_written_when_the_edition_closes(feed: Path, output: Path) -> None:
    (feed / "short.md").write_text("# Too short\n")
    async with TestEngine(tasks.app) as engine:
        await publish(engine, feed)
        assert engine.calls(tasks.generate_digest) == []
        await tasks.app.emit_event("edition.closed", {"edition": "e"})
        await engine.run_until_idle()
        (call,) = engine.calls(tasks.generate_digest)
    assert sorted(article.title for article in call["articles"]) == ["One", "Two"]
    assert "[One](<file://" in (output / "e" / "digest.md").read_text()
    assert "<h2>Two</h2>" in (output / "e" / "digest.html").read_text()


async def test_the_next_digest_starts_empty(feed: Path) -> None:
    async with TestEngine(tasks.app) as engine:
        await publish(engine, feed)
        for _ in range(2):
            await tasks.app.emit_event("edition.closed", {"edition": "e"})
            await engine.run_until_idle()
        assert len(engine.calls(tasks.generate_digest)) == 1


def test_a_provider_is_a_plain_function() -> None:
    closed = EventContext(event_code="edition.closed", payload={"edition": "e"})
    old, new = (Article("/a.md", "a.md", title, "", [], [], [], 50, 1) for title in ("old", "new"))
    context = TriggerContext(contexts=(ResultContext(result=old), ResultContext(result=new), closed))
    assert tasks.digest_of(context) == {"edition": "e", "articles": [new]}


def test_an_article_describes_its_document(feed: Path) -> None:
    article = read_article(feed / "one.md", "one.md")
    assert (article.title, article.tags, article.links) == ("One", ["news"], ["https://example.org"])
    assert (article.words, article.minutes) == (72, 1)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"---\na: [\n---\n", BrokenFrontMatter), (b"---\nnothing\n---\n", BrokenFrontMatter), (b"\xff", NotText)],
)
def test_unreadable_documents_raise_with_their_name(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    (tmp_path / "x.md").write_bytes(content)
    with pytest.raises(error, match=r"^x\.md"):
        read_article(tmp_path / "x.md", "x.md")
