"""Which scenario waits where: found by running each once, on each kind of log, without cancelling anything."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.robustness.faults.awaits import Site, source_line
from tests.robustness.faults.run import quick, run
from tests.robustness.faults.scenarios import SCENARIOS
from tests.robustness.faults.shop import KINDS, Kind
from tests.robustness.faults.unvisited import SELDOM
from tests.robustness.faults.watch import WAYS, Strike, Way

NEVER_STRUCK = "never struck"
_TRIES = 3


@cache
def survey(kind: Kind) -> dict[str, dict[Site, int]]:
    """How often each scenario waits at each site."""
    with TemporaryDirectory() as folder, quick():
        return {name: dict(run(name, kind, Path(folder, name))) for name in SCENARIOS}


def visited(wanted: set[Site]) -> set[Site]:
    """Every site at which a scenario waits, on one kind of log or another.

    Whether something has to wait may be a matter of luck: where a wanted one is missing, all is tried again.
    """
    seen = {site for kind in KINDS for visits in survey(kind).values() for site in visits}
    for number in range(_TRIES):
        if wanted <= seen:
            break
        with TemporaryDirectory() as folder, quick():
            for name in SCENARIOS.keys() - {"children"}:
                seen.update(run(name, KINDS[number % len(KINDS)], Path(folder, name)))
    return seen


def plan(kind: Kind, *, rarely: bool = False) -> list[tuple[Site, Way]]:
    """Every site that this kind of log lets wait, in each way; those of child processes only when asked for."""
    found = {site for name, visits in survey(kind).items() if rarely or name != "children" for site in visits}
    return [(site, way) for site in sorted(found) for way in WAYS]


def look_again(kind: Kind) -> None:
    """Adds to the survey of a kind where its scenarios wait in further runs: now and then they do elsewhere."""
    for _ in range(_TRIES - 1):
        with TemporaryDirectory() as folder, quick():
            for name, visits in survey(kind).items():
                for site, count in run(name, kind, Path(folder, name)).items():
                    visits[site] = max(count, visits.get(site, 0))


def strike(kind: Kind, site: Site, way: Way, folder: Path, random: Random) -> str | None:
    """Cancels once at a site, in the first scenario that waits there; what does not hold then.

    It is cancelled when it waits there for the first time, or for another one, by lot. NEVER_STRUCK when it did not
    wait there this time, in none of the scenarios in which it has before.
    """
    names = [name for name, visits in survey(kind).items() if site in visits]
    for number, name in enumerate(names * _TRIES):
        visit = 1 if number >= len(names) else random.randint(1, min(survey(kind)[name][site], 3))
        one = Strike(site, way, visit=visit)
        try:
            with quick():
                run(name, kind, folder / str(number), one)
        except Exception as error:
            return f"{one}, visit {visit}, in {name} on {kind}: {type(error).__name__}: {error}"
        if one.struck:
            return None
    return NEVER_STRUCK


def strike_all(kind: Kind, chosen: list[tuple[Site, Way]], folder: Path, *, seed: int) -> list[str]:
    """Cancels once at each; what does not hold, and what could not be cancelled but is not in `SELDOM`."""
    random = Random(seed)
    found: list[str] = []
    missed: list[str] = []
    for number, (site, way) in enumerate(chosen):
        one = strike(kind, site, way, folder / str(number), random)
        if one == NEVER_STRUCK:
            missed.append(f"{site} ({way})")
            if any(each.holds(site) for each in SELDOM):
                continue
            one = f"nothing waited at {site} to be cancelled by {way}: {source_line(site)}"
        if one is not None:
            print(f"{kind}: {one}", flush=True)
            found.append(one)
    print(f"{kind}: {len(chosen) - len(missed)} of {len(chosen)} cancellations made; not made: {', '.join(missed)}")
    return found
