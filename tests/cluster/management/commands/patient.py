"""``workflows worker`` that looks for work only when it is woken, and very rarely."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from django_workflows.worker.q2 import broker, cluster

#: Seconds; less than a test waits for anything.
LONGEST_WAIT = 30.0


class Command(BaseCommand):
    """Starts the patient cluster."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped; exit with the cluster's code."""
        setattr(broker, "LONGEST_WAIT", LONGEST_WAIT)  # noqa: B010
        sys.exit(cluster.run_worker(["default"], 2))
