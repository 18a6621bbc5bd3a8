"""Apps on every backend; whatever history caches goes to the test's own folder."""

from pathlib import Path

import pytest

from tests.support.apps import make_app

__all__ = ["make_app"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
