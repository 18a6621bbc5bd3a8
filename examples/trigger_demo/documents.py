"""Finding Markdown documents in a folder, and reading them into `Article`s."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

WORDS_PER_MINUTE = 230
MAX_BYTES = 2**21
SUMMARY_LENGTH = 200
MAX_HEADINGS = 12
TOOL_FOLDERS = frozenset({"node_modules", "site-packages", "__pycache__"})

Placement = Literal["front", "inside"]


class EnrichmentError(Exception):
    """A document cannot become an article until somebody fixes it; retrying does not help."""


class BrokenFrontMatter(EnrichmentError):
    """The block between the two `---` lines at the start is not a YAML mapping."""


class NotText(EnrichmentError):
    """The file is not UTF-8."""


@dataclass(frozen=True, slots=True)
class Found:
    """A document in a feed. `name`: its path relative to the feed. `version`: a hash of its content."""

    path: str
    name: str
    placement: Placement
    version: str


@dataclass(frozen=True, slots=True)
class Article:
    """The facts about a document. `links`: the distinct link targets. `minutes`: reading time, at least 1."""

    path: str
    name: str
    title: str
    summary: str
    headings: list[str]
    links: list[str]
    tags: list[str]
    words: int
    minutes: int


def find_documents(folder: Path, *, skip: Iterable[Path] = ()) -> list[Found]:
    """All Markdown documents of a folder, sorted by name. Those at its top level are for the front page.

    Skips hidden folders, virtual environments, tool folders and `skip`. Raises NotADirectoryError.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder: pass the folder that contains the feed")
    skipped = {path.resolve() for path in skip}
    return sorted(_walk(folder.resolve(), skipped), key=_by_name)


def read_article(path: Path, name: str) -> Article:
    """Reads a document. Raises EnrichmentError if the document must be fixed, OSError if it cannot be read."""
    content = path.read_bytes()
    if len(content) > MAX_BYTES:
        raise EnrichmentError(f"{name} has {len(content):,} bytes, the limit is {MAX_BYTES:,}: split it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise NotText(f"{name} is not UTF-8 at byte {exc.start}: save it as UTF-8") from exc
    facts, body = split_front_matter(text, name)
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    headings = list(_headings(tokens))
    words = sum(len(re.findall(r"\w+", written)) for written in _texts(tokens))
    main = [text for level, text in headings if level == 1]
    return Article(
        path=str(path),
        name=name,
        title=str(facts.get("title") or next(iter(main), "") or path.stem),
        summary=_shortened(str(facts.get("summary") or next(_paragraphs(tokens), ""))),
        headings=[text for level, text in headings if level == 2][:MAX_HEADINGS],
        links=list(dict.fromkeys(_links(tokens))),
        tags=[str(tag) for tag in _listed(facts.get("tags"))],
        words=words,
        minutes=max(1, round(words / WORDS_PER_MINUTE)),
    )


def split_front_matter(text: str, name: str) -> tuple[dict[str, Any], str]:
    """Splits a document into its front matter and its body. Raises BrokenFrontMatter."""
    parts = re.match(r"---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", text, re.DOTALL | re.MULTILINE)
    if parts is None:
        return {}, text
    try:
        facts = yaml.safe_load(parts[1])
    except yaml.YAMLError as exc:
        raise BrokenFrontMatter(f"{name}: {_complaint(exc)}") from exc
    if not isinstance(facts, dict):
        raise BrokenFrontMatter(f"{name}: the front matter is a {type(facts).__name__}, not `key: value` lines")
    return facts, text[parts.end() :]


def _complaint(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 2}: {error.problem}"
    return " ".join(str(error).split())


def _walk(folder: Path, skipped: set[Path]) -> Iterator[Found]:
    for where, folders, files in os.walk(folder):
        here = Path(where)
        folders[:] = [name for name in folders if _is_searched(here / name, skipped)]
        for name in files:
            if name.lower().endswith((".md", ".markdown")) and not name.startswith("."):
                yield _found(here / name, folder)


def _is_searched(folder: Path, skipped: set[Path]) -> bool:
    is_visible = not folder.name.startswith(".") and folder.name not in TOOL_FOLDERS and folder not in skipped
    return is_visible and not (folder / "pyvenv.cfg").exists()


def _found(path: Path, folder: Path) -> Found:
    placement: Placement = "front" if path.parent == folder else "inside"
    version = blake2b(path.read_bytes(), digest_size=8).hexdigest()
    return Found(str(path), path.relative_to(folder).as_posix(), placement, version)


def _by_name(found: Found) -> str:
    return found.name


def _headings(tokens: list[Token]) -> Iterator[tuple[int, str]]:
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            yield int(opening.tag[1:]), _plain(inline)


def _paragraphs(tokens: list[Token]) -> Iterator[str]:
    for opening, inline in pairwise(tokens):
        if opening.type == "paragraph_open" and opening.level == 0 and (text := _plain(inline)):
            yield text


def _texts(tokens: list[Token]) -> Iterator[str]:
    return (_plain(token) for token in tokens if token.type == "inline")


def _links(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                yield str(child.attrs["href"])


def _plain(inline: Token) -> str:
    kept = {"text", "code_inline"}
    pieces = (" " if "break" in child.type else child.content * (child.type in kept) for child in inline.children or ())
    return " ".join("".join(pieces).split())


def _shortened(text: str) -> str:
    return text if len(text) <= SUMMARY_LENGTH else text[:SUMMARY_LENGTH].rpartition(" ")[0] + " …"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
