"""`trigger-engine emit`: emits an event from the shell."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import typer

from trigger_engine._app.app import TriggerEngine
from trigger_engine._cli.app_loading import AppArgument, load_shared_app, looks_like_an_app
from trigger_engine._cli.failures import CommandFailed
from trigger_engine._cli.output import JsonOption, print_json
from trigger_engine._client.events import Event

command = typer.Typer(rich_markup_mode=None, add_completion=False)
_EXAMPLE = """write it like '{"user_id": "42"}'"""


@command.command()
def emit(
    app: AppArgument = None,
    event_code: Annotated[
        str | None, typer.Argument(metavar="EVENT_CODE", help="The event's code, such as user.login.")
    ] = None,
    payload: Annotated[
        str | None,
        typer.Argument(metavar="PAYLOAD", help="A JSON object, or - to read one from standard input."),
    ] = None,
    *,
    idempotency_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Only the first event with this key is recorded."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Emit an event and print its id. The event is then durable.

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
    """Splits the arguments into app, event code and payload; app and payload are optional.

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
            f"{word!r} is an app: add an event code after it, such as user.login; "
            f"if {word!r} is an event code, give the app before it"
        )
    return word


def parse_payload(written: str | None) -> Mapping[str, Any]:
    """Parses a payload. `-` reads standard input; None is an empty payload.

    Raises typer.BadParameter, or CommandFailed for invalid standard input.
    """
    if written is None:
        return {}
    try:
        return _json_object(sys.stdin.read() if written == "-" else written)
    except ValueError as exc:
        if written == "-":
            raise CommandFailed(f"standard input is not a valid payload: {exc}") from None
        raise typer.BadParameter(f"the payload {written!r}: {exc}") from None


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        payload = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise ValueError(f"it is not JSON ({exc}), {_EXAMPLE}") from None
    if not isinstance(payload, dict):
        raise ValueError(f"it is not a JSON object, {_EXAMPLE}")
    return payload


async def _emit(app: TriggerEngine, event: Event) -> str:
    async with app:
        return (await app.emit_events([event]))[0]
