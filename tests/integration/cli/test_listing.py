"""`trigger-engine events`, `runs`, `invocations` and `triggers`."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import typer

from tests.integration.cli.conftest import Invoke, Write, on_shared_backends
from tests.integration.cli.data import emit, in_app
from tests.support.tasks import task_of
from trigger_engine import TriggerEngine
from trigger_engine._cli.listing import parse_time, plain_id

pytestmark = [pytest.mark.usefixtures("shop"), on_shared_backends]

ADMIN, GUEST = {"role": "admin"}, {"role": "guest"}


def objects(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def ids(invoke: Invoke, *arguments: str) -> list[object]:
    """Returns the ids that a listing prints as JSON."""
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return [next(iter(found.values())) for found in objects(result.stdout)]


def test_events_are_listed_newest_first_with_their_outcome(invoke: Invoke) -> None:
    guest = emit("shop:app", "user.login", GUEST)
    admin = emit("shop:app", "user.login", ADMIN, runner=True)
    other = emit("shop:app", "user.logout")
    result = invoke("events", "shop:app")
    assert result.exit_code == 0
    lines = [re.sub(r"^[-\d]{10} [:\d]{8}", "TIME", line) for line in result.stdout.splitlines()]
    assert lines == [
        "time                 outcome    event        id                                payload",
        f"TIME  recorded   user.logout  {other}  {{}}",
        f'TIME  triggered  user.login   {admin}  {{"role":"admin"}}',
        f'TIME  recorded   user.login   {guest}  {{"role":"guest"}}',
    ]


def test_events_are_filtered(invoke: Invoke) -> None:
    guest = emit("shop:app", "user.login", GUEST)
    admin = emit("shop:app", "user.login", ADMIN, runner=True)
    other = emit("shop:app", "user.logout")
    assert ids(invoke, "events", "shop:app", "--code", "user.login") == [admin, guest]
    assert ids(invoke, "events", "shop:app", "--matched") == [admin]
    assert ids(invoke, "events", "shop:app", "--unmatched") == [other, guest]
    assert ids(invoke, "events", "shop:app", "--triggered") == [admin]
    assert ids(invoke, "events", "shop:app", "--untriggered") == [other, guest]
    assert ids(invoke, "events", "shop:app", "--since", "1h", "--until", "2100-01-01") == [other, admin, guest]
    assert ids(invoke, "events", "shop:app", "--until", "1h") == []
    assert ids(invoke, "events", "shop:app", "--emitted-by", "shop.notify") == []


def test_list_continues_at_the_cursor(invoke: Invoke) -> None:
    emitted = [emit("shop:app", f"event.{number}") for number in range(3)]
    first = invoke("events", "shop:app", "--limit", "2", "--json")
    assert [found["event_id"] for found in objects(first.stdout)] == [emitted[2], emitted[1]]
    cursor = re.fullmatch(r"There are more: add --cursor (\S+)\n", first.stderr)
    assert cursor is not None
    rest = invoke("events", "shop:app", "--cursor", cursor[1], "--json")
    assert [found["event_id"] for found in objects(rest.stdout)] == [emitted[0]]
    assert rest.stderr == ""


def test_limit_0_lists_everything(invoke: Invoke) -> None:
    async def emit_many(app: TriggerEngine) -> list[str]:
        return await app.emit_events([("many", {"n": n}) for n in range(1200)])

    emitted = in_app("shop:app", emit_many)
    assert ids(invoke, "events", "shop:app", "--limit", "0") == emitted[::-1]
    assert len(ids(invoke, "events", "shop:app", "--limit", "700")) == 700
    assert len(ids(invoke, "events", "shop:app")) == 100


def test_invalid_cursor_is_one_message(invoke: Invoke) -> None:
    result = invoke("events", "shop:app", "--cursor", "nonsense")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: cursor=")


def test_runs_are_listed_with_cause_and_invocation(invoke: Invoke) -> None:
    admin = emit("shop:app", "user.login", ADMIN, runner=True)
    (run,) = objects(invoke("runs", "shop:app", "--json").stdout)
    header, line = invoke("runs", "shop:app").stdout.splitlines()
    assert header.split() == ["time", "outcome", "task", "id", "because", "of", "arguments", "invocation"]
    assert line.split()[2:] == [
        "fired",
        "shop.notify",
        run["run_id"],
        "event",
        "user.login",
        "{}",
        run["invocation_id"],
    ]
    for option in (
        ("--event", f"event:{admin}"),
        ("--trigger", str(run["trigger_id"])),
        ("--invocation", str(run["invocation_id"])),
        ("--fired",),
    ):
        assert ids(invoke, "runs", "shop:app", *option) == [run["run_id"]]
    assert ids(invoke, "runs", "shop:app", "--rejected") == []
    assert ids(invoke, "runs", "shop:app", "--source", str(run["invocation_id"])) == []


def test_rejected_run_is_listed_with_its_error(invoke: Invoke, write: Write) -> None:
    write(
        "rejecting.py",
        "from trigger_engine import TriggerBuilder, TriggerEngine\n"
        "app = TriggerEngine()\n"
        "def provide(ctx):\n    return {'n': ctx.payload['missing']}\n"
        "@app.task(triggers=TriggerBuilder().on_event('x').with_args_from_event(provide))\n"
        "async def work(n: int) -> None: ...\n",
    )
    emit("rejecting:app", "x", runner=True)
    line = invoke("runs", "rejecting:app", "--rejected").stdout.splitlines()[1]
    assert "rejected  rejecting.work" in line
    assert "rejecting.provide: KeyError: 'missing'" in line


def test_invocations_are_listed_and_filtered(invoke: Invoke) -> None:
    async def work(app: TriggerEngine) -> str:
        failed = await task_of(app, "shop.fail")(reason="no [red]money")
        await failed.result(timeout=60)
        return failed.invocation_id

    with pytest.raises(Exception, match=r"no \[red\]money"):
        in_app("shop:app", work, runner=True)
    admin = emit("shop:app", "user.login", ADMIN, runner=True)
    lines = invoke("invocations", "shop:app").stdout.splitlines()
    assert lines[0].split() == ["time", "status", "task", "id", "arguments", "result", "error"]
    assert lines[1].split()[2:4] == ["success", "shop.notify"]
    assert '{}                          "notified"' in lines[1]
    assert lines[2].endswith("ValueError: no [red]money")
    assert '{"reason":"no [red]money"}' in lines[2]
    both = ids(invoke, "invocations", "shop:app")
    assert ids(invoke, "invocations", "list", "shop:app") == both
    assert ids(invoke, "invocations", "shop:app", "--status", "failed") == both[1:]
    assert ids(invoke, "invocations", "--status", "failed", "--status", "success", "shop:app") == both
    assert ids(invoke, "invocations", "shop:app", "--task", "shop.notify") == both[:1]
    assert ids(invoke, "invocations", "shop:app", "--event", admin) == both[:1]
    assert ids(invoke, "invocations", "shop:app", "--since", "1h") == both


def test_unknown_status_exits_with_2(invoke: Invoke) -> None:
    assert invoke("invocations", "shop:app", "--status", "done").exit_code == 2


def test_triggers_are_listed_with_their_conditions(invoke: Invoke) -> None:
    assert invoke("triggers", "shop:app").stdout == "No triggers.\n"
    emit("shop:app", "user.login", ADMIN, runner=True)
    header, line = invoke("triggers", "shop:app").stdout.splitlines()
    assert header.split() == ["state", "task", "runs", "rejected", "last", "fired", "when", "id"]
    assert line.startswith("active  shop.notify  1     0 ")
    assert 'event:user.login{"role":"admin"}' in line
    assert len(ids(invoke, "triggers", "shop:app", "--task", "shop.notify", "--state", "active")) == 1
    assert ids(invoke, "triggers", "shop:app", "--task", "shop.fail") == []
    assert ids(invoke, "triggers", "shop:app", "--state", "suspended") == []


def test_replaced_triggers_are_listed_on_request(invoke: Invoke, write: Write) -> None:
    source = (
        "from trigger_engine import TriggerBuilder, TriggerEngine\n"
        "app = TriggerEngine()\n"
        "@app.task(triggers=TriggerBuilder().on_event('CODE'), task_id='work')\n"
        "async def work() -> None: ...\n"
    )
    write("older.py", source.replace("CODE", "old"))
    write("newer.py", source.replace("CODE", "new"))
    emit("older:app", "old", runner=True)
    emit("newer:app", "new", runner=True)
    (active,) = objects(invoke("triggers", "newer:app", "--json").stdout)
    assert [found["state"] for found in objects(invoke("triggers", "newer:app", "--all", "--json").stdout)] == [
        "active",
        "replaced",
    ]
    assert ids(invoke, "triggers", "newer:app", "--state", "replaced") != [active["trigger_id"]]


@pytest.mark.parametrize(
    ("text", "age"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("1.5h", 5400), ("7 d", 604_800), ("1w", 604_800)],
)
def test_time_can_be_an_age(text: str, age: float) -> None:
    found = parse_time(text, "--since")
    assert found is not None
    assert abs(datetime.now(UTC) - timedelta(seconds=age) - found) < timedelta(seconds=5)


def test_time_can_be_an_iso_time() -> None:
    assert parse_time("2026-01-02T03:04:05Z", "--since") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert parse_time("2026-01-02T03:04+02:00", "--since") == datetime(2026, 1, 2, 1, 4, tzinfo=UTC)
    assert parse_time("2026-01-02", "--since") == datetime(2026, 1, 2).astimezone()
    assert parse_time(None, "--since") is None


@pytest.mark.parametrize("text", ["yesterday", "2hh", "-5m", "", "2026-13-01", "9" * 400 + "w"])
def test_invalid_time_is_rejected_with_examples(text: str) -> None:
    with pytest.raises(
        typer.BadParameter, match=r"--until .* is not a time: give an ISO time such as .* or an age such as 2h"
    ):
        parse_time(text, "--until")


@pytest.mark.parametrize(
    ("token", "plain"),
    [
        ("event:abc", "abc"),
        ("trigger-run:abc", "abc"),
        ("invocation:abc", "abc"),
        ("trigger:shop.notify:0123", "shop.notify:0123"),
        ("shop.notify:0123", "shop.notify:0123"),
        ("event:", "event:"),
    ],
)
def test_ids_can_be_given_as_in_log_lines(token: str, plain: str) -> None:
    assert plain_id(token) == plain
