"""The worker clusters: real processes, started and ended here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import psutil

from benchmarks.databases import Database
from benchmarks.machine import family
from benchmarks.output import progress

ROOT = Path(__file__).resolve().parent.parent
#: Seconds a cluster gets to end by itself after SIGTERM.
PATIENCE = 40.0


class Fleet:
    """Worker clusters on one database; a context manager that leaves none behind.

    ``clusters`` clusters with ``processes`` worker processes each. Their log goes
    to a file whose end is shown when a cluster ends before it should.
    """

    def __init__(
        self, database: Database, *, clusters: int, processes: int, steps: str
    ) -> None:
        self.database = database
        self.clusters = clusters
        self.processes = processes
        self.steps = steps
        self._running: list[subprocess.Popen[bytes]] = []
        self._folder = TemporaryDirectory(prefix="benchmarks-log-")
        self._log = Path(self._folder.name, "workers.log")

    @property
    def pids(self) -> Sequence[int]:
        """The clusters' main processes; the workers are their children."""
        return [process.pid for process in self._running]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if exc is not None and self._log.exists():
            print(self.log_tail(), file=sys.stderr)
        self._folder.cleanup()

    def start(self, database: Database | None = None) -> None:
        """Start the clusters, on another address of the database if one is given."""
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
            "BENCHMARKS_DATABASE": (database or self.database).url,
            "BENCHMARKS_PROCESSES": str(self.processes),
            "BENCHMARKS_STEPS": self.steps,
        }
        command = [sys.executable, "-m", "django", "workflows", "worker"]
        command += ["--processes", str(self.processes)]
        for _ in range(self.clusters):
            with self._log.open("ab") as log:
                # A session of its own: Ctrl-C reaches us alone, and we end it.
                process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._running.append(process)

    def stop(self) -> None:
        """End the clusters: politely, then, after `PATIENCE`, by force."""
        members = list(family(self.pids))
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _, left = psutil.wait_procs(members, timeout=PATIENCE / 10)
        if left:
            progress(f"{len(left)} processes outlived their cluster, killed")
        for member in left:
            with suppress(psutil.NoSuchProcess):
                member.kill()  # psutil checks that it still is the same process
        self._running.clear()

    def check(self) -> None:
        """Raise `RuntimeError` if a cluster has ended by itself."""
        for process in self._running:
            if process.poll() is not None:
                raise RuntimeError(
                    f"worker cluster {process.pid} ended with {process.returncode}"
                )

    def log_tail(self, size: int = 4000) -> str:
        """The last part of what the clusters printed."""
        return self._log.read_text(errors="replace")[-size:]
