"""The demo: starts a runner process, acts as the producer, and reports what happens.

`python sample.py [FOLDER]`; FOLDER holds the Markdown documents of the feed, by default this repository.
The exit code is 0 if every scenario succeeded, else 1.
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
    from demo_run import DemoRun
    from narration import Outcome

HERE = Path(__file__).resolve().parent
STOP_TIMEOUT = 10.0
BACKENDS = {
    "sqlite": "SQLiteTrigger",
    "redis": "RedisTrigger",
    "mongodb": "MongoTrigger",
    "rabbitmq": "RabbitMQTrigger",
}


def main() -> int:
    """Runs the demo. Imports the tasks only after setting the environment that they read."""
    options = _options()
    if not options.feed.is_dir():
        print(f"{options.feed} is not a folder: pass the folder that contains the feed", file=sys.stderr)
        return 2
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.environ["TRIGGER_ENGINE_CONFIG"] = str(HERE / "pyproject.toml")
    os.environ["TRIGGER_ENGINE__SQLITE__SQLITE_DB_PATH"] = str(output / "trigger_demo.db")
    os.environ["TRIGGER_DEMO_OUTPUT"] = str(output)
    if options.backend:
        os.environ["TRIGGER_ENGINE__TRIGGER_CLS"] = BACKENDS[options.backend]
    return asyncio.run(
        run_demo(
            options.feed.resolve(),
            output,
            start_runner=not options.no_runner,
            patience=options.patience,
            monitor_port=options.monitor,
        )
    )


async def run_demo(
    feed: Path, output: Path, *, start_runner: bool, patience: float, monitor_port: int | None = None
) -> int:
    """Runs all scenarios on the store in `output`; returns the exit code.

    With a monitor, the runner and the monitor stay up until Ctrl-C.
    """
    from demo_run import DemoRun
    from narration import Narrator
    from tasks import app

    narrator = Narrator(Console())
    log = output / "runner.log" if start_runner else None
    async with (
        app,
        app.history() as history,
        runner_process(log) as process,
        monitor_process(monitor_port, output / "monitor.log") as address,
    ):
        demo = DemoRun(
            app=app,
            history=history,
            narrator=narrator,
            edition=next_edition(output),
            feed=feed,
            output=output,
            patience=patience,
            is_running=lambda: process is None or process.returncode is None,
        )
        outcomes = await run_scenarios(demo)
        narrator.end(outcomes, demo.digest, log)
        if address is not None:
            narrator.stay(address)
            await wait_for_interrupt()
    stopped_cleanly = process is None or process.returncode == 0
    return 0 if stopped_cleanly and all(outcome.succeeded for outcome in outcomes) else 1


async def run_scenarios(demo: DemoRun) -> list[Outcome]:
    """Runs the scenarios in order, up to the first that fails."""
    from demo_run import ScenarioFailed
    from narration import Outcome
    from scenarios import SCENARIOS

    outcomes: list[Outcome] = []
    for number, scenario in enumerate(SCENARIOS, 1):
        if outcomes and not outcomes[-1].succeeded:
            outcomes.append(Outcome(scenario.title, scenario.shows, False, "not reached", 0.0))
            continue
        started = time.monotonic()
        demo.narrator.begin(number, scenario.title, scenario.shows)
        try:
            summary, succeeded = await scenario.run(demo), True
        except ScenarioFailed as exc:
            demo.narrator.failed(str(exc))
            summary, succeeded = "failed", False
        outcomes.append(Outcome(scenario.title, scenario.shows, succeeded, summary, time.monotonic() - started))
    return outcomes


@asynccontextmanager
async def runner_process(log: Path | None) -> AsyncIterator[asyncio.subprocess.Process | None]:
    """A runner in its own process, stopped at the end. With `log` None, a runner is up in another terminal."""
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
    """The monitor in its own process; gives its address, or None without a port."""
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
            output_line = (await process.stdout.readline()).decode()
            if "http" not in output_line:
                raise RuntimeError(f"the monitor did not start: see {log}")
            yield output_line[output_line.index("http") :].split()[0]
        finally:
            await _stop(process)


async def wait_for_interrupt() -> None:
    """Waits for Ctrl-C or SIGTERM."""
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
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()


def next_edition(output: Path) -> str:
    """The name of this run's edition: one more than the highest number in `output`."""
    taken = [int(path.name.removeprefix("edition-")) for path in output.glob("edition-[0-9][0-9][0-9]")]
    edition = f"edition-{max(taken, default=0) + 1:03}"
    (output / edition).mkdir(parents=True)
    return edition


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="A media pipeline built with triggers. Reports each step as it happens."
    )
    parser.add_argument("feed", nargs="?", type=Path, default=HERE.parents[1], help="folder of Markdown documents")
    parser.add_argument("--backend", choices=BACKENDS, help="where events are stored; default: see pyproject.toml")
    parser.add_argument("--output", type=Path, default=HERE / "output", help="folder for the store and the digests")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds to wait for each step")
    parser.add_argument("--no-runner", action="store_true", help="use a runner in another terminal")
    parser.add_argument(
        "--monitor",
        nargs="?",
        const=8765,
        type=int,
        metavar="PORT",
        help="also serve the monitor, and stay up until Ctrl-C",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
