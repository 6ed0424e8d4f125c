"""``manage.py workflows dev``."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from django.core.management.base import CommandError, CommandParser

from django_workflows.management.subcommands.base import BaseSubcommand

#: Seconds for the web server's processes to end.
_WEB_GRACE = 10.0
_LAST_PORT = 65535


class Subcommand(BaseSubcommand):
    """Runs web server and cluster together, for development."""

    help = (
        "Run the development server (Daphne's, where it is installed as an app) and "
        "a worker together, until Ctrl-C."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Say where the web server listens, and what the worker serves."""
        parser.add_argument(
            "address",
            nargs="?",
            metavar="ADDR:PORT",
            help="Where the web server listens, as for runserver.",
        )
        parser.add_argument(
            "--queue",
            action="append",
            default=[],
            metavar="NAME",
            dest="queues",
            help="Serve this queue; may be repeated. Default: default.",
        )
        parser.add_argument(
            "--processes", type=int, metavar="N", help="Worker processes."
        )

    def handle(self, options: argparse.Namespace) -> int:
        """Run both; 0 after Ctrl-C or SIGTERM, 1 if one of them ended by itself."""
        from django.core.management.color import color_style

        from django_workflows.conf import conf
        from django_workflows.management.together import Part, run_together
        from django_workflows.worker.q2.sentinel import CLOSING_GRACE

        port = (options.address or "").rpartition(":")[2]
        if port.isdecimal() and int(port[:9]) > _LAST_PORT:
            # runserver would stand still then, after a traceback.
            raise CommandError(f"{options.address}: ports are up to {_LAST_PORT}.")
        django = [sys.executable, "-m", "django"]
        address = [] if options.address is None else [options.address]
        queues = [text for name in options.queues for text in ("--queue", name)]
        processes = [] if options.processes is None else [str(options.processes)]
        worker = [*queues, *(["--processes", *processes] if processes else [])]
        parts = [
            Part(
                "web",
                [*django, "runserver", *address],
                signal.SIGINT,
                # The server and the process that starts it again when code changes.
                asks_all=True,
                grace=_WEB_GRACE,
            ),
            Part(
                "worker",
                [*django, "workflows", "worker", *worker],
                signal.SIGTERM,
                # It ends its children itself, when their steps are done.
                asks_all=False,
                grace=conf.GRACE + 4 * CLOSING_GRACE,
            ),
        ]
        environment = os.environ | {
            # As `--settings` and `--pythonpath` have made it for this process.
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            "PYTHONUNBUFFERED": "1",
        }
        has_color = self.stdout.isatty() and not self.no_color
        style = color_style() if has_color else None

        def tell(name: str, line: str) -> None:
            prefix = f"{name:<6} | "
            if style is not None:
                prefix = (
                    style.SUCCESS(prefix) if name == "web" else style.NOTICE(prefix)
                )
            # One call for each line: they come from several threads.
            self.stdout.write(f"{prefix}{line}\n", ending="")
            self.stdout.flush()

        return run_together(parts, dict(environment), tell)
