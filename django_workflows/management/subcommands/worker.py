"""``manage.py workflows worker``."""

from __future__ import annotations

import argparse

from django.core.management.base import CommandError, CommandParser

from django_workflows.management.subcommands.base import BaseSubcommand


class Subcommand(BaseSubcommand):
    """Runs a hardened django-q2 cluster in the foreground."""

    help = "Run workflows and ordinary django-q2 tasks until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--queue`` and ``--processes``."""
        parser.add_argument(
            "--queue",
            action="append",
            metavar="NAME",
            dest="queues",
            help="Serve this queue; may be repeated. Default: default.",
        )
        parser.add_argument(
            "--processes",
            type=int,
            metavar="N",
            help='Worker processes. Default: Q_CLUSTER["workers"].',
        )

    def handle(self, options: argparse.Namespace) -> int:
        """Run the cluster; 0 after an orderly end."""
        from django_workflows.worker.process import serve_queues
        from django_workflows.worker.q2.cluster import run_worker

        try:
            return run_worker(options.queues or serve_queues(), options.processes)
        except ValueError as error:
            raise CommandError(str(error)) from error
