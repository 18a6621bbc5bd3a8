"""The checks of `doctor` that need only the app's code and configuration."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator

from trigger_engine._app.app import TriggerEngine
from trigger_engine._cli.failures import user_place
from trigger_engine._cli.finding import Finding, failed, ok, warning
from trigger_engine._cli.module_scan import declaring_modules
from trigger_engine._engine.loops import describe_loop, find_loops
from trigger_engine._model.definitions import (
    CronCondition,
    EventCondition,
    TriggerDefinition,
    condition_filters,
)
from trigger_engine._runtime.task_modules import TaskModules
from trigger_engine.errors import TriggerEngineError

END_THE_LOOP = (
    "add a filter that ends it, or remove one of these triggers; "
    "otherwise it continues until the chain reaches max_chain_length"
)
_DOTTED = re.compile(r"[a-z0-9]+([._][a-z0-9]+)*")
_SEPARATORS = re.compile(r"[._:/\-\s]+")


def check_code(app: TriggerEngine) -> Iterator[Finding]:
    """Runs all checks of the app's code. Imports the modules that a runner would import."""
    yield _runner_and_backend(app)
    yield _listed_modules(app)
    yield from _unlisted_modules(app)
    definitions = list(app._internals.registry.triggers.values())
    yield _declared(app, definitions)
    yield from _mixed_contexts(definitions)
    yield from _loops(definitions)
    yield from _names(definitions)


def _runner_and_backend(app: TriggerEngine) -> Finding:
    """Checks the backend. Invalid combinations with a runner already raise ConfigError when the app is created."""
    backend, runner = app._internals.config.backend_type, app._internals.settings.runner_cls
    if backend.shared_between_processes:
        return ok("runner", f"{runner} works with {backend.name}")
    return warning(
        "runner",
        f"{backend.name} keeps its data in one process, so this command cannot see it",
        'for production use, set trigger_cls = "SQLiteTrigger"',
    )


def _listed_modules(app: TriggerEngine) -> Finding:
    listed = app._internals.settings.trigger_task_modules
    fix = "correct trigger_task_modules or the module that it lists"
    try:
        TaskModules(app._internals).import_configured()
    except TriggerEngineError as exc:
        return failed("task modules", _with_place(str(exc), exc), fix)
    except Exception as exc:
        return failed("task modules", _with_place(f"importing them raised {type(exc).__name__}: {exc}", exc), fix)
    return ok(
        "task modules", f"trigger_task_modules can be imported: {', '.join(listed)}" if listed else "none are listed"
    )


def _with_place(text: str, error: Exception) -> str:
    place = user_place(error)
    return text if place is None else f"{text}\nat {place}"


def _unlisted_modules(app: TriggerEngine) -> Iterator[Finding]:
    listed = app._internals.settings.trigger_task_modules
    declaring = declaring_modules(app._internals.home_module)
    missing = {name: place for name, place in declaring.items() if name not in listed and name not in sys.modules}
    wanted = ", ".join(f'"{name}"' for name in [*listed, *missing])
    for name, (file, line) in missing.items():
        yield failed(
            "task modules",
            f"{name} declares triggers ({file}:{line}), but no runner imports it, so they never fire",
            f"list it: trigger_task_modules = [{wanted}]",
        )


def _declared(app: TriggerEngine, definitions: list[TriggerDefinition]) -> Finding:
    tasks = len(app._internals.registry.tasks)
    if definitions:
        return ok(
            "declarations", f"{tasks} tasks, {len(definitions)} triggers; filters and providers are named functions"
        )
    return warning(
        "declarations",
        f"{tasks} tasks but no triggers are declared",
        "declare triggers with @app.task(triggers=…), and list their modules in trigger_task_modules",
    )


def _mixed_contexts(definitions: Iterable[TriggerDefinition]) -> Iterator[Finding]:
    for trigger in definitions:
        kinds = {type(condition) for condition in trigger.conditions}
        if not kinds >= {CronCondition, EventCondition}:
            continue
        how = "only when both have occurred" if trigger.logic == "and" else "with the same argument providers for both"
        yield warning(
            "contexts",
            f"{trigger.slot} mixes a cron and an event condition: it fires {how}",
            "if either should start the task alone, give a list of two TriggerBuilders with separate arguments",
        )


def _loops(definitions: Iterable[TriggerDefinition]) -> Iterator[Finding]:
    for loop in find_loops(definitions):
        yield warning("loops", f"triggers form a loop: {describe_loop(loop)}", END_THE_LOOP)


def _names(definitions: Iterable[TriggerDefinition]) -> Iterator[Finding]:
    codes = sorted(
        {c.event_code for trigger in definitions for c in trigger.conditions if isinstance(c, EventCondition)}
    )
    alike: dict[str, list[str]] = defaultdict(list)
    for code in codes:
        alike[_SEPARATORS.sub(".", code).casefold()].append(code)
    for same in alike.values():
        if len(same) > 1:
            yield warning(
                "names",
                f"the event codes {', '.join(same)} differ only in case or separators",
                "if they are the same event, use one spelling",
            )
    odd = [code for code in codes if not _DOTTED.fullmatch(code)]
    if odd and len(odd) < len(codes):
        yield warning(
            "names",
            f"most event codes are like {next(code for code in codes if code not in odd)!r}, except {', '.join(odd)}",
            "use one convention, such as noun.verb in lower case",
        )
    elif codes:
        yield ok("names", f"{len(codes)} event codes follow one convention")


def is_unfiltered(trigger: TriggerDefinition) -> bool:
    """Returns whether a trigger fires on every entry of its sources, apart from cron conditions."""
    watching = [condition for condition in trigger.conditions if not isinstance(condition, CronCondition)]
    return bool(watching) and not any(condition_filters(condition) for condition in watching)
