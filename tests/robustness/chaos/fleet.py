"""Runner processes that are killed and started again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.project import ROOT


class Fleet:
    """Processes of `tests.robustness.chaos` on one database. All are ended when it is left."""

    def __init__(self, database: Path, runners: int) -> None:
        self.mark = database.with_suffix(".mark")
        self._environment = {**os.environ, "CHAOS_DATABASE": str(database), "PYTHONPATH": str(ROOT)}
        self._errors = database.with_suffix(".err").open("ab")
        self.runners = [self._runner() for _ in range(runners)]

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *exc_info: object) -> None:
        for process in self.runners:
            process.kill()
            process.wait()
        self._errors.close()

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a module of `tests.robustness.chaos`."""
        command = [sys.executable, "-m", f"tests.robustness.chaos.{module}", *arguments]
        return subprocess.Popen(command, env=self._environment, cwd=ROOT, stderr=self._errors)

    def kill(self, pid: int) -> bool:
        """Kills the runner with this pid and starts another; False when there is none."""
        for place, process in enumerate(self.runners):
            if process.pid == pid and process.poll() is None:
                os.kill(pid, signal.SIGKILL)
                process.wait()
                self.runners[place] = self._runner()
                return True
        return False

    def replace_dead(self) -> int:
        """Starts another runner for each that died by itself, and says how many there were."""
        dead = [place for place, process in enumerate(self.runners) if process.poll() is not None]
        for place in dead:
            assert self.runners[place].returncode == -signal.SIGKILL, "a runner ended by itself"
            self.runners[place] = self._runner()
        return len(dead)

    def stop(self) -> None:
        """Ends every runner gracefully."""
        for process in self.runners:
            process.terminate()
        for process in self.runners:
            assert process.wait(timeout=30) == 0, "a runner did not stop gracefully"

    def _runner(self) -> subprocess.Popen[bytes]:
        return self.start("runner_process", str(self.mark))
