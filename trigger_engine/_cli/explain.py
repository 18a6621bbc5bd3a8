"""`trigger-engine explain`: explains why an event fired or did not fire a trigger."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

import typer
from rich.text import Text

from trigger_engine._cli.app_loading import AppArgument, load_shared_app
from trigger_engine._cli.listing import plain_id, with_history
from trigger_engine._cli.output import JsonOption, print_json, print_text, styled, value_text
from trigger_engine._engine.explain import Explanation
from trigger_engine._engine.predicates import PredicateAnswer
from trigger_engine._readmodel.queries.explanations import ExplanationRecord

command = typer.Typer(rich_markup_mode=None, add_completion=False)
_APP = re.compile(r".+\.py|.+:(?![0-9a-f]{12}$)[^\W\d][\w.]*")
_RESULTS = {True: "yes", False: "no", None: "?"}


@command.command()
def explain(
    entry: Annotated[
        str, typer.Argument(metavar="EVENT", help="The id of an event, an invocation, a trigger run or a status.")
    ],
    trigger: Annotated[
        str | None, typer.Argument(metavar="TRIGGER", help="Only this trigger: its id, its slot, or its task.")
    ] = None,
    app: AppArgument = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Include triggers that do not listen to this.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Explain why an event or an invocation fired or did not fire triggers.

    trigger-engine explain 01a20d10f11c46137582af821c00bc4b tasks.notify tasks:app
    """
    if app is None and trigger is not None and _APP.fullmatch(trigger):
        trigger, app = None, trigger
    wanted = None if trigger is None else plain_id(trigger)
    loaded = load_shared_app(app, "explain")
    found = asyncio.run(with_history(loaded, lambda history: history.explain(plain_id(entry), wanted)))
    if as_json:
        print_json(*(one for one in found.explanations if every or wanted or one.outcome != "not listening"))
    else:
        print_text(*_lines(found, every=every or wanted is not None))


def _lines(found: ExplanationRecord, *, every: bool) -> list[Text | str]:
    lines: list[Text | str] = [Text.assemble((f"{found.kind} {found.source}", "bold"), f"  {found.entry_id}")]
    lines += [Text.assemble((f"  {name} ", "dim"), value_text(value)) for name, value in found.values.items()]
    if found.statuses:
        lines.append(Text.assemble(("  statuses ", "dim"), ", ".join(found.statuses)))
    if found.void is not None:
        lines.append(Text(f"  void: {found.void}", "yellow"))
    hidden = [one for one in found.explanations if one.outcome == "not listening"]
    for one in found.explanations:
        if every or one not in hidden:
            lines += ["", *_trigger_lines(one)]
    if hidden and not every:
        lines += ["", _hidden_line(found.source, len(hidden), len(found.explanations) - len(hidden))]
    if not found.explanations:
        lines += ["", "No trigger has been declared yet: start a runner (trigger-engine run)."]
    return lines


def _hidden_line(source: str, hidden: int, shown: int) -> str:
    """Describes the triggers that are not shown."""
    noun = "trigger" if hidden == 1 else "triggers"
    if not shown:
        return (
            f"No trigger listens to {source} ({hidden} {noun} in all; --all shows {'it' if hidden == 1 else 'them'})."
        )
    return f"{hidden} more {noun} {'does' if hidden == 1 else 'do'} not listen to {source} (--all)."


def _trigger_lines(one: Explanation) -> list[Text | str]:
    lines: list[Text | str] = [
        Text.assemble((one.task_id, "bold"), "  ", styled(one.outcome), (f"  trigger:{one.trigger_id}", "dim")),
        f"  {one.text}",
    ]
    for finding in one.conditions:
        if len(one.conditions) > 1 or len(finding.answers) > 1:
            lines.append(Text.assemble("  ", (finding.condition_id, "cyan")))
            lines += [_answer_line(answer) for answer in finding.answers]
    return lines


def _answer_line(answer: PredicateAnswer) -> Text:
    result = _RESULTS[answer.passed]
    return Text.assemble(
        "    ", (f"{result:<4}", "red" if answer.passed is False else ""), f"{answer.what} {answer.text}"
    )
