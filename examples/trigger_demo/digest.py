"""The digest of an edition: all articles in one Markdown document and one web page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from documents import Article
from markdown_it import MarkdownIt

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #222; }}
table {{ border-collapse: collapse; width: 100%; }}
td, th {{ border-bottom: 1px solid #ddd; padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }}
h2 {{ margin: 2rem 0 0; font-size: 1.15rem; }}
a {{ color: #0b5cad; }}
</style>
{body}
</html>
"""


def digest_markdown(edition: str, articles: Sequence[Article]) -> str:
    """The digest, longest articles first."""
    ordered = sorted(articles, key=lambda article: (-article.words, article.name))
    words, minutes = (sum(getattr(article, name) for article in ordered) for name in ("words", "minutes"))
    rows = [f"| {_link(a)} | {a.words:,} | {a.minutes} min | {len(a.links)} |" for a in ordered]
    lines = [
        f"# {_text(edition)}",
        "",
        f"{len(ordered)} articles, {words:,} words, {minutes} minutes of reading.",
        "",
        "| Article | Words | Reading | Links |",
        "|---|---|---|---|",
        *rows,
    ]
    return "\n".join([*lines, *(line for article in ordered for line in _section(article))]) + "\n"


def digest_html(edition: str, markdown: str) -> str:
    """A digest as a complete HTML page. HTML in a document is escaped."""
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    return PAGE.format(title=escape(edition), body=body)


def write_digest(folder: Path, edition: str, articles: Sequence[Article]) -> list[Path]:
    """Writes `digest.md` and `digest.html` atomically, and returns their paths."""
    markdown = digest_markdown(edition, articles)
    pages = {"digest.md": markdown, "digest.html": digest_html(edition, markdown)}
    return [write_atomically(folder / name, page) for name, page in pages.items()]


def write_atomically(path: Path, text: str) -> Path:
    """Writes a file atomically, also if the same file is written twice at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    return partial.replace(path)


def _section(article: Article) -> list[str]:
    facts = [f"`{article.name}`", f"{article.minutes} min", *(f"#{_text(tag)}" for tag in article.tags)]
    lines = ["", f"## {_text(article.title)}", "", " · ".join(facts)]
    if article.summary:
        lines += ["", _text(article.summary)]
    if article.headings:
        lines += ["", "In it: " + ", ".join(map(_text, article.headings)) + "."]
    return lines


def _link(article: Article) -> str:
    return f"[{_text(article.title)}](<{Path(article.path).as_uri()}>)"


def _text(text: str) -> str:
    """Escapes text for Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~])", r"\\\1", text)
