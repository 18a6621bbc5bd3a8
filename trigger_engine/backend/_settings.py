"""The base of the settings of backends that talk to a server."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that every backend on a server has.

    Keyword-only fields come last: keys of a subclass precede `timeout` unless the subclass is `kw_only` too.
    """

    timeout: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="How long a call keeps trying while the server cannot be used before it raises "
            "BackendUnavailable",
            extra={"unit": "seconds"},
        ),
    ] = 10.0
