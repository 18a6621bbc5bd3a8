"""Links, anchors, file names and commands in the pages lead to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.docs.pages import pages
from tests.support.project import ROOT
from trigger_engine._cli.main import COMMANDS

EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
PAGES = [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in [*pages(), *EXAMPLES]]
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#([^)\s]+))?\)")
_FILE = re.compile(r"`((?:trigger_engine|tests|docs|examples)/[\w./-]*)`")
_PACKAGE_FILE = re.compile(r"`((?:_[a-z]+|backend|testing)/[\w./-]*)`")
_COMMAND = re.compile(r"(?:`|^)trigger-engine ([a-z]+)", re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_page_and_its_heading(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        path = page.parent / target
        assert path.exists(), f"{target} is not there"
        assert not anchor or anchor in _anchors(path), f"{target} has no heading for #{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = [ROOT / name for name in _FILE.findall(text)]
    named += [ROOT / "trigger_engine" / name for name in _PACKAGE_FILE.findall(text)]
    assert [path for path in named if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_named_exists(page: Path) -> None:
    named = set(_COMMAND.findall(page.read_text(encoding="utf-8")))
    assert named <= set(COMMANDS)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}
