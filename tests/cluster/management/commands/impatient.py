"""``workflows worker`` with watchdogs that bite soon."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand

from django_workflows.worker.q2 import cluster, sentinel
from django_workflows.worker.q2.watchdog import Watchdog

#: Seconds; a busy machine may let any process stand still for some.
PATIENCE = 8.0


class Command(BaseCommand):
    """Starts the impatient cluster."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped; exit with the cluster's code."""
        setattr(sentinel, "Watchdog", partial(Watchdog, patience=PATIENCE))  # noqa: B010
        setattr(cluster, "PATIENCE", PATIENCE)  # noqa: B010
        sys.exit(cluster.run_worker(["default"], 2))
