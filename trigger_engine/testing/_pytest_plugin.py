"""The pytest plugin: the fixture `trigger_engine_test`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trigger_engine.testing._engine import TestEngine


@pytest.fixture
def trigger_engine_test() -> Callable[..., TestEngine]:
    """Creates TestEngines: call it with an app and TestEngine's options, and enter the result with `async with`."""
    from trigger_engine.testing._engine import TestEngine

    return TestEngine
