"""The code blocks of a Markdown page, and running them.

A comment before a block, `<!-- example: WORDS -->`, says how it is run. WORDS, any of them, separated by commas:

- `continued`: in the module of the Python block before it;
- `file NAME`: saved as that file, and for Python run as the module of that name;
- `running`: while a runner is up, of the module's `app`, else of the one in `tasks`;
- `raises ERROR`: it raises that error;
- `script`: saved, and run by Python as a program;
- `tests`: saved, and its tests are run by pytest;
- `output`: of a `text` block: what the block before printed, or the message that it raised (lines may break anywhere).

Without a comment a Python block is a module of its own. It may await at its top.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.project import ROOT

WORDS = frozenset({"continued", "running", "script", "tests", "output"})
WORDS_WITH_VALUE = frozenset({"file", "raises"})
_BLOCK = re.compile(
    r"(?:^<!-- example: (?P<words>[^\n]*?) -->\n)?^(?P<fence>```+)(?P<language>\w+)\n(?P<source>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page. `line`: where its first line stands, from 1."""

    page: str
    line: int
    language: str
    source: str
    words: frozenset[str]
    values: tuple[tuple[str, str], ...]

    def value(self, word: str) -> str | None:
        """What follows a word such as `file`."""
        return dict(self.values).get(word)

    @property
    def filename(self) -> str:
        return self.value("file") or f"{Path(self.page).stem.replace('-', '_')}_{self.line}.py"


def pages() -> list[Path]:
    """Every page whose blocks must be true."""
    at_top = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*(page for page in at_top if page.exists()), *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in order. Raises ValueError for a word that means nothing."""
    text = page.read_text(encoding="utf-8")
    return [_block(page.name, text, found) for found in _BLOCK.finditer(text)]


def groups(page: Path) -> list[list[Block]]:
    """The blocks that run as one module, with the outputs that follow each."""
    found: list[list[Block]] = []
    for block in blocks(page):
        if block.language == "python" and "continued" not in block.words:
            found.append([block])
        elif block.language == "python" or "output" in block.words:
            found[-1].append(block)
    return found


def _block(page: str, text: str, found: re.Match[str]) -> Block:
    line = text.count("\n", 0, found.start("source")) + 1
    words: set[str] = set()
    values: list[tuple[str, str]] = []
    for written in filter(None, (found["words"] or "").split(", ")):
        word, _, value = written.partition(" ")
        if (word in WORDS and not value) or (word in WORDS_WITH_VALUE and value):
            words.add(word)
            values.append((word, value))
        else:
            raise ValueError(f"{page}:{line}: {written!r} means nothing, see tests/integration/docs/pages.py")
    return Block(page, line, found["language"], found["source"], frozenset(words), tuple(values))
