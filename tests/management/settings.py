"""Settings for `workflows dev`: whoever is slow is given time."""

from __future__ import annotations

from django_workflows.worker.q2.settings import q_cluster
from tests.cluster.settings import *  # noqa: F403
from tests.cluster.settings import WORKFLOWS as OF_CLUSTERS

Q_CLUSTER = q_cluster(workers=2)
WORKFLOWS = {**OF_CLUSTERS, "LEASE": "5m", "GRACE": "60s"}
