"""The pytest plugin: the fixture `trigger_engine_test`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trigger_engine.testing.engine import TestEngine


@pytest.fixture
def trigger_engine_test() -> Callable[..., TestEngine]:
    """Makes TestEngines that take an app and the options of TestEngine, to be entered by `async with`."""
    from trigger_engine.testing.engine import TestEngine

    return TestEngine
