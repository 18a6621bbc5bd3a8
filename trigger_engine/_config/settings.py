"""The keys of `[tool.trigger_engine]`: type, limits, default, unit and description, as in docs/configuration.md."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

YEAR = 365 * 86400
MIB = 2**20

_ONE_NAME = {"allowed": "a name of 1 to 200 printable characters, without spaces at the start or end"}
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
    """The settings of one app, except for the section of its backend. Durations are seconds unless the key says days.

    `load_config` creates and checks them. The constructor does not check values.
    """

    app_id: Annotated[
        AppId,
        Meta(
            description="The name of the app. Apps that share a store see only entries with their own id. "
            "Server backends require it to be set",
            extra=_ONE_NAME | {"default": "`[project].name`, otherwise the name of the folder"},
        ),
    ] = ""
    app: Annotated[
        ImportPath,
        Meta(
            description="The app that the command line loads if no app is given",
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
            description="Accepted for compatibility with older files; must belong to the family of `trigger_cls`",
            extra=_CLASS_NAME | {"default": "none"},
        ),
    ] = ""
    broker_cls: Annotated[
        Name, Meta(description="The same as `orchestrator_cls`", extra=_CLASS_NAME | {"default": "none"})
    ] = ""
    state_backend_cls: Annotated[
        Name, Meta(description="The same as `orchestrator_cls`", extra=_CLASS_NAME | {"default": "none"})
    ] = ""
    client_data_store_cls: Annotated[
        Name, Meta(description="The same as `orchestrator_cls`", extra=_CLASS_NAME | {"default": "none"})
    ] = ""
    trigger_task_modules: Annotated[
        tuple[ModuleName, ...],
        Meta(
            description="Modules that declare tasks with triggers; a runner imports them before it starts",
            extra={"allowed": "a list of dotted module names, such as ['tasks']"},
        ),
    ] = ()

    runner_cls: Annotated[
        Literal["ThreadRunner", "ProcessRunner"],
        Meta(description="Where `def` tasks run: in threads, or in spawned child processes"),
    ] = "ThreadRunner"
    concurrency: Annotated[
        Count, Meta(description="Number of invocations that one runner runs at a time", extra={"unit": "invocations"})
    ] = 100
    process_workers: Annotated[
        CountOrZero,
        Meta(
            description="Number of child processes of one runner for `def` tasks; 0: the number of CPUs",
            extra={"unit": "processes"},
        ),
    ] = 0
    queues: Annotated[
        tuple[Name, ...],
        Meta(
            description="Queues that a runner takes work from; empty: all queues",
            extra={"allowed": "a list of queue names"},
        ),
    ] = ()
    shutdown_timeout: Annotated[
        NotNegative,
        Meta(
            description="How long a runner waits on shutdown for its invocations to finish before it hands them back",
            extra=_SECONDS,
        ),
    ] = 30.0

    lease_ttl: Annotated[
        Positive, Meta(description="How long a leader keeps its lease without renewing it", extra=_SECONDS)
    ] = 5.0
    heartbeat_interval: Annotated[
        Positive, Meta(description="How often a runner sends a heartbeat", extra=_SECONDS)
    ] = 2.0
    heartbeat_ttl: Annotated[
        Positive,
        Meta(
            description="How long a runner may send no heartbeat before its work is recovered; must be more than "
            "`heartbeat_interval`",
            extra=_SECONDS,
        ),
    ] = 10.0
    checkpoint_interval: Annotated[
        Positive, Meta(description="How often the leader saves a checkpoint of its state", extra=_SECONDS)
    ] = 10.0
    callable_timeout: Annotated[
        Positive,
        Meta(
            description="How long a filter or argument provider may take; a filter that takes longer counts as not met",
            extra=_SECONDS,
        ),
    ] = 5.0
    retire_after: Annotated[
        Positive,
        Meta(description="How long a trigger may be missing from all live runners until it is retired", extra=_SECONDS),
    ] = 600.0

    max_contributions: Annotated[
        Count,
        Meta(
            description="Number of contributions that a waiting condition of an AND trigger keeps, the newest; "
            "older ones are only counted",
            extra={"unit": "contributions"},
        ),
    ] = 1000
    max_contribution_bytes: Annotated[
        Count, Meta(description="Total size of the contributions that a waiting condition keeps", extra=_BYTES)
    ] = 4 * MIB
    max_payload_bytes: Annotated[
        Count,
        Meta(
            description="Maximum encoded size of an event payload, the arguments of a call, or a result; "
            "larger ones raise PayloadTooLarge",
            extra=_BYTES,
        ),
    ] = 8 * MIB
    max_recoveries: Annotated[
        CountOrZero,
        Meta(
            description="How often an invocation is run again after its runner was lost, before it fails with "
            "RunnerLost",
            extra={"unit": "recoveries"},
        ),
    ] = 3
    max_backlog: Annotated[
        Count,
        Meta(
            description="Number of waiting invocations above which the leader logs a warning; nothing is refused",
            extra={"unit": "invocations"},
        ),
    ] = 100_000
    max_chain_length: Annotated[
        Count,
        Meta(
            description="Length at which a causal chain is ended, so that a trigger loop cannot run forever",
            extra={"unit": "links"},
        ),
    ] = 100
    retry_backoff: Annotated[
        NotNegative, Meta(description="Delay before the first retry; it doubles with each retry", extra=_SECONDS)
    ] = 1.0
    retry_backoff_max: Annotated[
        NotNegative,
        Meta(description="Longest delay before a retry; at least `retry_backoff`", extra=_SECONDS),
    ] = 300.0

    key_retention_days: Annotated[
        Annotated[float, Meta(gt=0, le=36500)],
        Meta(description="How long an idempotency key is remembered", extra=_DAYS),
    ] = 30.0
    event_retention_days: Annotated[
        Annotated[float, Meta(ge=0, le=36500)],
        Meta(description="How long entries of the log are kept; 0: no limit", extra=_DAYS),
    ] = 7.0
    event_max_records: Annotated[
        CountOrZero, Meta(description="Number of events that the history keeps; 0: no limit", extra={"unit": "records"})
    ] = 0
    trigger_run_max_records: Annotated[
        CountOrZero,
        Meta(description="Number of trigger runs that the history keeps; 0: no limit", extra={"unit": "records"}),
    ] = 0
    event_auto_purge_enabled: Annotated[
        bool,
        Meta(description="Whether the leader applies retention automatically; if not, run `trigger-engine purge`"),
    ] = True

    masked_keys: Annotated[
        tuple[Name, ...],
        Meta(
            description="The monitor hides values whose key contains one of these words; case, `-` and `_` are ignored",
            extra={"allowed": "a list of words, such as ['password', 'token']"},
        ),
    ] = ("password", "passwd", "secret", "token", "api_key", "authorization", "cookie", "credential", "private_key")


KEYS: tuple[str, ...] = Settings.__struct_fields__

FAMILY_KEYS = ("orchestrator_cls", "broker_cls", "state_backend_cls", "client_data_store_cls")

KNOWN_SECTIONS = ("sqlite", "memory", "redis", "mongodb", "rabbitmq")
"""Sections that are accepted but not read while another backend is selected."""
