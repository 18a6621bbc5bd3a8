"""What there is to run: `nox --list` names it, `nox -s NAME -- ARGUMENTS` runs it. Needs only Python, pip and nox."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import nox

PYTHONS = ("3.11", "3.12", "3.13")

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lint", "types", "architecture"]

CORES = os.cpu_count() or 1
IN_PARALLEL = ("-n", str(CORES + 1), "--dist", "worksteal")
"""Many tests wait, so one more worker than there are cores."""

FULL = ("--no-skips", *IN_PARALLEL)
"""For the full suite: nothing may be skipped."""

SLOW_FILES = (
    "tests/acceptance/test_cron_on_runners.py",
    "tests/acceptance/test_demo.py",
    "tests/acceptance/test_projects.py",
    "tests/conformance/test_sqlite_processes.py",
    "tests/integration/runtime/test_child_processes.py",
    "tests/integration/storage/test_sqlite_damage.py",
    "tests/integration/storage/test_sqlite_lifetime.py",
    "tests/unit/declare/test_modules.py",
)
QUICK = (
    *("tests/unit", "tests/conformance", "tests/acceptance", "tests/integration/storage", "tests/integration/runtime"),
    *("tests/integration/readmodel", "tests/integration/typing"),
    *(f"--ignore={file}" for file in SLOW_FILES),
    *("-m", "not servers and not slow and not chaos", "-q", *IN_PARALLEL),
)
"""Most of what finds mistakes, on memory and SQLite: no server, no browser, and hardly another process."""

WITH_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""Tests start hundreds of interpreters; each would compile the package anew."""

PROJECT = nox.project.load_toml("pyproject.toml")
EVERY = sorted(str(path) for path in Path("backends").glob("*/tests/every_*.py"))
BACKENDS = sorted(str(path.parent) for path in Path("backends").glob("*/pyproject.toml"))


def candidates(version: str) -> Iterator[Path]:
    """Where an interpreter of this version may be: the running one, those on PATH, those of pyenv (newest first)."""
    yield Path(sys.executable)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if found := which(f"python{version}", path=folder):
            yield Path(found)
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    patches = [path.name.removeprefix(f"{version}.") for path in versions.glob(f"{version}.*")]
    for patch in sorted(filter(str.isdecimal, patches), key=int, reverse=True):
        yield versions / f"{version}.{patch}" / "bin" / f"python{version}"


def works(python: Path, version: str) -> bool:
    """True when it starts, is of this version and can make a virtual environment (a pyenv shim may do none of it)."""
    program = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def find(version: str) -> bool:
    """True when there is such an interpreter; nox will find it, too, since its folder is on PATH afterwards."""
    for python in candidates(version):
        if works(python, version):
            os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), str(python.parent)])
            return True
    return False


FOUND = [version for version in PYTHONS if find(version)]
MAIN = FOUND[0] if FOUND else PYTHONS[0]
OTHERS = [version for version in PYTHONS if version != MAIN]
nox.options.error_on_missing_interpreters = not FOUND


def install(session: nox.Session, *groups: str) -> None:
    """The project and its backends, editable, and what its dependency groups name."""
    editable = [word for folder in (".", *BACKENDS) for word in ("-e", folder)]
    session.install(*editable, *nox.project.dependency_groups(PROJECT, *groups))


def existing(*folders: str) -> list[str]:
    """Those of the folders that are there."""
    return [folder for folder in folders if Path(folder).is_dir()]


@nox.session(python=MAIN)
def tests(session: nox.Session) -> None:
    """The full suite on the oldest supported Python, then tests/unit/engine on the others; arguments go to pytest."""
    if not session.posargs:
        for version in OTHERS:
            session.notify(f"core-{version}")
    install(session, "test")
    session.run("python", "-m", "tests.support.servers.install")
    session.run("pytest", *(session.posargs or (*FULL, "--rotate-servers")), env=WITH_BYTECODE)


@nox.session(python=MAIN)
def quick(session: nox.Session) -> None:
    """Under a minute: units, and what needs neither a server nor a browser nor a process; arguments go to pytest."""
    install(session, "test")
    session.run("pytest", *QUICK, *session.posargs, env={**WITH_BYTECODE, "HYPOTHESIS_PROFILE": "quick"})


@nox.session(python=MAIN)
def backends(session: nox.Session) -> None:
    """The full suite with each test on every server, not on one in turn; arguments go to pytest."""
    install(session, "test")
    session.run("python", "-m", "tests.support.servers.install")
    session.run("pytest", *(session.posargs or FULL), env=WITH_BYTECODE)


@nox.session(python=OTHERS)
def core(session: nox.Session) -> None:
    """The tests of the pure core on another Python; arguments go to pytest."""
    install(session, "test")
    session.run("pytest", *(session.posargs or ("tests/unit/engine", *IN_PARALLEL)), env=WITH_BYTECODE)


@nox.session(python=MAIN)
def lint(session: nox.Session) -> None:
    """Style, format, imports, dangerous calls (`ruff check --fix .` and `ruff format .` fix most of it)."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo")
    folders = existing("trigger_engine", "backends")
    session.run("bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", *folders)


@nox.session(python=MAIN)
def vulnerabilities(session: nox.Session) -> None:
    """Known vulnerabilities of what users install. Needs the network: each distribution is looked up."""
    session.install("pip-audit>=2.7")
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(each for extra in extras for each in extra)]
    requirements = Path(session.create_tmp(), "requirements.txt")
    requirements.write_text("\n".join(wanted), encoding="utf-8")
    session.run("pip-audit", "--strict", "--requirement", str(requirements))


@nox.session(python=MAIN)
def types(session: nox.Session) -> None:
    """Strict mypy on everything, pyright on the public API, whose types must all be known."""
    install(session, "types", "test")
    session.install(f"nox{nox.needs_version}")
    session.run("mypy", "trigger_engine", "noxfile.py", "conftest.py", *existing("tests", "benchmarks", "backends"))
    session.run("pyright")
    session.run("pyright", "--verifytypes", "trigger_engine", "--ignoreexternal", env={"PYTHONPATH": str(Path.cwd())})


@nox.session(python=MAIN)
def architecture(session: nox.Session) -> None:
    """Import direction, purity of the core, sizes; arguments go to pytest."""
    install(session, "test")
    session.run("pytest", "tests/architecture", *session.posargs)


@nox.session(python=MAIN)
def demo(session: nox.Session) -> None:
    """The demo; arguments go to it. `--monitor`: in a browser; `redis`, `mongodb`: beside a server of its own."""
    words, demo = list(session.posargs), ["python", "examples/trigger_demo/sample.py"]
    if words and words[0] in {Path(folder).name for folder in BACKENDS}:
        name = words.pop(0)
        install(session, "test")
        session.run("python", "-m", "tests.support.servers.install")
        demo = ["python", "-m", "tests.support.servers.run", name, *demo, "--backend", name]
    else:
        install(session, "demo")
    if "--monitor" in words:
        session.install("-e", ".[monitor]")
    session.run(*demo, *words)


@nox.session(python=MAIN)
def bench(session: nox.Session) -> None:
    """Runs and stores all benchmarks but growth; arguments go to `python -m benchmarks`."""
    install(session, "bench")
    session.install("-e", ".[uvloop,monitor]")
    session.run("python", "-m", "tests.support.servers.install")
    session.run("python", "-m", "benchmarks", *(session.posargs or ["--write"]))


@nox.session(python=MAIN)
def chaos(session: nox.Session) -> None:
    """Kills, pauses and misleads processes, then checks everything; `-- --seed N` repeats a run's schedule."""
    install(session, "test")
    session.run("python", "-m", "tests.robustness.chaos.driver", *session.posargs, env=WITH_BYTECODE)


@nox.session(python=MAIN)
def soak(session: nox.Session) -> None:
    """An hour of mixed load that must leave all flat; `-- --minutes M`, `-- --backend redis`, `-- --keep docs`."""
    install(session, "bench")
    session.install("-e", ".[uvloop,monitor]")
    if "--backend" in session.posargs:
        session.run("python", "-m", "tests.support.servers.install")
    session.run("python", "-m", "benchmarks.soak", *session.posargs)


@nox.session(python=MAIN)
def faults(session: nox.Session) -> None:
    """Cancels at every await in every way, cuts every frame (minutes; the suite does a part); arguments for pytest."""
    install(session, "test")
    session.run("python", "-m", "tests.support.servers.install")
    session.run("pytest", "-s", "tests/robustness/faults/every_await.py", *EVERY, *session.posargs, env=WITH_BYTECODE)


@nox.session(python=MAIN)
def build(session: nox.Session) -> None:
    """Builds wheels and sdists into dist/, and tries the wheels in an empty environment, away from the sources."""
    session.install(*nox.project.dependency_groups(PROJECT, "build"))
    version = PROJECT["project"]["version"]
    names = ["trigger_engine", *(f"trigger_engine_{Path(folder).name}" for folder in BACKENDS)]
    wheels = [str(Path("dist", f"{name}-{version}-py3-none-any.whl").resolve()) for name in names]
    for folder in (".", *BACKENDS):
        session.run("python", "-m", "build", "--outdir", "dist", folder)
    with tempfile.TemporaryDirectory() as folder, session.chdir(folder):
        session.run("python", "-m", "venv", "empty")
        programs = Path(folder, "empty", "Scripts" if os.name == "nt" else "bin")
        python = str(programs / "python")
        session.run(python, "-m", "pip", "install", "--quiet", *wheels, external=True)
        session.run(python, "-c", TRY_THE_WHEEL, version, external=True)
        session.run(python, "-W", "error", "-m", "trigger_engine", "--help", external=True)
        session.run(str(programs / "trigger-engine"), "--help", external=True)


TRY_THE_WHEEL = """
import sys
from importlib.metadata import entry_points, version
from importlib.resources import files
import trigger_engine
assert files(trigger_engine).joinpath("py.typed").is_file(), "py.typed is missing"
assert version("trigger-engine") == sys.argv[1], "the version differs"
assert not {"pytest", "hypothesis"} & set(sys.modules), "the package imports test tools"
for backend in entry_points(group="trigger_engine.backends"):
    assert backend.load().name == backend.name, f"{backend.name} is not what its entry point says"
"""
