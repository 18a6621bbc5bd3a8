"""The Lua scripts. Each runs atomically on the server."""

from __future__ import annotations

from hashlib import sha1
from importlib.resources import files

import msgspec

from trigger_engine.backend import EMPTY_MAP, HELD, MOVES, WAITING, InvocationStatus, Started, encode_entry

NAMES = (
    "meta",
    "entries",
    "ids",
    "used",
    "terms",
    "invocations",
    "ready",
    "delayed",
    "held",
    "kept",
    "bell",
    "leases",
    "runners",
    "checkpoints",
)
"""The names of an app's keys, in the order of the scripts' KEYS."""


class Script(msgspec.Struct, frozen=True):
    """A script's text, and the hash by which a server that has loaded it knows it."""

    text: str
    sha: str


def keys_of(prefix: str, app_id: str) -> list[str]:
    """An app's keys; the part in braces puts all of them into one slot of a cluster."""
    return [f"{{{prefix}:{app_id}}}:{name}" for name in NAMES]


def _lua_set(names: list[str]) -> str:
    return "{" + ", ".join(f"['{name}'] = true" for name in sorted(names)) + "}"


def _started_head() -> bytes:
    """The first bytes of every encoded `Started`, up to its id."""
    entry = Started(
        id="", time=0.0, invocation_id="", task_id="", arguments=EMPTY_MAP, attempt=1, claim_id="", runner_id=None
    )
    data = encode_entry(entry)
    return data[: data.index(msgspec.msgpack.encode("started")) + len(msgspec.msgpack.encode("started"))]


def _tables() -> str:
    """The life cycle of an invocation as Lua tables, generated from the one definition in Python."""
    moves: dict[str, list[str]] = {}
    for (before, kind), after in MOVES.items():
        moves.setdefault(before, []).append(f"['{kind.__struct_config__.tag}'] = '{after}'")
    by_status = ", ".join(f"['{before}'] = {{{', '.join(found)}}}" for before, found in moves.items())
    head = "".join(f"\\{byte:03}" for byte in _started_head())
    return (
        f"local MOVES = {{{by_status}}}\n"
        f"local WAITING = {_lua_set(list(WAITING))}\n"
        f"local HOLDING = {_lua_set(list(HELD))}\n"
        f"local FINAL = {_lua_set([each for each in InvocationStatus if each.is_final])}\n"
        f"local STARTED_HEAD = '{head}'\n"
    )


def _script(name: str) -> Script:
    folder = files("trigger_engine_redis").joinpath("lua")
    text = _tables() + "".join(folder.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in ("prelude", name))
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


APPEND = _script("append")
CLAIM = _script("claim")
INVOCATION = _script("invocation")
ORPHANS = _script("orphans")
HEARTBEAT = _script("heartbeat")
RUNNERS = _script("runners")
ACQUIRE = _script("acquire")
RELEASE = _script("release")
SAVE_CHECKPOINT = _script("save_checkpoint")
TRIM = _script("trim")
CLEAR = _script("clear")
