"""The demo, run as its users run it: every scenario succeeds, and the digest contains the articles."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.backends import SERVER_BACKENDS, STORES
from tests.support.programs import PATHS
from tests.support.project import ROOT
from tests.support.servers.shared import SharedServers
from trigger_engine import TriggerEngine

DEMO = ROOT / "examples" / "trigger_demo"
SCENARIOS = (
    "Scheduled refresh",
    "Published feed",
    "Front page",
    "Broken documents",
    "Unwanted format",
    "Closed edition",
)
PROSE = "Ten words stand in this sentence, and all of them count. "

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo is played."""

    feed: Path
    output: Path
    env: dict[str, str]

    def play(self, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Runs the demo on the feed."""
        return subprocess.run(
            [sys.executable, str(DEMO / "sample.py"), str(self.feed), "--output", str(self.output), *options],
            cwd=self.feed.parent,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A feed of three documents, two of them at its top, and one that is too short for a digest."""
    feed = tmp_path / "feed"
    (feed / "deep").mkdir(parents=True)
    front_matter = "---\ntitle: The first & <best>\ntags: [news]\n---\n"
    (feed / "one.md").write_text(f"{front_matter}\n{PROSE * 5}\n[here](https://example.org/a)\n", encoding="utf-8")
    (feed / "deep" / "two.md").write_text(f"# Second\n\n{PROSE * 50}\n\n## Its part\n", encoding="utf-8")
    (feed / "short.md").write_text("# Short\n", encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("TRIGGER_")}
    env |= {
        "PYTHONPATH": PATHS,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "COLUMNS": "200",
        "PYTHONIOENCODING": "utf-8",
    }
    return Stage(feed, tmp_path / "output", env)


def happened(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The outcomes of the summary table, by scenario."""
    rows = re.findall(r"^│ (\w+ \w+) +│ .+? │ (.+?) +│ +[\d.]+ s │$", done.stdout, re.MULTILINE)
    assert [title for title, _ in rows] == list(SCENARIOS), done.stdout + done.stderr
    return dict(rows)


async def runs_by_task(output: Path) -> Counter[str]:
    """How many trigger runs the store holds, by the task's own name."""
    app = TriggerEngine(app_id="trigger_demo", sqlite={"sqlite_db_path": str(output / "trigger_demo.db")})
    async with app, app.history() as history:
        runs = await history.trigger_runs(limit=1000)
        assert [run.error for run in runs if run.error] == []
        return Counter(run.task_id.removeprefix("tasks.") for run in runs)


@pytest.mark.parametrize("name", sorted(SERVER_BACKENDS))
@pytest.mark.servers
def test_every_scenario_runs_on_a_server(name: str, stage: Stage, servers: SharedServers) -> None:
    settings = STORES[name](stage.output, servers)
    keys = {key: str(value) for table in settings.values() if isinstance(table, dict) for key, value in table.items()}
    done = stage.play("--backend", name, **{f"TRIGGER_ENGINE__{name}__{key}".upper(): keys[key] for key in keys})
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(outcome.startswith("✓") for outcome in happened(done).values())


async def test_every_scenario_runs_and_the_digest_lists_the_articles(stage: Stage) -> None:
    done = stage.play()
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = happened(done)
    assert re.fullmatch(r"✓ found at \d\d:\d\d:\d\d UTC, enriched", outcomes["Scheduled refresh"])
    assert outcomes["Published feed"] == "✓ 1 event, 1 ingestion, 3 documents enriched"
    assert outcomes["Front page"] == "✓ 3 announced, 1 not"
    assert outcomes["Broken documents"] == "✓ 2 failures, 2 alerts"
    assert outcomes["Unwanted format"] == '✓ recorded only: payload.format is "rss", expected "markdown"'
    assert outcomes["Closed edition"] == "✓ 3 articles in one digest"
    assert f"Digest: {stage.output / 'edition-001' / 'digest.html'}" in done.stdout

    markdown = (stage.output / "edition-001" / "digest.md").read_text(encoding="utf-8")
    assert markdown.startswith("# edition-001\n\n3 articles, ")
    first, second, third = re.findall(r"^## (.+)$", markdown, re.MULTILINE)
    assert (first, second, third) == ("Second", "Letter from the inbox, edition-001", r"The first \& \<best\>")
    assert "| 553 | 2 min | 0 |" in markdown
    assert "In it: Its part." in markdown
    page = (stage.output / "edition-001" / "digest.html").read_text(encoding="utf-8")
    assert "<h2>The first &amp; &lt;best&gt;</h2>" in page
    assert (stage.feed / "deep" / "two.md").as_uri() in page

    mails = sorted(
        path.relative_to(stage.output / "mail").as_posix() for path in (stage.output / "mail").rglob("*.txt")
    )
    assert mails == ["edition-001/one.md.txt", "edition-001/short.md.txt", "inbox/edition-001.md.txt"]
    alerts = stage.output / "alerts" / "edition-001" / "broken"
    assert (alerts / "not-utf-8.md.txt").read_text().startswith("NotText: not-utf-8.md is not UTF-8 at byte 4")
    assert (alerts / "front-matter.md.txt").read_text().startswith("BrokenFrontMatter: front-matter.md: ")

    runs = await runs_by_task(stage.output)
    assert runs.pop("ingest_feed") > 2
    assert runs == {"enrich_article": 6, "notify_subscribers": 3, "alert_editorial": 2, "generate_digest": 1}


async def test_second_run_on_the_same_store_writes_the_next_edition(stage: Stage) -> None:
    stage.play()
    done = stage.play()
    assert done.returncode == 0, done.stdout + done.stderr
    assert happened(done)["Closed edition"] == "✓ 3 articles in one digest"
    markdown = (stage.output / "edition-002" / "digest.md").read_text(encoding="utf-8")
    assert "Letter from the inbox, edition-002" in markdown
    assert "Letter from the inbox, edition-001" not in markdown
    runs = await runs_by_task(stage.output)
    runs.pop("ingest_feed")
    assert runs == {"enrich_article": 12, "notify_subscribers": 6, "alert_editorial": 4, "generate_digest": 2}


def test_demo_fails_and_reports_what_did_not_happen(stage: Stage) -> None:
    done = stage.play("--patience", "2", TRIGGER_ENGINE__QUEUES="elsewhere")
    assert done.returncode == 1
    assert "failed: no article.found for edition-001.md within 2 s" in done.stdout
    assert happened(done)["Closed edition"] == "✗ not reached"


def test_demo_refuses_a_feed_that_is_not_a_folder(stage: Stage) -> None:
    done = replace(stage, feed=stage.feed / "one.md").play()
    assert done.returncode == 2
    assert done.stderr.endswith("is not a folder: pass the folder that contains the feed\n")


def test_the_tests_of_the_demo_pass(stage: Stage) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=DEMO,
        env=stage.env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
