"""Fixtures for tests with real clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connection

from tests.cluster.harness import ClusterProcess
from tests.databases import url_of

StartCluster = Callable[..., ClusterProcess]


@pytest.fixture
def start_cluster(
    transactional_db: None, sessions_end: None, tmp_path: Path
) -> Iterator[StartCluster]:
    """Return a function that starts a cluster on the test database.

    Its keywords are values in ``WORKFLOWS``.
    """
    with ExitStack() as stack:

        def start(*command: str, **tuned: str) -> ClusterProcess:
            url = url_of(connection.settings_dict)
            cluster = ClusterProcess(url, tmp_path, *command, tuned=tuned)
            return stack.enter_context(cluster)

        yield start


@pytest.fixture
def cluster(start_cluster: StartCluster) -> ClusterProcess:
    """Return a complete cluster with two workers."""
    cluster = start_cluster()
    cluster.ready()
    return cluster
