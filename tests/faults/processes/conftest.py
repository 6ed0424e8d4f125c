"""A cluster on the test's database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connection

from tests.cluster.harness import ClusterProcess
from tests.databases import url_of

StartCluster = Callable[..., ClusterProcess]
_SETTINGS = "--settings=tests.faults.processes.settings"


@pytest.fixture
def start_cluster(
    transactional_db: None,
    sessions_end: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[StartCluster]:
    """Return a function that starts a cluster with so many worker processes.

    One for queues of its own has a log and marks of its own. Keywords are values in
    ``WORKFLOWS``.
    """
    monkeypatch.setenv("MARKS", str(tmp_path / "marks"))
    with ExitStack() as stack:

        def start(processes: int = 2, *queues: str, **tuned: str) -> ClusterProcess:
            url = url_of(connection.settings_dict)
            command = ["workflows", _SETTINGS, "worker", "--processes", str(processes)]
            folder = tmp_path
            for queue in queues:
                command += ["--queue", queue]
                folder = tmp_path / queue
                folder.mkdir()
            cluster = ClusterProcess(url, folder, *command, tuned=tuned)
            stack.enter_context(cluster)
            cluster.ready(processes)
            return cluster

        yield start


@pytest.fixture
def cluster(start_cluster: StartCluster) -> ClusterProcess:
    """Return a complete cluster with two workers."""
    return start_cluster()


def pids_of(cluster: ClusterProcess, key: str) -> list[int]:
    """The processes that left a mark, in its order."""
    lines = cluster.marks_path.read_text().splitlines()
    return [int(line.split()[2]) for line in lines if line.split()[0] == key]


def is_alive(pid: int) -> bool:
    """Whether there is such a process; a zombie does not count."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX" and pid != os.getpid()
