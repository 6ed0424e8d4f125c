"""Starts real clusters and looks after their processes."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tests.cluster import nursery

T = TypeVar("T")

DEADLINE = 90.0
_ROLES = {
    "worker": re.compile(r"ready for work at (\d+)"),
    "monitor": re.compile(r"monitoring at (\d+)"),
    "pusher": re.compile(r"pushing tasks at (\d+)"),
    "sentinel": re.compile(r"guarded by (\d+)"),
}


def until(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """Return the condition's first true value; fail after ``deadline`` seconds."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.01)
    return value


class ClusterProcess:
    """``manage.py workflows worker`` in a session of its own.

    ``tuned`` are its own values in ``WORKFLOWS``. Leaving the context kills whatever is
    left of the session.
    """

    def __init__(
        self,
        database_url: str,
        folder: Path,
        *command: str,
        settings: str = "tests.cluster.settings",
        tuned: Mapping[str, str] | None = None,
    ) -> None:
        self.marks_path = folder / "marks"
        self.log_path = folder / "log"
        self.log_path.touch()
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": settings,
            "DATABASE_URL": database_url,
            "MARKS": str(self.marks_path),
            "TUNED": json.dumps(dict(tuned or {})),
            "PYTHONUNBUFFERED": "1",
        }
        command = command or ("workflows", "worker", "--processes", "2")
        for option in command:
            if option.startswith("--settings="):
                environment["DJANGO_SETTINGS_MODULE"] = option.partition("=")[2]
        self.process = nursery.begin(["django", *command], environment, self.log_path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pid in self.session():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        print(self.log())  # shown by pytest if the test fails

    @property
    def pid(self) -> int:
        """The main process."""
        return self.process.pid

    def log(self) -> str:
        """Everything the cluster has printed."""
        return self.log_path.read_text(errors="replace")

    def marks(self) -> Counter[str]:
        """How often each key was marked by the tasks."""
        if not self.marks_path.exists():
            return Counter()
        lines = self.marks_path.read_text().splitlines()
        return Counter(line.split()[0] for line in lines)

    def open_gate(self, key: str) -> None:
        """Let tasks and steps go on that wait at it; see ``tasks.wait_at_gate``."""
        self.marks_path.with_name(f"gate-{key}").touch()

    def session(self) -> set[int]:
        """The living processes of the cluster's session, orphans included."""
        pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
        return {pid for pid in pids if self._is_alive(pid)}

    def _is_alive(self, pid: int) -> bool:
        """Whether it is a living process of the cluster's session."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        state, _, _, session = stat.rpartition(")")[2].split()[:4]
        return int(session) == self.pid and state != "Z"

    def pids(self, role: str) -> list[int]:
        """The living processes of a role, the oldest first."""
        found = map(int, _ROLES[role].findall(self.log()))
        return [pid for pid in found if self._is_alive(pid)]

    def ready(self, workers: int = 2) -> None:
        """Wait until all processes are there."""
        until(
            lambda: (
                len(self.pids("worker")) == workers
                and all(self.pids(role) for role in ("monitor", "pusher", "sentinel"))
            ),
            "a complete cluster",
        )

    def expect(self, *keys: str, deadline: float = DEADLINE) -> None:
        """Wait until all keys were marked."""
        until(
            lambda: not set(keys) - self.marks().keys(),
            "all marks",
            deadline,
        )

    def end(self, deadline: float = DEADLINE) -> int:
        """Wait for the main process to end; return its exit code."""
        return self.process.wait(deadline)
