"""Which scenario waits where: found by running each once, on each kind of log, without cancelling anything."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.faults.awaits import Site
from tests.faults.run import quick, run
from tests.faults.scenarios import SCENARIOS
from tests.faults.shop import KINDS, Kind
from tests.faults.watch import WAYS, Strike, Way

NEVER_STRUCK = "never struck"
_TRIES = 3
_UNLUCKY = 0.2
"""The part of the chosen cancellations that need not be struck."""


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
    """Cancels once at each; what does not hold. Most must be struck: whether one waits may be a matter of luck."""
    random = Random(seed)
    found = [strike(kind, site, way, folder / str(number), random) for number, (site, way) in enumerate(chosen)]
    missed = [f"{site} ({way})" for (site, way), one in zip(chosen, found, strict=True) if one == NEVER_STRUCK]
    print(f"{kind}: {len(chosen) - len(missed)} of {len(chosen)} cancellations made; not made: {', '.join(missed)}")
    if len(missed) > len(chosen) * _UNLUCKY:
        found.append(f"too many were not struck: {', '.join(missed)}")
    return [one for one in found if one is not None and one != NEVER_STRUCK]
