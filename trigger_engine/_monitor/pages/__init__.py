"""The pages by path. Each is also served as JSON under `/api`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from trigger_engine._monitor.pages.events import event, event_payload, events
from trigger_engine._monitor.pages.invocations import (
    cancel,
    invocation,
    invocation_arguments,
    invocation_result,
    invocations,
    rerun,
)
from trigger_engine._monitor.pages.logs import logs
from trigger_engine._monitor.pages.overview import overview, purge
from trigger_engine._monitor.pages.runs import run, run_arguments, trigger_runs
from trigger_engine._monitor.pages.search import search
from trigger_engine._monitor.pages.timeline import timeline
from trigger_engine._monitor.pages.triggers import trigger, triggers
from trigger_engine._monitor.site import Call
from trigger_engine._monitor.view import Page

Handler = Callable[[Call], Awaitable[str]]

PAGES: Mapping[str, Page] = {
    "/": overview,
    "/events": events,
    "/events/{event_id}": event,
    "/trigger-runs": trigger_runs,
    "/trigger-runs/{run_id}": run,
    "/invocations": invocations,
    "/invocations/{invocation_id}": invocation,
    "/logs": logs,
    "/search": search,
    "/timeline": timeline,
    "/triggers": triggers,
    "/triggers/{trigger_id:path}": trigger,
}
TEXTS: Mapping[str, Handler] = {
    "/events/{event_id}/payload": event_payload,
    "/trigger-runs/{run_id}/arguments": run_arguments,
    "/invocations/{invocation_id}/arguments": invocation_arguments,
    "/invocations/{invocation_id}/result": invocation_result,
}
"""Full values, which pages show shortened."""

CHANGES: Mapping[str, Handler] = {
    "/invocations/{invocation_id}/rerun": rerun,
    "/invocations/{invocation_id}/cancel": cancel,
    "/purge": purge,
}
"""Actions, sent by POST from the monitor's forms. Each returns the path to redirect to."""
