"""The power fails at random instants under load: what was acknowledged is there, and runners go on.

All processes are stopped at once and their files copied. Of what lies in the copy only that is sure which was synced:
SQLite syncs a commit before it tells the other processes of it in the shared index (`-shm`), and only then lets another
one write. So everything that the write-ahead log holds after the last frame of that index may be missing or torn, and
so may every page of the file that the write-ahead log holds too, while that is being moved into the file.
"""

import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from tests.robustness.chaos.fleet import Fleet
from tests.support.reading import entries
from tests.support.waiting import wait_until, wait_until_true
from trigger_engine import TriggerEngine
from trigger_engine._audit.auditing import audit
from trigger_engine._engine.validity import Validity
from trigger_engine._model.entries import AnyEntry, EventEmitted, TriggerFired

SEED = 20_261_124
INSTANTS = 12
STATES = 4
EVENTS = 100_000
PAGE, WAL_HEADER, FRAME_HEADER = 4096, 32, 24
GONE_ON = 3
"""After how many instants a runner goes on with a copy."""


class Instant(NamedTuple):
    """The files as they were, and the ids of the events that had been acknowledged."""

    folder: Path
    acknowledged: list[str]


@pytest.mark.chaos
@pytest.mark.timeout(400)
async def test_a_power_loss_loses_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(SEED)
    instants = list(_fail_again_and_again(tmp_path, chance))
    torn = moved = 0
    for number, instant in enumerate(instants):
        for state in range(STATES):
            folder = tmp_path / f"state-{number}-{state}"
            shutil.copytree(instant.folder, folder)
            torn += _tear_log(folder / "chaos.db", chance)
            moved += _tear_pages(folder / "chaos.db", chance)
            _tear_index(folder / "chaos.db", state, chance)
            await _check(folder, instant.acknowledged, monkeypatch, goes_on=number % GONE_ON == 0 and state == 0)
            shutil.rmtree(folder)
    acknowledged = [len(instant.acknowledged) for instant in instants]
    assert acknowledged == sorted(acknowledged)
    assert acknowledged[-1] > acknowledged[0] + INSTANTS
    assert torn, "no instant found a commit that was not synced"
    assert moved, "no instant found the write-ahead log in use"


def _fail_again_and_again(tmp_path: Path, chance: random.Random) -> Iterator[Instant]:
    home = tmp_path / "running"
    home.mkdir()
    acknowledged = home / "acknowledged"
    with Fleet(home / "chaos.db", runners=0) as fleet, _processes(fleet, acknowledged) as processes:
        wait_until_true(acknowledged.exists, deadline=60)
        for number in range(INSTANTS):
            goal = acknowledged.stat().st_size + chance.randrange(6000)
            wait_until_true(partial(_is_larger, acknowledged, goal), deadline=60)
            for process in processes:
                assert process.poll() is None, "a process ended by itself"
                process.send_signal(signal.SIGSTOP)
            for process in processes:
                wait_until_true(partial(_is_stopped, process.pid))
            folder = tmp_path / f"instant-{number}"
            folder.mkdir()
            for suffix in ("", "-wal", "-shm"):
                if Path(f"{home}/chaos.db{suffix}").exists():
                    shutil.copy(f"{home}/chaos.db{suffix}", folder)
            yield Instant(folder, [line.split()[0] for line in acknowledged.read_text().splitlines()])
            for process in processes:
                process.send_signal(signal.SIGCONT)


@contextmanager
def _processes(fleet: Fleet, acknowledged: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    started = [fleet.start("power_loss_process", "runner") for _ in range(2)]
    started += [fleet.start("power_loss_process", "emitter", str(EVENTS), str(acknowledged))]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def _is_larger(file: Path, size: int) -> bool:
    return file.stat().st_size > size


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _synced(path: Path) -> int:
    """How many frames of the write-ahead log are sure to be on the disk."""
    index = Path(f"{path}-shm")
    frames = struct.unpack_from("=I", index.read_bytes(), 16)[0] if index.exists() else 0
    log = Path(f"{path}-wal")
    size = log.stat().st_size if log.exists() else 0
    return min(int(frames), max(size - WAL_HEADER, 0) // (FRAME_HEADER + PAGE))


def _tear_log(path: Path, chance: random.Random) -> bool:
    """Cuts the write-ahead log off somewhere after what is synced, or leaves other bytes there.

    Says whether a commit was under way there.
    """
    log = Path(f"{path}-wal")
    frames = _synced(path)
    if not frames:
        return False
    sure = WAL_HEADER + frames * (FRAME_HEADER + PAGE)
    data = log.read_bytes()
    cut = chance.randrange(sure, len(data) + 1)
    rest = chance.choice([b"", chance.randbytes(len(data) - cut), bytes(len(data) - cut)])
    log.write_bytes(data[:cut] + rest)
    return data[sure + 8 : sure + 16] == data[16:24]


def _tear_pages(path: Path, chance: random.Random) -> bool:
    """Overwrites some of the file's pages that the write-ahead log has, as a loss in the middle of moving them does."""
    log = Path(f"{path}-wal")
    frames = _synced(path)
    if not frames:
        return False
    data, salts = log.read_bytes(), log.read_bytes()[16:24]
    starts = range(WAL_HEADER, WAL_HEADER + frames * (FRAME_HEADER + PAGE), FRAME_HEADER + PAGE)
    assert all(data[start + 8 : start + 16] == salts for start in starts)
    pages = sorted({struct.unpack_from(">I", data, start)[0] for start in starts})
    with path.open("r+b") as file:
        for page in chance.sample(pages, min(len(pages), 5)):
            file.seek((page - 1) * PAGE + chance.randrange(PAGE // 2))
            file.write(chance.randbytes(PAGE // 2))
    return True


def _tear_index(path: Path, state: int, chance: random.Random) -> None:
    """The index is never synced: it is as it was, or gone, or anything."""
    index = Path(f"{path}-shm")
    if state % 3 == 1:
        index.unlink(missing_ok=True)
    elif state % 3 == 2 and index.exists():
        index.write_bytes(chance.randbytes(index.stat().st_size))


async def _check(folder: Path, acknowledged: list[str], monkeypatch: pytest.MonkeyPatch, *, goes_on: bool) -> None:
    with closing(sqlite3.connect(folder / "chaos.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    monkeypatch.setenv("CHAOS_DATABASE", str(folder / "chaos.db"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    app = _app()
    async with app:
        stored = [entry.id for entry in await entries(app) if isinstance(entry, EventEmitted)]
        assert len(stored) == len(set(stored))
        assert set(acknowledged) <= set(stored), f"{len(set(acknowledged) - set(stored))} events are lost"
        assert (await audit(app)).violations == ()
        if goes_on:
            async with app.runner():
                await wait_until(lambda: _all_has_ended(app), deadline=120)
            assert (await audit(app)).violations == ()


def _app() -> TriggerEngine:
    sys.modules.pop("tests.robustness.chaos.chaos_tasks", None)
    module: ModuleType = __import__("tests.robustness.chaos.chaos_tasks", fromlist=["app"])
    app = module.app
    assert isinstance(app, TriggerEngine)
    return app


async def _all_has_ended(app: TriggerEngine) -> bool:
    log = await entries(app)
    return not _open(log) and not _unanswered(log)


def _open(log: list[AnyEntry]) -> bool:
    validity = Validity(track_keys=False)
    for position, entry in enumerate(log, start=1):
        validity.read(position, entry)
    return bool(validity.open)


def _unanswered(log: list[AnyEntry]) -> set[str]:
    events = {e.id for e in log if isinstance(e, EventEmitted) and e.event_code in {"order", "shipped"}}
    return events - {p.entry_id for e in log if isinstance(e, TriggerFired) for p in e.participants}
