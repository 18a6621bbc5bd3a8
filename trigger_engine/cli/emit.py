"""`trigger-engine emit`: one event from the shell."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import typer

from trigger_engine.app import TriggerEngine
from trigger_engine.cli.app_loading import AppArgument, load_shared_app, looks_like_an_app
from trigger_engine.cli.failures import CommandFailed
from trigger_engine.cli.output import JsonOption, print_json
from trigger_engine.event import Event

command = typer.Typer(rich_markup_mode=None, add_completion=False)
_MEND = """write it like '{"user_id": "42"}'"""


@command.command()
def emit(
    app: AppArgument = None,
    event_code: Annotated[str | None, typer.Argument(metavar="EVENT_CODE", help="Such as user.login.")] = None,
    payload: Annotated[
        str | None,
        typer.Argument(metavar="PAYLOAD", help="A JSON object, or - to read one from standard input."),
    ] = None,
    *,
    idempotency_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The first event with this key counts, others add nothing."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Emit an event and print its id; it is durable then.

    trigger-engine emit tasks:app user.login '{"user_id": "42"}'
    """
    target, code, written = split_words([word for word in (app, event_code, payload) if word is not None])
    event = Event(code, parse_payload(written), idempotency_key)
    event_id = asyncio.run(_emit(load_shared_app(target, "emit"), event))
    if as_json:
        print_json({"event_id": event_id, "event_code": code})
    else:
        typer.echo(event_id)


def split_words(words: list[str]) -> tuple[str | None, str, str | None]:
    """App, event code and payload of what was given: the app may be left out, and the payload too.

    Raises typer.BadParameter.
    """
    match words:
        case [code]:
            return None, _event_code(code), None
        case [code, written] if written == "-" or written.lstrip()[:1] in ("{", "["):
            return None, _event_code(code), written
        case [target, code]:
            return target, code, None
        case [target, code, written]:
            return target, code, written
        case _:
            raise typer.BadParameter("give an event code, such as user.login")


def _event_code(word: str) -> str:
    if looks_like_an_app(word):
        raise typer.BadParameter(
            f"{word!r} names an app and no event: give an event code after it, such as user.login; "
            f"where {word!r} is the code of an event, name the app before it"
        )
    return word


def parse_payload(written: str | None) -> Mapping[str, Any]:
    """The payload as written, `-` for standard input, None for an empty one.

    Raises typer.BadParameter, and CommandFailed for what standard input holds.
    """
    if written is None:
        return {}
    try:
        return _json_object(sys.stdin.read() if written == "-" else written)
    except ValueError as exc:
        if written == "-":
            raise CommandFailed(f"standard input is not a payload: {exc}") from None
        raise typer.BadParameter(f"the payload {written!r}: {exc}") from None


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        payload = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise ValueError(f"it is not JSON ({exc}), {_MEND}") from None
    if not isinstance(payload, dict):
        raise ValueError(f"it is no JSON object, {_MEND}")
    return payload


async def _emit(app: TriggerEngine, event: Event) -> str:
    async with app:
        return (await app.emit_events([event]))[0]
