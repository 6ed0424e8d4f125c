"""Real worker clusters in processes of their own, and the killing of them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from .progress import ClusterState

#: Seconds that a cluster has to end after SIGTERM.
GRACE = 40.0


class Cluster:
    """One `manage.py workflows worker` with its children, a process group.

    It gets a session of its own, so that it can be killed as a whole and so that
    Ctrl-C in the terminal reaches the demo alone, which then stops it in order. What
    it writes goes to `log`.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        #: How often it, or a process of it, was killed.
        self.kills = 0
        self._command = list(command)
        log.write_bytes(b"")
        self._process = self._start()

    @property
    def group(self) -> int:
        """The process group, which is the pid of its first process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its first process is there."""
        return self._process.poll() is None

    def restart(self) -> None:
        """Start it again after its end."""
        self._process = self._start()

    def kill(self) -> None:
        """SIGKILL all its processes at once."""
        self.kills += 1
        signal_group(self.group, signal.SIGKILL)
        self._process.wait()

    def kill_child(self, pid: int) -> None:
        """SIGKILL one of its processes."""
        self.kills += 1
        os.kill(pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end, as a service manager would."""
        if self.is_running:
            self._process.terminate()

    def wait(self, timeout: float) -> bool:
        """Wait for its end; return whether it came within `timeout` seconds.

        Otherwise it is killed, with its children.
        """
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


class Clusters:
    """All clusters of the demo."""

    def __init__(self, clusters: Iterable[Cluster]) -> None:
        self._clusters = list(clusters)
        self.restarts = 0

    def restart_dead(self) -> list[str]:
        """Start those again that have ended; return their names."""
        dead = [cluster for cluster in self._clusters if not cluster.is_running]
        for cluster in dead:
            cluster.restart()
        self.restarts += len(dead)
        return [cluster.name for cluster in dead]

    def kill_one(self) -> str | None:
        """SIGKILL a whole cluster; return what it was, None if none is running."""
        running = [cluster for cluster in self._clusters if cluster.is_running]
        if not running:
            return None
        cluster = random.choice(running)
        cluster.kill()
        return f"all of {cluster.name}"

    def kill_child(self, candidates: Iterable[int]) -> str | None:
        """SIGKILL one of the `candidates` (pids) that is a child in a cluster.

        Returns what it was, None if none of them is.
        """
        clusters = {cluster.group: cluster for cluster in self._clusters}
        children = [
            (pid, clusters[group])
            for pid in candidates
            if (group := group_of(pid)) in clusters and pid != group
        ]
        if not children:
            return None
        pid, cluster = random.choice(children)
        cluster.kill_child(pid)
        return f"worker {pid} of {cluster.name}"

    def states(self) -> list[ClusterState]:
        """Describe them for people who watch."""
        return [
            ClusterState(cluster.name, cluster.is_running, cluster.kills)
            for cluster in self._clusters
        ]

    def stop(self) -> list[str]:
        """End them all; return the names of those that had to be killed for it."""
        for cluster in self._clusters:
            cluster.terminate()
        deadline = time.monotonic() + GRACE
        return [
            cluster.name
            for cluster in self._clusters
            if not cluster.wait(max(0.0, deadline - time.monotonic()))
        ]


def worker_command(manage: Path, processes: int) -> list[str]:
    """Return the command line of a cluster with so many worker processes."""
    return [
        sys.executable,
        str(manage),
        "workflows",
        "worker",
        "--processes",
        str(processes),
    ]


def group_of(pid: int) -> int | None:
    """Return the process group of `pid`, None if there is no such process."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def signal_group(group: int, signal_number: int) -> None:
    """Send a signal to a process group, unless it is gone already."""
    try:
        os.killpg(group, signal_number)
    except ProcessLookupError:
        return
