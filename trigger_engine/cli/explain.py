"""`trigger-engine explain`: why an event did or did not fire a trigger."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

import typer
from rich.text import Text

from trigger_engine.cli.app_loading import AppArgument, load_shared_app
from trigger_engine.cli.listing import plain_id, with_history
from trigger_engine.cli.output import JsonOption, print_json, print_text, styled, value_text
from trigger_engine.core.explain import Explanation
from trigger_engine.core.predicates import Answer
from trigger_engine.history.explanation import ExplanationRecord

command = typer.Typer(rich_markup_mode=None, add_completion=False)
_APP = re.compile(r".+\.py|.+:(?![0-9a-f]{12}$)[^\W\d][\w.]*")
_SAYS = {True: "yes", False: "no", None: "?"}


@command.command()
def explain(
    entry: Annotated[
        str, typer.Argument(metavar="EVENT", help="The id of an event; or of an invocation, a trigger run, a status.")
    ],
    trigger: Annotated[
        str | None, typer.Argument(metavar="TRIGGER", help="Only this trigger: its id, its slot, or its task.")
    ] = None,
    app: AppArgument = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Also triggers that do not listen to this.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say why an event, or what an invocation did, fired a trigger or not.

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
        lines.append(Text(f"  counts for nothing: {found.void}", "yellow"))
    deaf = [one for one in found.explanations if one.outcome == "not listening"]
    for one in found.explanations:
        if every or one not in deaf:
            lines += ["", *_trigger_lines(one)]
    if deaf and not every:
        lines += ["", _silence(found.source, len(deaf), len(found.explanations) - len(deaf))]
    if not found.explanations:
        lines += ["", "No trigger was ever declared: start a runner (trigger-engine run)."]
    return lines


def _silence(source: str, deaf: int, listening: int) -> str:
    """A word about the triggers that are not shown."""
    if not listening:
        rest = "the only one listens" if deaf == 1 else f"all {deaf} listen"
        return f"No trigger listens to {source}; {rest} to other things (--all shows {'it' if deaf == 1 else 'them'})."
    return f"{deaf} more {'trigger listens' if deaf == 1 else 'triggers listen'} to other things (--all)."


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


def _answer_line(answer: Answer) -> Text:
    said = _SAYS[answer.passed]
    return Text.assemble(
        "    ", (f"{said:<4}", "red" if answer.passed is False else ""), f"{answer.what} {answer.text}"
    )
