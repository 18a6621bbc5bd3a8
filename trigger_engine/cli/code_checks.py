"""What `doctor` can tell from an app's code and configuration alone."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator

from trigger_engine.app import TriggerEngine
from trigger_engine.cli.failures import user_place
from trigger_engine.cli.finding import Finding, failed, ok, warning
from trigger_engine.cli.module_scan import declaring_modules
from trigger_engine.core.loops import find_loops, told
from trigger_engine.entries.definitions import (
    CronCondition,
    EventCondition,
    TriggerDefinition,
    condition_filters,
)
from trigger_engine.errors import TriggerEngineError
from trigger_engine.runner.task_modules import TaskModules

END_THE_LOOP = (
    "let a filter end it, or take one of these triggers out; "
    "else each turn starts the next until the chain is as long as max_chain_length allows"
)
_DOTTED = re.compile(r"[a-z0-9]+([._][a-z0-9]+)*")
_SEPARATORS = re.compile(r"[._:/\-\s]+")


def check_code(app: TriggerEngine) -> Iterator[Finding]:
    """Every check of the app's code; imports the modules that a runner would import."""
    yield _runner_and_backend(app)
    yield _listed_modules(app)
    yield from _unlisted_modules(app)
    definitions = list(app.registry.triggers.values())
    yield _declared(app, definitions)
    yield from _mixed_contexts(definitions)
    yield from _loops(definitions)
    yield from _names(definitions)


def _runner_and_backend(app: TriggerEngine) -> Finding:
    """Other combinations that do not work are ConfigErrors when the app is made."""
    backend, runner = app.config.backend_type, app.settings.runner_cls
    if backend.shared_between_processes:
        return ok("runner", f"{runner} works with {backend.name}")
    return warning(
        "runner",
        f"{backend.name} keeps its data inside one process: this command sees nothing of it",
        'for more than trying out set trigger_cls = "SQLiteTrigger"',
    )


def _listed_modules(app: TriggerEngine) -> Finding:
    listed = app.settings.trigger_task_modules
    mend = "correct trigger_task_modules, or the module that it names"
    try:
        TaskModules(app).import_configured()
    except TriggerEngineError as exc:
        return failed("task modules", _told(str(exc), exc), mend)
    except Exception as exc:
        return failed("task modules", _told(f"importing them raised {type(exc).__name__}: {exc}", exc), mend)
    return ok(
        "task modules", f"trigger_task_modules can be imported: {', '.join(listed)}" if listed else "none are listed"
    )


def _told(text: str, error: Exception) -> str:
    place = user_place(error)
    return text if place is None else f"{text}\nat {place}"


def _unlisted_modules(app: TriggerEngine) -> Iterator[Finding]:
    listed = app.settings.trigger_task_modules
    declaring = declaring_modules(app.home_module)
    missing = {name: place for name, place in declaring.items() if name not in listed and name not in sys.modules}
    wanted = ", ".join(f'"{name}"' for name in [*listed, *missing])
    for name, (file, line) in missing.items():
        yield failed(
            "task modules",
            f"{name} declares triggers ({file}:{line}), and no runner imports it: they never fire",
            f"list it: trigger_task_modules = [{wanted}]",
        )


def _declared(app: TriggerEngine, definitions: list[TriggerDefinition]) -> Finding:
    tasks = len(app.registry.tasks)
    if definitions:
        return ok(
            "declarations", f"{tasks} tasks, {len(definitions)} triggers; filters and providers are named functions"
        )
    return warning(
        "declarations",
        f"{tasks} tasks and no trigger are declared",
        "declare triggers with @app.task(triggers=…), and list their modules in trigger_task_modules",
    )


def _mixed_contexts(definitions: Iterable[TriggerDefinition]) -> Iterator[Finding]:
    for trigger in definitions:
        kinds = {type(condition) for condition in trigger.conditions}
        if not kinds >= {CronCondition, EventCondition}:
            continue
        how = "only when both have come" if trigger.logic == "and" else "with the same argument providers for both"
        yield warning(
            "contexts",
            f"{trigger.slot} mixes a cron and an event condition: it fires {how}",
            "if either should start the task by itself, give a list of two TriggerBuilders with arguments of their own",
        )


def _loops(definitions: Iterable[TriggerDefinition]) -> Iterator[Finding]:
    for loop in find_loops(definitions):
        yield warning("loops", f"triggers form a loop: {told(loop)}", END_THE_LOOP)


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
                "if they are one event, write them alike",
            )
    odd = [code for code in codes if not _DOTTED.fullmatch(code)]
    if odd and len(odd) < len(codes):
        yield warning(
            "names",
            f"most event codes are like {next(code for code in codes if code not in odd)!r}, but not {', '.join(odd)}",
            "keep to one convention, such as noun.verb in small letters",
        )
    elif codes:
        yield ok("names", f"{len(codes)} event codes follow one convention")


def is_unfiltered(trigger: TriggerDefinition) -> bool:
    """Whether nothing but a clock keeps a trigger from firing at every entry of its sources."""
    watching = [condition for condition in trigger.conditions if not isinstance(condition, CronCondition)]
    return bool(watching) and not any(condition_filters(condition) for condition in watching)
