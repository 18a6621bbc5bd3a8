"""Running a runner until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from trigger_engine._runtime.runner import Runner

logger = logging.getLogger(__name__)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def run_until_stopped(runner: Runner) -> None:
    """Runs until cancelled, or until SIGTERM or SIGINT. A second signal stops without waiting for running tasks.

    Installs signal handlers in the main thread only, and restores the previous ones. Raises the runner's error.
    """
    stop = asyncio.Event()
    with _stop_signals(stop, runner):
        try:
            async with runner:
                await _wait_for_any(stop.wait(), runner.wait_ended())
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if not stop.is_set() or (me is not None and me.cancelling()):
                raise
            # The signal cancelled the start; nobody cancelled the caller.


async def _wait_for_any(*waits: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


@contextmanager
def _stop_signals(stop: asyncio.Event, runner: Runner) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def received(name: str) -> None:
        if stop.is_set():
            logger.warning("%s again: stopping without waiting for tasks", name)
            runner.stop_now()
        else:
            logger.info("%s: stopping; no more work is claimed", name)
            stop.set()
            runner.stop_starting()

    previous = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    for number in _STOP_SIGNALS:
        _handle(loop, number, received)
    try:
        yield
    finally:
        for number, handler in previous.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _handle(loop: asyncio.AbstractEventLoop, number: signal.Signals, received: Callable[[str], None]) -> None:
    try:
        loop.add_signal_handler(number, received, number.name)
    except NotImplementedError:
        # Windows event loops have no signal handlers.
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(received, number.name))
