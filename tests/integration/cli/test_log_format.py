"""Log lines have the ids of the invocation in which they were logged."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from trigger_engine._client.current import CurrentInvocation, running
from trigger_engine._runtime.log_format import (
    InvocationFilter,
    JsonFormatter,
    TextFormatter,
    configure_from_environment,
    configure_logging,
)

TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ")


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """The root logger. It and the variable for child processes are restored afterwards."""
    monkeypatch.setenv("TRIGGER_ENGINE_LOG", "")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def in_task() -> Iterator[CurrentInvocation]:
    """Runs the test inside an invocation."""
    current = CurrentInvocation(
        app_id="shop", invocation_id="i1", task_id="shop.notify", attempt=2, arguments={}, trigger_run_id="r1", depth=1
    )
    token = running.set(current)
    yield current
    running.reset(token)


def text_line(message: str, *args: object) -> str:
    stream = io.StringIO()
    configure_logging("text", "info", stream=stream)
    logging.getLogger("shop").info(message, *args)
    return TIME.sub("", stream.getvalue())


def json_line(message: str, *args: object, **options: object) -> dict[str, object]:
    stream = io.StringIO()
    configure_logging("json", "info", stream=stream)
    logging.getLogger("shop").info(message, *args, **options)  # type: ignore[arg-type]
    (line,) = stream.getvalue().splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_line_outside_a_task_has_no_tokens() -> None:
    assert text_line("hello %s", "you") == "INFO    shop: hello you\n"


def test_engine_loggers_share_one_name() -> None:
    record = logging.LogRecord("trigger_engine._runtime.leader.election", logging.INFO, "f", 1, "leads", None, None)
    assert TIME.sub("", TextFormatter().format(record)) == "INFO    trigger_engine: leads"
    assert '"logger": "trigger_engine._runtime.leader.election"' in JsonFormatter().format(record)


@pytest.mark.usefixtures("in_task")
def test_line_inside_a_task_has_tokens() -> None:
    assert text_line("hello %s", "you") == "INFO    shop: hello you invocation:i1 trigger-run:r1\n"


@pytest.mark.usefixtures("in_task")
def test_token_in_the_message_is_not_repeated() -> None:
    assert text_line("invocation:i1 is slow") == "INFO    shop: invocation:i1 is slow trigger-run:r1\n"


@pytest.mark.usefixtures("in_task")
def test_first_of_several_lines_has_the_tokens() -> None:
    assert text_line("one\ntwo") == "INFO    shop: one invocation:i1 trigger-run:r1\ntwo\n"


def test_plain_call_has_no_run(in_task: CurrentInvocation) -> None:
    token = running.set(CurrentInvocation(**{**_fields(in_task), "trigger_run_id": None}))  # type: ignore[arg-type]
    try:
        assert text_line("hello") == "INFO    shop: hello invocation:i1\n"
        assert "trigger_run" not in json_line("hello")
    finally:
        running.reset(token)


def _fields(current: CurrentInvocation) -> dict[str, object]:
    names = ("app_id", "invocation_id", "task_id", "attempt", "arguments", "trigger_run_id", "depth")
    return {name: getattr(current, name) for name in names}


@pytest.mark.usefixtures("in_task")
def test_json_has_the_ids_as_fields_and_as_tokens() -> None:
    found = json_line("hello %s", "you", extra={"order": 42, "path": io})
    assert found.pop("time", "")
    assert str(found.pop("path")).startswith("<module 'io'")
    assert found == {
        "level": "info",
        "logger": "shop",
        "message": "hello you",
        "tokens": ["invocation:i1", "trigger-run:r1"],
        "invocation": "i1",
        "trigger_run": "r1",
        "task": "shop.notify",
        "attempt": 2,
        "order": 42,
    }


def test_json_outside_a_task_has_no_ids() -> None:
    assert set(json_line("hello")) == {"time", "level", "logger", "message"}


def test_json_is_always_one_line() -> None:
    assert json_line("one\ntwo")["message"] == "one\ntwo"
    try:
        raise ValueError("no\nmoney")
    except ValueError:
        found = json_line("failed", exc_info=True, stack_info=True)
    assert str(found["exception"]).endswith("ValueError: no\nmoney")
    assert "test_log_format" in str(found["stack"])


def test_text_shows_exceptions_and_stacks() -> None:
    stream = io.StringIO()
    configure_logging("text", "info", stream=stream)
    try:
        raise ValueError("no money")
    except ValueError:
        logging.getLogger("shop").exception("failed", stack_info=True)
    written = stream.getvalue()
    assert "ERROR   shop: failed\nTraceback" in written
    assert "ValueError: no money\nStack (most recent call last):" in written


@pytest.mark.usefixtures("in_task")
def test_custom_handler_can_use_the_invocation() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(InvocationFilter())
    handler.setFormatter(logging.Formatter("%(message)s of %(invocation)s"))
    logger = logging.getLogger("own")
    logger.addHandler(handler)
    logger.error("hello")
    logger.removeHandler(handler)
    assert stream.getvalue().startswith("hello of CurrentInvocation(")


def test_level_is_the_lowest_shown(root: logging.Logger) -> None:
    configure_logging("text", "warning", stream=io.StringIO())
    assert root.level == logging.WARNING
    configure_logging("text", "debug", stream=io.StringIO())
    assert root.level == logging.DEBUG
    assert logging.getLogger("aiosqlite").level == logging.INFO


def test_child_processes_log_like_their_parent(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    environment: dict[str, str] = {}
    monkeypatch.setattr("trigger_engine._runtime.log_format.os.environ", environment)
    configure_logging("json", "error")
    root.handlers.clear()
    configure_from_environment(environment)
    (handler,) = root.handlers
    assert isinstance(handler.formatter, JsonFormatter)
    assert root.level == logging.ERROR


@pytest.mark.parametrize("value", ["", "text", "text:loud", "xml:info"])
def test_logging_is_unchanged_without_a_configured_parent(root: logging.Logger, value: str) -> None:
    before = root.handlers[:]
    configure_from_environment({"TRIGGER_ENGINE_LOG": value})
    assert root.handlers == before


def test_levels_are_colored_for_terminals() -> None:
    record = logging.LogRecord("shop", logging.ERROR, "f", 1, "no", None, None)
    assert "\x1b[31mERROR  \x1b[0m shop: no" in TextFormatter(color=True).format(record)
    assert "\x1b" not in TextFormatter().format(record)


def test_library_writes_nothing_by_default() -> None:
    assert any(isinstance(one, logging.NullHandler) for one in logging.getLogger("trigger_engine").handlers)
