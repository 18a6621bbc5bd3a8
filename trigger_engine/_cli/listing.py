"""Shared by the listing commands: options, and reading pages of history."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer

from trigger_engine._app.app import TriggerEngine
from trigger_engine._cli.app_loading import load_shared_app
from trigger_engine._cli.output import Column, print_json, print_table
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import HistoryRecord, Page

R = TypeVar("R", bound=HistoryRecord)
Ask = Callable[[History, int, str | None], Awaitable[Page[R]]]
"""Returns a page: takes the history, the maximum number of records, and a cursor."""

_PAGE = 500
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_TOKEN = re.compile(r"(?:event|trigger-run|invocation|trigger|runner):(?=.)")

SinceOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="The earliest time: an ISO time, or an age such as 90s, 15m, 2h, 7d.")
]
UntilOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="The end of the time range: an ISO time, or an age.")
]
LimitOption = Annotated[int, typer.Option(metavar="N", min=0, help="The maximum number of records; 0 for all.")]
CursorOption = Annotated[str | None, typer.Option(metavar="CURSOR", help="Continue where an earlier list ended.")]


def parse_time(text: str | None, option: str) -> datetime | None:
    """Parses an ISO time (local time zone by default) or an age. Raises typer.BadParameter."""
    if text is None:
        return None
    now = datetime.now().astimezone()
    try:
        if age := _AGE.fullmatch(text.strip()):
            return now - timedelta(seconds=float(age[1]) * _UNITS[age[2]])
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{option} {text!r} is not a time: give an ISO time such as {now:%Y-%m-%dT%H:%M}, or an age such as 2h"
        ) from None


def plain_id(text: str) -> str:
    """Removes the prefix of a token such as `event:<id>`."""
    return _TOKEN.sub("", text, count=1)


def optional_id(text: str | None) -> str | None:
    """Like `plain_id`, for an optional value."""
    return None if text is None else plain_id(text)


def list_records(
    target: str | None,
    what: str,
    ask: Ask[R],
    *,
    columns: Sequence[Column],
    row: Callable[[R], Sequence[str]],
    as_json: bool,
    limit: int,
    cursor: str | None,
) -> None:
    """Prints the records that `ask` returns, newest first. `what`: the command's name."""
    app = load_shared_app(target, what)
    records, more = asyncio.run(_collect(app, ask, limit, cursor))
    if as_json:
        print_json(*records)
    else:
        print_table(columns, [row(record) for record in records], empty=f"No {what}.")
    if more is not None:
        typer.echo(f"There are more: add --cursor {more}", err=True)


async def with_history(app: TriggerEngine, ask: Callable[[History], Awaitable[Any]]) -> Any:
    """Returns the result of a query of the app's history."""
    async with app, app.history() as history:
        return await ask(history)


async def _collect(app: TriggerEngine, ask: Ask[R], limit: int, cursor: str | None) -> tuple[list[R], str | None]:
    found: list[R] = []
    async with app, app.history() as history:
        while True:
            wanted = min(limit - len(found), _PAGE) if limit else _PAGE
            page = await ask(history, wanted, cursor)
            found += page
            cursor = page.next_cursor
            if cursor is None or len(found) == limit:
                return found, cursor
