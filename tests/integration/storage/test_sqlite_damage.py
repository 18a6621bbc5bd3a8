"""A damaged SQLite file raises only errors of this package, and they name the file."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.integration.storage.sqlite_files import open_log, query
from tests.support.files import immutable
from trigger_engine.backend._contract import Checkpoint, EventLog
from trigger_engine.errors import BackendUnavailable, SerializationError, TriggerEngineError
from trigger_engine.testing.conformance._claiming import claim, claim_one
from trigger_engine.testing.conformance._harness import append
from trigger_engine.testing.conformance._sample_entries import (
    elected,
    event,
    registration,
    retried,
    runner_facts,
    succeeded,
)

Step = Callable[[EventLog], Awaitable[Any]]
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    path.write_bytes(full_file())
    return path


@cache
def full_file() -> bytes:
    """The bytes of a file with rows in every table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.db")
        asyncio.run(_fill(path))
        assert all(query(path, f"SELECT 1 FROM {table} LIMIT 1") for table in columns())
        return path.read_bytes()


async def _fill(path: Path) -> None:
    async with await open_log(path) as log:
        term = await append(log, elected("l1"))
        await append(log, *(event(f"e{n}", keyed=True, time=4e9) for n in range(40)), registration("done"))
        await append(log, succeeded(await claim_one(log)))
        await append(log, registration("again"))
        await append(log, retried(await claim_one(log), 4e9))
        await append(log, registration("held"))
        await claim_one(log)
        await append(log, registration("waiting"), registration("elsewhere", queue="slow"))
        await log.heartbeat(runner_facts(), ttl=60)
        await log.heartbeat(runner_facts("runner-2"), ttl=60)
        assert await log.acquire("match", "runner-1", ttl=60)
        tail = await log.tail()
        assert await log.save_checkpoint("match", Checkpoint(term, tail, b"state"))
        await log.trim((await log.follow(await log.start(), limit=20)).cursor, keys_before=0)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (PAGE,)


def columns() -> dict[str, list[str]]:
    """The columns that are read, by table."""
    return {
        "apps": ["log_id", "tail", "trimmed"],
        "entries": ["id", "key_used_at", "data"],
        "keys": ["id", "position", "used_at"],
        "invocations": [
            *("id", "task_id", "queue", "status", "attempt", "claim_id", "runner_id", "recoveries", "not_before"),
            *("changed_at", "ready_in", "delayed_until", "registration", "latest"),
        ],
        "terms": ["name", "position"],
        "leases": ["owner", "expires_at", "ttl", "boot_id", "locked"],
        "runners": ["facts", "last_seen", "expires_at", "ttl", "boot_id"],
        "checkpoints": ["position", "entry_id", "term", "data"],
    }


async def _read(log: EventLog) -> None:
    cursor = await log.start()
    while (batch := await log.follow(cursor, limit=7)).entries:
        assert batch.cursor.position > cursor.position, "a damaged file must not make a reader loop for ever"
        cursor = batch.cursor


async def _append(log: EventLog) -> None:
    await append(log, event("new"), registration("new call"))


async def _work(log: EventLog) -> None:
    claims = await claim(log, "runner-1", queues=())
    await log.append([(succeeded(each),) for each in (*claims.started, *claims.stranded)])


async def _lead(log: EventLog) -> None:
    await log.release("match", "runner-1")
    await log.acquire("match", "runner-3", ttl=1)
    await log.save_checkpoint("match", Checkpoint(await append(log, elected("l2")), await log.tail(), b"more"))


async def _trim(log: EventLog) -> None:
    await log.trim((await log.follow(await log.start(), limit=10)).cursor, keys_before=0)


STEPS: dict[str, Step] = {
    "read": _read,
    "append": _append,
    "work": _work,
    "look at an invocation": lambda log: log.invocation("held"),
    "look at runners": lambda log: log.runners(),
    "look for orphans": lambda log: log.orphans(),
    "beat": lambda log: log.heartbeat(runner_facts("runner-3"), ttl=60),
    "lead": _lead,
    "load a checkpoint": lambda log: log.load_checkpoint("match"),
    "trim": _trim,
    "empty": lambda log: log.clear(),
}

odd_values = st.sampled_from([None, 0, -1, 2**63 - 1, 1e300, "", "text", b"", b"\x01\x91\xa5event", b"\x01" * 30])
damages = st.lists(
    st.tuples(
        st.integers(0, 2**20), st.binary(min_size=1, max_size=40) | st.integers(1, PAGE).map(lambda n: b"\xa5" * n)
    ),
    min_size=1,
    max_size=6,
)
steps = st.sampled_from(list(STEPS))
cells = st.sampled_from([(table, column) for table, names in columns().items() for column in names])


@given(damage=damages, step=steps)
@settings(max_examples=150)
def test_overwritten_bytes_raise_only_errors_of_this_package(damage: list[tuple[int, bytes]], step: str) -> None:
    data = bytearray(full_file())
    for offset, written in damage:
        start = offset % len(data)
        data[start : start + len(written)] = written[: len(data) - start]
    _try(bytes(data), step)


@given(cell=cells, value=odd_values, step=steps)
@settings(max_examples=150)
@example(cell=("apps", "tail"), value="text", step="append")
@example(cell=("entries", "data"), value=0, step="read")
@example(cell=("invocations", "delayed_until"), value="", step="work")
@example(cell=("invocations", "ready_in"), value=0, step="work")
@example(cell=("invocations", "status"), value="text", step="work")
@example(cell=("runners", "facts"), value=b"", step="look for orphans")
def test_unexpected_values_raise_only_errors_of_this_package(cell: tuple[str, str], value: object, step: str) -> None:
    table, column = cell
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.db")
        path.write_bytes(full_file())
        with closing(sqlite3.connect(path)) as connection, suppress(sqlite3.IntegrityError):
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (value,))
            connection.commit()
        changed = path.read_bytes()
    _try(changed, step)


def _try(data: bytes, step: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.db")
        path.write_bytes(data)
        asyncio.run(_run(path, STEPS[step]))


async def _run(path: Path, step: Step) -> None:
    try:
        async with await open_log(path, busy_timeout=1.0, synchronous="NORMAL") as log:
            await step(log)
    except TriggerEngineError as exc:
        message = str(exc)
    else:
        return
    assert str(path) in message


@pytest.mark.parametrize(
    ("change", "step", "message"),
    [
        ("UPDATE entries SET data = x'ff'", "read", r"position 20: .* encoding version 255"),
        ("UPDATE entries SET data = 7", "read", "position 20: expected a log entry, found int.* restore a backup"),
        ("UPDATE invocations SET status = 'lost'", "look at an invocation", "the invocation registered at .*'lost'"),
        ("UPDATE runners SET facts = x'00'", "look at runners", "the row of a runner cannot be read"),
        ("UPDATE apps SET tail = 'far'", "append", "the row of the app 'shop' cannot be read"),
    ],
)
async def test_error_names_what_cannot_be_read(path: Path, change: str, step: str, message: str) -> None:
    query(path, change)
    with pytest.raises(SerializationError, match=f"{path}: {message}"):
        async with await open_log(path) as log:
            await STEPS[step](log)


@pytest.mark.parametrize("step", ["append", "read"])
async def test_app_removed_by_another_program_starts_a_new_log(path: Path, step: str) -> None:
    async with await open_log(path) as log:
        await append(log, event("a"))
        query(path, "DELETE FROM apps")
        with pytest.raises(BackendUnavailable, match=f"has removed the app 'shop' from {path}"):
            await STEPS[step](log)
        await STEPS[step](log)
        assert (await log.start()).log_id


async def test_read_only_file_works_again_once_it_is_writable(path: Path) -> None:
    with immutable(path):
        log = await open_log(path)
        with pytest.raises(BackendUnavailable, match="cannot be written"):
            await append(log, event("a"))
    await append(log, event("a"))
    await log.close()
    assert query(path, "SELECT 1 FROM entries WHERE id = 'a'")
