"""The processes of a run: started, killed, paused, replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.robustness.chaos.driver.place import Place, lines
from tests.support.programs import PATHS

VERSIONS = ("old", "new")


@dataclass
class Seat:
    """A process that is replaced when it ends. `version`: of its code, for runners."""

    role: str
    index: int
    version: str = VERSIONS[0]
    process: subprocess.Popen[bytes] | None = None
    is_paused: bool = False

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


@dataclass
class Fleet:
    """All processes of a run. `killed`, `paused`: pids to which that was done; `strange`: ends that nobody caused."""

    place: Place
    seed: int
    seats: list[Seat]
    killed: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    strange: list[str] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Starts every process."""
        for seat in self.seats:
            self._launch(seat)

    def of_role(self, role: str) -> list[Seat]:
        """The seats of a role whose process is not paused."""
        return [seat for seat in self.seats if seat.role == role and not seat.is_paused]

    def kill(self, seat: Seat) -> None:
        """SIGKILL, and another process in its place."""
        self.killed.add(seat.pid)
        os.kill(seat.pid, signal.SIGKILL)
        self._ended(seat)
        self._launch(seat)

    def restart(self, seat: Seat) -> None:
        """SIGTERM; the process must end well. Another takes its place."""
        os.kill(seat.pid, signal.SIGTERM)
        self._must_end_well(seat)
        self._launch(seat)

    def pause(self, seat: Seat) -> None:
        """SIGSTOP."""
        self.paused.add(seat.pid)
        os.kill(seat.pid, signal.SIGSTOP)
        seat.is_paused = True

    def resume(self, seat: Seat) -> None:
        """SIGCONT."""
        os.kill(seat.pid, signal.SIGCONT)
        seat.is_paused = False

    def replace_dead(self) -> list[Seat]:
        """Starts another process for each that has died, and tells which; notes those that did not die of a mark."""
        dead = [seat for seat in self.seats if seat.process is not None and seat.process.poll() is not None]
        for seat in dead:
            assert seat.process is not None
            if seat.process.returncode != -signal.SIGKILL:
                self.strange.append(f"{seat.role} {seat.pid} ended by itself with {seat.process.returncode}")
            self.killed.add(seat.pid)
            self._launch(seat)
        return dead

    def end(self, role: str) -> None:
        """Waits for processes that stop by themselves; none is started again."""
        for seat in self._up(role):
            self._must_end_well(seat)
            seat.process = None

    def stop(self, role: str) -> None:
        """Ends processes gracefully, all at once."""
        for seat in self._up(role):
            os.kill(seat.pid, signal.SIGTERM)
        self.end(role)

    def leftovers(self) -> list[int]:
        """Sessions of processes that have ended, in which something still runs."""
        return [session for session in self.sessions if _is_alive(session)]

    def close(self) -> None:
        """Kills everything that is left."""
        for session in self.sessions:
            if _is_alive(session):
                os.killpg(session, signal.SIGKILL)
        for seat in self._up():
            self._ended(seat)

    def _up(self, role: str | None = None) -> Iterator[Seat]:
        yield from (seat for seat in self.seats if seat.process is not None and role in {None, seat.role})

    def _launch(self, seat: Seat) -> None:
        arguments = [str(self.seed), str(seat.index)] if seat.role == "emitter" else []
        path = [str(self.place.code(seat.version)), PATHS] if seat.role == "runner" else [PATHS]
        with (self.place.logs / f"{seat.role}-{seat.index}.log").open("ab") as output:
            seat.process = subprocess.Popen(
                [sys.executable, "-m", "tests.robustness.chaos.driver.process", seat.role, *arguments],
                env={**os.environ, **self.place.environment, "PYTHONPATH": os.pathsep.join(path)},
                cwd=self.place.folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        seat.is_paused = False
        self.sessions.append(seat.pid)

    def _must_end_well(self, seat: Seat) -> None:
        assert seat.process is not None
        try:
            status = seat.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            status = None
            self.killed.add(seat.pid)
            os.kill(seat.pid, signal.SIGKILL)
            self._ended(seat)
        if status == -signal.SIGKILL:
            # It found a mark on its way out.
            self.killed.add(seat.pid)
        elif status != 0 and not (status == -signal.SIGTERM and not self._has_begun(seat)):
            self.strange.append(f"{seat.role} {seat.pid} was to end and gave {status or 'no sign in 30 s'}")

    def _has_begun(self, seat: Seat) -> bool:
        """Whether a runner was so far that it handles signals; before, Python itself ends of a SIGTERM."""
        return any(int(pid) == seat.pid for _, pid, *_ in lines(self.place.beats))

    @staticmethod
    def _ended(seat: Seat) -> None:
        assert seat.process is not None
        seat.process.wait()


def _is_alive(session: int) -> bool:
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True
