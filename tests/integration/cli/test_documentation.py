"""docs/cli.md documents exactly the existing commands and options."""

import re
from typing import Any

import pytest
import typer

from tests.support.project import ROOT
from trigger_engine._cli.main import COMMANDS, Commands, app

PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
COMMON = {"--since", "--until", "--limit", "--cursor", "--json"}


def section(name: str) -> str:
    """Returns the page's section about a command."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the page has no section {name}"
    return found[1]


def options(command: Any) -> set[str]:
    """Returns every option in the help of a command and its subcommands."""
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
def test_every_option_is_documented(name: str) -> None:
    documented = set(re.findall(r"`(--[a-z-]+)`", section(name)))
    assert documented == options(loaded(name))


def test_every_command_is_documented() -> None:
    assert re.findall(r"^\| \[`(\w+)`\]\(#\w+\)", PAGE, re.MULTILINE) == list(COMMANDS)


def test_common_options_of_lists_are_documented() -> None:
    assert set(re.findall(r"`(--[a-z-]+)`", section("Output and exit codes"))) == COMMON


def test_examples_use_existing_commands_and_options() -> None:
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    lines = re.findall(r"^(?:.*\| )?trigger-engine (.+)$", shell, re.MULTILINE)
    assert len(lines) > 15
    for line in lines:
        words = re.findall(r"'[^']*'|\S+", line)
        used = {word for word in words if word.startswith("--")}
        assert words[0] in COMMANDS
        assert used <= options(loaded(words[0])), line
