"""The procedure that measures peers, on a queue of a few lines, so that no other project is needed."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.peers import running
from benchmarks.peers.environments import HERE, NoPython, runnable
from benchmarks.peers.running import PEERS, PROGRAMS, NotMeasured, Peer

FAKE = """
import os, sqlite3, sys, time
from counting import count
from producing import from_threads

def connect():
    database = sqlite3.connect(os.environ["PEER_FOLDER"] + "/queue.db", isolation_level=None, timeout=30)
    database.execute("CREATE TABLE IF NOT EXISTS tasks (what TEXT)")
    return database

def produce(tasks, what="plain"):
    from_threads(lambda: connect().execute("INSERT INTO tasks VALUES (?)", (what,)), tasks, threads=min(2, tasks))

if __name__ == "__main__":
    database = connect()
    if os.path.exists("deaf"):
        os.remove("deaf")
        time.sleep(60)
    while True:
        for what, in database.execute("DELETE FROM tasks RETURNING what").fetchall():
            assert what == "events"
            count()
        time.sleep(0.001)
"""


@pytest.mark.parametrize("name", sorted({peer.name for peer in PEERS}))
def test_packages_of_a_peer_are_pinned(name: str) -> None:
    lines = (HERE / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    needed = [line for line in lines if not line.startswith("#")]
    assert needed
    assert [line for line in needed if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


@pytest.mark.parametrize("name", sorted({peer.name for peer in PEERS}))
def test_program_of_a_peer_names_its_documentation(name: str) -> None:
    source = (PROGRAMS / f"{name}_peer.py").read_text(encoding="utf-8")
    compile(source, name, "exec")
    assert "\nDocumentation: https://" in source
    assert "\ndef produce(" in source


def test_case_names_are_unique() -> None:
    cases = [peer.case for peer in PEERS]
    assert len(set(cases)) == len(cases)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "programs"
    shutil.copytree(PROGRAMS, programs)
    (programs / "fake_peer.py").write_text(FAKE, encoding="utf-8")
    environment = tmp_path / "bin"
    environment.mkdir()
    (environment / "python").symlink_to(sys.executable)
    monkeypatch.setattr(running, "PROGRAMS", programs)
    monkeypatch.setattr(running, "environment", lambda name, python: environment)
    return programs


def test_rate_is_measured_from_the_first_call_to_the_last_end(fake: Path) -> None:
    peer = Peer("fake", "python fake_peer.py", "SQLite", 50, ("events",), "runs/s")
    assert peer.case == "fake, SQLite, event to finished run"
    assert running.rate(peer, 50, "python3") > 0


def test_worker_that_ends_is_reported_with_its_output(fake: Path) -> None:
    with pytest.raises(NotMeasured, match=r"the worker is not ready(.|\n)*AssertionError"):
        running.rate(Peer("fake", "python fake_peer.py", "SQLite", 5), 5, "python3")


def test_producer_that_fails_is_reported_with_its_output(fake: Path) -> None:
    with pytest.raises(NotMeasured, match="positional"):
        running.rate(Peer("fake", "python fake_peer.py", "SQLite", 5, ("too", "many")), 5, "python3")


def test_worker_that_loses_its_first_task_is_started_again(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_START_PATIENCE", 5.0)
    (fake / "deaf").touch()
    assert running.rate(Peer("fake", "python fake_peer.py", "SQLite", 5, ("events",)), 5, "python3") > 0
    assert not (fake / "deaf").exists()


def test_peer_that_fails_is_reported_and_left_out(
    fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    works = Peer("fake", "python fake_peer.py", "SQLite", 5, ("events",))
    fails = Peer("broken", "python fake_peer.py", "SQLite", 5)
    monkeypatch.setattr(peers, "PEERS", (fails, works))
    monkeypatch.setattr(peers, "BACKENDS", {})
    monkeypatch.setattr(peers, "rate_of", lambda place, work, count: 1.0)
    figures = {figure.case: figure for figure in peers.measure(small=True, names=["fake", "broken"], python="python3")}
    assert set(figures) > {works.case}
    assert fails.case not in figures
    assert figures["trigger-engine, beside the best of the others"].beside_what == "fake"
    assert f"{fails.case}: not measured" in capsys.readouterr().err


def test_missing_python_is_named() -> None:
    with pytest.raises(NoPython, match=r"python9\.99, and none here runs: .*--peer-python"):
        runnable("python9.99")


def shim(folder: Path, script: str) -> Path:
    folder.mkdir()
    program = folder / "python3.12"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def test_shim_that_does_not_run_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = shim(tmp_path / "shims", "echo not active >&2; exit 127")
    works = shim(tmp_path / "bin", "exit 0")
    monkeypatch.setenv("PATH", f"{broken.parent}:{works.parent}")
    assert runnable("python3.12") == str(works)
    monkeypatch.setenv("PATH", str(broken.parent))
    with pytest.raises(NoPython, match=f"{re.escape(str(broken))}: not active"):
        runnable("python3.12")
