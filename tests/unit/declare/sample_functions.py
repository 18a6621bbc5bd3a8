"""Filters and providers at module level, as users write them, and some invalid ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from trigger_engine._engine.contexts import EventContext, StatusContext, TriggerContext


def is_large(arguments: dict[str, Any]) -> bool:
    return bool(arguments.get("amount", 0) > 1000.0)


def needs_approval(result: dict[str, Any]) -> bool:
    return bool(result.get("amount", 0) > 5000.0)


def from_event(ctx: EventContext) -> dict[str, Any]:
    return dict(ctx.payload)


def from_status(ctx: StatusContext) -> dict[str, Any]:
    return {"x": ctx.invocation_id}


def from_everything(ctx: TriggerContext) -> dict[str, Any]:
    return {"count": len(ctx.contexts)}


def two_parameters(ctx: object, other: object) -> bool:
    return True


def no_parameter() -> bool:
    return True


async def coroutine(ctx: object) -> bool:
    return True


def generator(ctx: object) -> Iterator[bool]:
    yield True


def passing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@passing_on
def decorated(payload: dict[str, Any]) -> bool:
    return bool(payload)


@passing_on
async def decorated_coroutine(payload: dict[str, Any]) -> bool:
    return True


def make_nested() -> Callable[[object], bool]:
    def nested(ctx: object) -> bool:
        return True

    return nested


class Checks:
    def method(self, ctx: object) -> bool:
        return True

    @staticmethod
    def static(ctx: object) -> bool:
        return True

    def __call__(self, ctx: object) -> bool:
        return True


nested = make_nested()
partial = functools.partial(two_parameters, 1)
anonymous = lambda ctx: True  # noqa: E731
cached = functools.lru_cache(is_large)
