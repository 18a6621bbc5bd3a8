"""What tasks do that they should not, on the event loop, in a thread and in a child process.

A module of its own, for the children import it. Each function of `RAISED` and `RETURNED` is declared three times, as
`async.NAME`, `thread.NAME` and `process.NAME`.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

from tests.support.apps import on_memory

app = on_memory(app_id="poison", process_workers=2, concurrency=40)


class Own(BaseException):
    pass


class NoWords(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __repr__(self) -> str:
        raise RuntimeError("no words at all")


class NoText(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307


class Leaving(Exception):
    def __str__(self) -> str:  # noqa: PLE0307
        sys.exit("leaving in the middle of a word")


class Endless(Exception):
    def __str__(self) -> str:
        return str(self)


class Unwilling:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


def raises_system_exit() -> None:
    sys.exit(3)


def raises_keyboard_interrupt() -> None:
    raise KeyboardInterrupt


def raises_generator_exit() -> None:
    raise GeneratorExit


def raises_its_own_base_exception() -> None:
    raise Own("enough")


def raises_what_has_no_words() -> None:
    raise NoWords


def raises_what_has_no_text() -> None:
    raise NoText


def raises_what_leaves() -> None:
    raise Leaving


def raises_what_is_endless() -> None:
    raise Endless


def raises_an_object() -> None:
    raise ValueError(object(), 2**80, "\ud800", {1, 2}, b"\xff")


def raises_the_unwilling() -> None:
    raise ValueError(Unwilling())


def raises_much() -> None:
    raise ValueError("x" * 10_000_000)


def raises_from_itself() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def raises_a_long_chain() -> None:
    error = ValueError("first")
    for number in range(3_000):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    raise error


def raises_a_deep_group() -> None:
    error: Exception = ValueError("innermost")
    for _ in range(2_000):
        error = ExceptionGroup("around", [error])
    raise error


def recurses() -> None:
    recurses()


RAISED: dict[Callable[[], None], str] = {
    raises_system_exit: "SystemExit",
    raises_keyboard_interrupt: "KeyboardInterrupt",
    raises_generator_exit: "GeneratorExit",
    raises_its_own_base_exception: "Own",
    raises_what_has_no_words: "NoWords",
    raises_what_has_no_text: "NoText",
    raises_what_leaves: "Leaving",
    raises_what_is_endless: "Endless",
    raises_an_object: "ValueError",
    raises_the_unwilling: "ValueError",
    raises_much: "ValueError",
    raises_from_itself: "ValueError",
    raises_a_long_chain: "ValueError",
    raises_a_deep_group: "ExceptionGroup",
    recurses: "RecursionError",
}
"""By function the name of what it raises."""


def returns_an_object() -> Any:
    return object()


def returns_a_function() -> Any:
    return returns_a_function


def returns_a_generator() -> Any:
    return (number for number in range(3))


def returns_the_unwilling() -> Any:
    return [Unwilling()]


def returns_half_a_letter() -> Any:
    return {"text": "\ud800"}


def returns_a_large_number() -> Any:
    return [2**64]


def returns_itself() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def returns_an_abyss() -> Any:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


RETURNED = (
    returns_an_object,
    returns_a_function,
    returns_a_generator,
    returns_the_unwilling,
    returns_half_a_letter,
    returns_a_large_number,
    returns_itself,
    returns_an_abyss,
)


def _asynchronous(function: Callable[[], Any]) -> Callable[[], Any]:
    async def call() -> Any:
        await asyncio.sleep(0)
        return function()

    return call


for poison in (*RAISED, *RETURNED):
    app.task(task_id=f"async.{poison.__name__}")(_asynchronous(poison))
    app.task(task_id=f"thread.{poison.__name__}", run_in="thread")(poison)
    app.task(task_id=f"process.{poison.__name__}", run_in="process")(poison)


@app.task(run_in="process")
def eat(mebibytes: int) -> int:
    return len(bytearray(mebibytes * 2**20))


@app.task(run_in="process")
def pid() -> int:
    return os.getpid()


@app.task(run_in="process")
def echo(value: Any) -> Any:
    return value
