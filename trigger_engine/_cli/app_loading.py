"""Finds and loads the app that a command works on."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any

import typer

from trigger_engine._app.app import TriggerEngine
from trigger_engine._cli.failures import UserCodeFailed, user_place
from trigger_engine._config.loading import check_shared, load_config
from trigger_engine._declare.modules import load_app_module
from trigger_engine._suggestions import did_you_mean
from trigger_engine.errors import ConfigError, TriggerEngineError

VARIABLE = "TRIGGER_ENGINE_APP"
_TARGET = re.compile(r"(?P<module>[^:].*?)(?::(?P<attribute>[^\W\d]\w*(?:\.[^\W\d]\w*)*))?")

AppArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="APP",
        help=f"The app, such as tasks:app or path/to/tasks.py:app. Default: ${VARIABLE}, else the configured `app`.",
        show_default=False,
    ),
]


def load_app(target: str | None) -> TriggerEngine:
    """Loads the named app; by default that of TRIGGER_ENGINE_APP, then that of the configuration.

    Raises ConfigError if there is no such app, UserCodeFailed if importing it fails.
    """
    name, attribute = app_target(target)
    module = import_user_module(name)
    if attribute is None:
        return _only_app(module, name)
    found = _attribute(module, name, attribute)
    if not isinstance(found, TriggerEngine):
        raise ConfigError(f"{name}:{attribute} is {found!r}, not a TriggerEngine{_apps_advice(module, name)}")
    return found


def app_target(target: str | None) -> tuple[str, str | None]:
    """Returns the module (or file) and the variable of the app; the variable is None if only a module is named.

    Raises ConfigError if no app is named or the name is invalid.
    """
    named, source = _named(target)
    matched = _TARGET.fullmatch(named)
    if matched is None:
        raise ConfigError(f"{named!r} ({source}) is not an app: write it like tasks:app or path/to/tasks.py:app")
    return matched["module"], matched["attribute"]


def looks_like_an_app(word: str) -> bool:
    """Returns whether a word is like tasks:app and its file or module is in the current folder."""
    matched = _TARGET.fullmatch(word)
    if matched is None or matched["attribute"] is None:
        return False
    module = matched["module"]
    if module.endswith(".py"):
        return os.path.isfile(module)
    first = module.partition(".")[0]
    return os.path.isfile(f"{first}.py") or os.path.isdir(first)


def load_shared_app(target: str | None, command: str) -> TriggerEngine:
    """Like `load_app`, for commands that need data shared between processes. Raises ConfigError for MemTrigger."""
    app = load_app(target)
    check_shared(app._internals.config, what=f"trigger-engine {command}")
    return app


def override_settings(app: TriggerEngine, **settings: Any) -> None:
    """Overrides settings from the command line. None means that an option was not given."""
    given = {key: value for key, value in settings.items() if value is not None}
    app._internals.override(**given)


def _named(target: str | None) -> tuple[str, str]:
    if target:
        return target, "the argument"
    if named := os.environ.get(VARIABLE):
        return named, VARIABLE
    config = load_config()
    if config.settings.app:
        return config.settings.app, config.sources["app"]
    raise ConfigError(
        f"no app was given: pass it as an argument, such as tasks:app, or set {VARIABLE}, "
        'or add app = "tasks:app" to [tool.trigger_engine] in pyproject.toml'
    )


def import_user_module(name: str) -> Any:
    """Imports a module by name or path.

    Raises UserCodeFailed, and this package's errors with a note of the line of user code that caused them.
    """
    try:
        return load_app_module(name)
    except TriggerEngineError as exc:
        if place := user_place(exc):
            exc.add_note(f"at {place}")
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as exc:
        raise UserCodeFailed(name, exc) from exc


def _attribute(module: Any, name: str, path: str) -> Any:
    found = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            near = did_you_mean(path, _apps(module))
            raise ConfigError(f"{name} has no {path!r}{near or _apps_advice(module, name)}") from None
    return found


def _only_app(module: Any, name: str) -> TriggerEngine:
    apps = _apps(module)
    if len({id(app) for app in apps.values()}) == 1:
        return next(iter(apps.values()))
    if apps:
        raise ConfigError(f"{name} has several apps: choose one, {_listed(apps, name)}")
    raise ConfigError(f"{name} has no TriggerEngine: give the module and the variable of the app, such as tasks:app")


def _apps(module: Any) -> dict[str, TriggerEngine]:
    return {key: value for key, value in vars(module).items() if isinstance(value, TriggerEngine)}


def _apps_advice(module: Any, name: str) -> str:
    apps = _apps(module)
    return f": write {_listed(apps, name)}" if apps else f"; {name} has no TriggerEngine"


def _listed(apps: dict[str, TriggerEngine], name: str) -> str:
    return " or ".join(f"{name}:{key}" for key in apps)
