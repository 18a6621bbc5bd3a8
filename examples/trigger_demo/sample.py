"""The demo: starts a runner process, plays the producer, and tells what happens.

`python sample.py [FOLDER]`; FOLDER holds the Markdown documents of the feed, by default this repository.
Exits 0 when every scenario happened, else 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from narration import Outcome
    from stage import Stage

HERE = Path(__file__).resolve().parent
STOPPING = 10.0
BACKENDS = {
    "sqlite": "SQLiteTrigger",
    "redis": "RedisTrigger",
    "mongodb": "MongoTrigger",
    "rabbitmq": "RabbitMQTrigger",
}


def main() -> int:
    """Runs the demo; the tasks are imported once it is known where their output goes."""
    options = _options()
    if not options.feed.is_dir():
        print(f"{options.feed} is not a folder: give the folder that holds the feed", file=sys.stderr)
        return 2
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.environ["TRIGGER_ENGINE_CONFIG"] = str(HERE / "pyproject.toml")
    os.environ["TRIGGER_ENGINE__SQLITE__SQLITE_DB_PATH"] = str(output / "trigger_demo.db")
    os.environ["TRIGGER_DEMO_OUTPUT"] = str(output)
    if options.backend:
        os.environ["TRIGGER_ENGINE__TRIGGER_CLS"] = BACKENDS[options.backend]
    return asyncio.run(
        perform(
            options.feed.resolve(),
            output,
            start_runner=not options.no_runner,
            patience=options.patience,
            monitor_port=options.monitor,
        )
    )


async def perform(
    feed: Path, output: Path, *, start_runner: bool, patience: float, monitor_port: int | None = None
) -> int:
    """Plays all scenarios on the store of `output`; returns the exit code.

    With a monitor, runner and monitor stay up until Ctrl-C.
    """
    from narration import Narrator
    from stage import Stage
    from tasks import app

    narrator = Narrator(Console())
    log = output / "runner.log" if start_runner else None
    async with (
        app,
        app.history() as history,
        runner_process(log) as process,
        monitor_process(monitor_port, output / "monitor.log") as address,
    ):
        stage = Stage(
            app=app,
            history=history,
            narrator=narrator,
            edition=next_edition(output),
            feed=feed,
            output=output,
            patience=patience,
            is_running=lambda: process is None or process.returncode is None,
        )
        outcomes = await play(stage)
        narrator.end(outcomes, stage.digest, log)
        if address is not None:
            narrator.stay(address)
            await interrupted()
    stopped_well = process is None or process.returncode == 0
    return 0 if stopped_well and all(outcome.happened for outcome in outcomes) else 1


async def play(stage: Stage) -> list[Outcome]:
    """Plays the scenarios in turn, up to the first that does not happen."""
    from narration import Outcome
    from scenarios import SCENARIOS
    from stage import DidNotHappen

    outcomes: list[Outcome] = []
    for number, scenario in enumerate(SCENARIOS, 1):
        if outcomes and not outcomes[-1].happened:
            outcomes.append(Outcome(scenario.title, scenario.shows, False, "not reached", 0.0))
            continue
        begun = time.monotonic()
        stage.narrator.begin(number, scenario.title, scenario.shows)
        try:
            told, happened = await scenario.play(stage), True
        except DidNotHappen as exc:
            stage.narrator.failed(str(exc))
            told, happened = "did not happen", False
        outcomes.append(Outcome(scenario.title, scenario.shows, happened, told, time.monotonic() - begun))
    return outcomes


@asynccontextmanager
async def runner_process(log: Path | None) -> AsyncIterator[asyncio.subprocess.Process | None]:
    """A runner in a process of its own, stopped at the end; with `log` None one runs in another terminal."""
    if log is None:
        yield None
        return
    with log.open("ab") as written:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trigger_engine", "run", "tasks:app", cwd=HERE, stdout=written, stderr=written
        )
        try:
            yield process
        finally:
            await _stop(process)


@asynccontextmanager
async def monitor_process(port: int | None, log: Path) -> AsyncIterator[str | None]:
    """The monitor in a process of its own, and its address; None without a port."""
    if port is None:
        yield None
        return
    with log.open("ab") as written:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trigger_engine", "monitor", "tasks:app", "--port", str(port)),
            cwd=HERE,
            stdout=asyncio.subprocess.PIPE,
            stderr=written,
        )
        try:
            assert process.stdout is not None
            said = (await process.stdout.readline()).decode()
            if "http" not in said:
                raise RuntimeError(f"the monitor did not start, {log} says why")
            yield said[said.index("http") :].split()[0]
        finally:
            await _stop(process)


async def interrupted() -> None:
    """Returns at Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOPPING)
    except TimeoutError:
        process.kill()
        await process.wait()


def next_edition(output: Path) -> str:
    """The name of this performance: one more than the folders of those before."""
    taken = [int(path.name.removeprefix("edition-")) for path in output.glob("edition-[0-9][0-9][0-9]")]
    edition = f"edition-{max(taken, default=0) + 1:03}"
    (output / edition).mkdir(parents=True)
    return edition


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A media pipeline on triggers, narrated as it happens.")
    parser.add_argument("feed", nargs="?", type=Path, default=HERE.parents[1], help="folder of Markdown documents")
    parser.add_argument("--backend", choices=BACKENDS, help="where events are kept; else as pyproject.toml says")
    parser.add_argument("--output", type=Path, default=HERE / "output", help="where the store and the digests go")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds that anything awaited may take")
    parser.add_argument("--no-runner", action="store_true", help="a runner is up in another terminal")
    parser.add_argument(
        "--monitor",
        nargs="?",
        const=8765,
        type=int,
        metavar="PORT",
        help="show it all in a browser too, and stay up until Ctrl-C",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
