"""The settings of the SQLite backend."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class SQLiteSettings(msgspec.Struct, frozen=True):
    """The section `sqlite`.

    `synchronous`: with FULL every append survives a power loss; with NORMAL the newest ones may be lost; EXTRA is
    FULL plus a sync of the folder. `busy_timeout`: seconds to wait while another program holds the lock.
    """

    sqlite_db_path: str = "trigger_engine.db"
    synchronous: Literal["FULL", "NORMAL", "EXTRA"] = "FULL"
    busy_timeout: Annotated[float, msgspec.Meta(gt=0)] = 30.0
