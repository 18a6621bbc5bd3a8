"""`trigger-engine invocations show`, `cancel` and `rerun`."""

import json

import pytest

from tests.integration.cli.conftest import Invoke, on_shared_backends
from tests.integration.cli.data import emit, in_app
from tests.support.tasks import task_of
from trigger_engine import InvocationStatus, TriggerEngine

pytestmark = [pytest.mark.usefixtures("shop"), on_shared_backends]


def call(reason: str, *, runner: bool = False) -> str:
    """Calls `fail` and returns the invocation's id. With a runner, waits for its end."""

    async def work(app: TriggerEngine) -> str:
        invocation = await task_of(app, "shop.fail")(reason=reason)
        if runner:
            with pytest.raises(Exception, match=reason):
                await invocation.result(timeout=60)
        return invocation.invocation_id

    return str(in_app("shop:app", work, runner=runner))


def status(invocation_id: str) -> InvocationStatus:
    async def work(app: TriggerEngine) -> InvocationStatus:
        return await (await app.invocation(invocation_id)).status()

    return InvocationStatus(in_app("shop:app", work))


def test_show_prints_everything_about_a_failed_invocation(invoke: Invoke) -> None:
    failed = call("no money", runner=True)
    result = invoke("invocations", "show", f"invocation:{failed}", "shop:app")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"shop.fail  failed  invocation:{failed}\n")
    assert '  arguments  {"reason":"no money"}\n' in result.stdout
    assert "  error      ValueError: no money\n" in result.stdout
    statuses = [line.split()[2] for line in result.stdout.splitlines() if line.startswith("  20")]
    assert statuses == ["registered", "pending", "running", "failed"]
    assert result.stdout.endswith("ValueError: no money\n")
    assert 'shop.py", line' in result.stdout


def test_show_prints_the_trigger_run_that_started_it(invoke: Invoke) -> None:
    emit("shop:app", "user.login", {"role": "admin"}, runner=True)
    (run,) = [json.loads(line) for line in invoke("runs", "shop:app", "--json").stdout.splitlines()]
    shown = invoke("invocations", "show", run["invocation_id"], "shop:app").stdout
    assert f"  run        trigger-run:{run['run_id']}\n" in shown
    assert f"  trigger    trigger:{run['trigger_id']}\n" in shown
    assert '  result     "notified"\n' in shown


def test_show_prints_the_whole_record_as_json(invoke: Invoke) -> None:
    failed = call("no money", runner=True)
    found = json.loads(invoke("invocations", "show", failed, "shop:app", "--json").stdout)
    assert found["status"] == "failed"
    assert found["exception_type"] == "ValueError"
    assert "ValueError: no money" in found["traceback"]


def test_cancel_ends_a_waiting_invocation(invoke: Invoke) -> None:
    waiting = call("later")
    result = invoke("invocations", "cancel", waiting, "shop:app")
    assert (result.exit_code, result.stdout) == (0, f"Cancelled invocation:{waiting}.\n")
    assert status(waiting) is InvocationStatus.CANCELLED


def test_cancelling_an_ended_invocation_fails(invoke: Invoke) -> None:
    ended = call("no money", runner=True)
    result = invoke("invocations", "cancel", ended, "shop:app")
    assert result.exit_code == 1
    assert result.stderr == f"Error: invocation:{ended} has already ended (failed): there is nothing to cancel\n"


def test_rerun_enqueues_the_same_call_again(invoke: Invoke) -> None:
    ended = call("no money", runner=True)
    result = invoke("invocations", "rerun", ended, "shop:app")
    assert result.exit_code == 0
    again = result.stdout.strip()
    assert again != ended
    assert status(again) is InvocationStatus.REGISTERED
    shown = json.loads(invoke("invocations", "show", again, "shop:app", "--json").stdout)
    assert (shown["task_id"], shown["arguments"], shown["rerun_of"]) == ("shop.fail", {"reason": "no money"}, ended)


def test_rerun_prints_an_object_as_json(invoke: Invoke) -> None:
    ended = call("no money", runner=True)
    printed = json.loads(invoke("invocations", "rerun", ended, "shop:app", "--json").stdout)
    assert printed["rerun_of"] == ended
    assert status(printed["invocation_id"]) is InvocationStatus.REGISTERED


@pytest.mark.parametrize("action", ["show", "cancel", "rerun"])
def test_unknown_id_is_one_message(invoke: Invoke, action: str) -> None:
    result = invoke("invocations", action, "nothing", "shop:app")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: invocation:nothing is not in the ")
    assert result.stderr.count("\n") == 1
