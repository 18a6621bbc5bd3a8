"""docs/cli.md tells of every command and option that there is, and of no other."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from trigger_engine.cli.main import COMMANDS, Commands, app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
COMMON = {"--since", "--until", "--limit", "--cursor", "--json"}


def section(name: str) -> str:
    """The page's text about a command."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the page has no section {name}"
    return found[1]


def options(command: Any) -> set[str]:
    """Every option that a command shows in its help, those of its own commands too."""
    inner = getattr(command, "commands", {}).values()
    own = {
        name for one in command.params if not getattr(one, "hidden", False) for name in (*one.opts, *one.secondary_opts)
    }
    return {name for name in own if name.startswith("--")}.union(*(options(one) for one in inner))


def loaded(name: str) -> Any:
    group = typer.main.get_command(app)
    assert isinstance(group, Commands)
    return group.get_command(None, name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_tells_of_every_option(name: str) -> None:
    told = set(re.findall(r"`(--[a-z-]+)`", section(name)))
    assert told == options(loaded(name))


def test_the_page_tells_of_every_command() -> None:
    assert re.findall(r"^\| \[`(\w+)`\]\(#\w+\)", PAGE, re.MULTILINE) == list(COMMANDS)


def test_the_page_tells_what_lists_have_in_common() -> None:
    assert set(re.findall(r"`(--[a-z-]+)`", section("Output and exit codes"))) == COMMON


def test_the_examples_of_the_page_are_called_rightly() -> None:
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    lines = re.findall(r"^(?:.*\| )?trigger-engine (.+)$", shell, re.MULTILINE)
    assert len(lines) > 15
    for line in lines:
        words = re.findall(r"'[^']*'|\S+", line)
        used = {word for word in words if word.startswith("--")}
        assert words[0] in COMMANDS
        assert used <= options(loaded(words[0])), line
