"""Every key of `[tool.trigger_engine]`: type, limits, default, unit, meaning; docs/configuration.md lists the same."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

YEAR = 365 * 86400
MIB = 2**20

_ONE_NAME = {"allowed": "a name of 1 to 200 printable characters, without spaces at its ends"}
_CLASS_NAME = {"allowed": "a name that begins with the family of trigger_cls, such as SQLite or Mem"}
_SECONDS = {"unit": "seconds"}
_DAYS = {"unit": "days"}
_BYTES = {"unit": "bytes"}

AppId = Annotated[str, Meta(pattern=r"\A(?!\s)[^\x00-\x1f\x7f]+(?<!\s)\Z", max_length=200)]
ModuleName = Annotated[str, Meta(pattern=r"\A[^\W\d]\w*(\.[^\W\d]\w*)*\Z")]
ImportPath = Annotated[str, Meta(pattern=r"\A([^\W\d]\w*(\.[^\W\d]\w*)*|[^\x00]*\.py):[^\W\d]\w*(\.[^\W\d]\w*)*\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Positive = Annotated[float, Meta(gt=0, le=YEAR)]
NotNegative = Annotated[float, Meta(ge=0, le=YEAR)]
Count = Annotated[int, Meta(ge=1, le=10**9)]
CountOrZero = Annotated[int, Meta(ge=0, le=10**9)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one app, outside the backend's own section. Durations are seconds unless the key says days.

    Made by `load_config`, which checks every value; made directly, the values are taken as they are.
    """

    app_id: Annotated[
        AppId,
        Meta(
            description="The app's name: apps that share a store see only what carries their own id. "
            "Server backends demand that it is written here",
            extra=_ONE_NAME | {"default": "`[project].name`, else the folder's name"},
        ),
    ] = ""
    app: Annotated[
        ImportPath,
        Meta(
            description="The app that the command line loads when it is not named there",
            extra={"allowed": "an import path such as 'tasks:app' or 'path/to/tasks.py:app'", "default": "none"},
        ),
    ] = ""
    version: Annotated[
        str, Meta(description="The version of your code, shown with each runner", extra={"default": "none"})
    ] = ""

    trigger_cls: Annotated[
        Name,
        Meta(
            description="The backend: SQLiteTrigger, MemTrigger, RedisTrigger, MongoTrigger or RabbitMQTrigger",
            extra={"allowed": "the name of a backend, such as SQLiteTrigger"},
        ),
    ] = "SQLiteTrigger"
    orchestrator_cls: Annotated[
        Name,
        Meta(
            description="Accepted for the sake of older files; must name the family of `trigger_cls`",
            extra=_CLASS_NAME | {"default": "none"},
        ),
    ] = ""
    broker_cls: Annotated[
        Name, Meta(description="Like `orchestrator_cls`", extra=_CLASS_NAME | {"default": "none"})
    ] = ""
    state_backend_cls: Annotated[
        Name, Meta(description="Like `orchestrator_cls`", extra=_CLASS_NAME | {"default": "none"})
    ] = ""
    client_data_store_cls: Annotated[
        Name, Meta(description="Like `orchestrator_cls`", extra=_CLASS_NAME | {"default": "none"})
    ] = ""
    trigger_task_modules: Annotated[
        tuple[ModuleName, ...],
        Meta(
            description="Modules that declare tasks with triggers; a runner imports them before it judges anything",
            extra={"allowed": "a list of dotted module names, such as ['tasks']"},
        ),
    ] = ()

    runner_cls: Annotated[
        Literal["ThreadRunner", "ProcessRunner"],
        Meta(description="Where `def` tasks run: in threads, or in spawned child processes"),
    ] = "ThreadRunner"
    concurrency: Annotated[
        Count, Meta(description="Invocations that one runner works on at a time", extra={"unit": "invocations"})
    ] = 100
    process_workers: Annotated[
        CountOrZero,
        Meta(
            description="Child processes of one runner for `def` tasks; 0 stands for the number of CPUs",
            extra={"unit": "processes"},
        ),
    ] = 0
    queues: Annotated[
        tuple[Name, ...],
        Meta(
            description="Queues that a runner takes work from; empty: all of them",
            extra={"allowed": "a list of queue names"},
        ),
    ] = ()
    shutdown_timeout: Annotated[
        NotNegative,
        Meta(
            description="How long a stopping runner lets its invocations finish before it hands them back",
            extra=_SECONDS,
        ),
    ] = 30.0

    lease_ttl: Annotated[
        Positive, Meta(description="How long a silent leader keeps the lead before another takes over", extra=_SECONDS)
    ] = 5.0
    heartbeat_interval: Annotated[
        Positive, Meta(description="How often a runner says that it lives", extra=_SECONDS)
    ] = 2.0
    heartbeat_ttl: Annotated[
        Positive,
        Meta(
            description="How long a runner may be silent before its work is recovered; more than `heartbeat_interval`",
            extra=_SECONDS,
        ),
    ] = 10.0
    checkpoint_interval: Annotated[
        Positive, Meta(description="How often the leader saves what it has folded", extra=_SECONDS)
    ] = 10.0
    callable_timeout: Annotated[
        Positive,
        Meta(
            description="How long a filter or argument provider may take; a slower filter counts as not met",
            extra=_SECONDS,
        ),
    ] = 5.0
    retire_after: Annotated[
        Positive,
        Meta(description="How long no live runner may have a trigger before it is retired", extra=_SECONDS),
    ] = 600.0

    max_contributions: Annotated[
        Count,
        Meta(
            description="Contributions that a waiting condition of an AND keeps, the newest; the rest is counted",
            extra={"unit": "contributions"},
        ),
    ] = 1000
    max_contribution_bytes: Annotated[
        Count, Meta(description="The size of the contributions that a waiting condition keeps", extra=_BYTES)
    ] = 4 * MIB
    max_payload_bytes: Annotated[
        Count,
        Meta(
            description="The encoded size of an event payload, a call's arguments or a result; "
            "more raises PayloadTooLarge",
            extra=_BYTES,
        ),
    ] = 8 * MIB
    max_recoveries: Annotated[
        CountOrZero,
        Meta(
            description="How often an invocation whose runner died is run again before it fails with RunnerLost",
            extra={"unit": "recoveries"},
        ),
    ] = 3
    max_backlog: Annotated[
        Count,
        Meta(
            description="Waiting invocations beyond which the leader warns; nothing is refused",
            extra={"unit": "invocations"},
        ),
    ] = 100_000
    max_chain_length: Annotated[
        Count,
        Meta(
            description="Links of a causal chain after which it is ended, so that a trigger loop cannot run away",
            extra={"unit": "links"},
        ),
    ] = 100
    retry_backoff: Annotated[
        NotNegative, Meta(description="The wait before the first retry; it doubles with each one", extra=_SECONDS)
    ] = 1.0
    retry_backoff_max: Annotated[
        NotNegative, Meta(description="The longest wait before a retry; not less than `retry_backoff`", extra=_SECONDS)
    ] = 300.0

    key_retention_days: Annotated[
        Annotated[float, Meta(gt=0, le=36500)],
        Meta(description="How long an idempotency key is remembered", extra=_DAYS),
    ] = 30.0
    event_retention_days: Annotated[
        Annotated[float, Meta(ge=0, le=36500)],
        Meta(description="How long entries of the log are kept; 0: whatever their age", extra=_DAYS),
    ] = 7.0
    event_max_records: Annotated[
        CountOrZero, Meta(description="Events that the history keeps; 0: no cap", extra={"unit": "records"})
    ] = 0
    trigger_run_max_records: Annotated[
        CountOrZero, Meta(description="Trigger runs that the history keeps; 0: no cap", extra={"unit": "records"})
    ] = 0
    event_auto_purge_enabled: Annotated[
        bool, Meta(description="Whether the leader applies retention by itself; else `trigger-engine purge` does")
    ] = True

    masked_keys: Annotated[
        tuple[Name, ...],
        Meta(
            description="Parts of key names whose values the monitor hides; case, `-` and `_` do not matter",
            extra={"allowed": "a list of words, such as ['password', 'token']"},
        ),
    ] = ("password", "passwd", "secret", "token", "api_key", "authorization", "cookie", "credential", "private_key")


KEYS: tuple[str, ...] = Settings.__struct_fields__

FAMILY_KEYS = ("orchestrator_cls", "broker_cls", "state_backend_cls", "client_data_store_cls")

KNOWN_SECTIONS = ("sqlite", "memory", "redis", "mongodb", "rabbitmq")
"""Sections that are accepted, unread, while another backend is selected."""
