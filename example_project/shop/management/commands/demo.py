"""`manage.py demo`: fulfil the Northwind orders while the workers are being killed."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from rich.console import Console

from django_workflows import start_many
from django_workflows.models import Run, Worker
from example_project.databases import database_from_url
from example_project.paths import MANAGE, VAR_DIR

from ... import northwind
from ...demo.books import Check, check_books
from ...demo.chaos import PLAN, Chaos
from ...demo.cluster import Cluster, Clusters, worker_command
from ...demo.database import make_fresh
from ...demo.logs import check_logs, troubled_runs, what_it_took
from ...demo.progress import Snapshot, make_display
from ...demo.report import print_report
from ...models import Order
from ...workflows import DAY, fulfil_order

#: Seconds between two looks at the database.
TURN = 0.25


class Command(BaseCommand):
    help = (
        "Fulfil the Northwind orders with a real cluster of workers while some of "
        "them are killed, and prove from the database that nothing was lost or "
        "doubled. The exit code is 1 if any check fails."
    )
    # The database that the checks would look at is not there yet.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--database",
            metavar="URL",
            help="where to work: postgres://… or sqlite:///path. It is created, or "
            "made anew if an earlier demo made it; anything else is refused. "
            "Default: DATABASE_URL, else an SQLite file in example_project/var",
        )
        parser.add_argument(
            "--orders",
            type=_positive,
            metavar="N",
            help="only the first N orders (default: all 830)",
        )
        parser.add_argument(
            "--no-chaos", action="store_true", help="kill nothing this time"
        )
        parser.add_argument(
            "--clusters",
            type=_positive,
            default=2,
            metavar="N",
            help="worker clusters to start (default: 2)",
        )
        parser.add_argument(
            "--processes",
            type=_positive,
            default=1,
            metavar="N",
            help="worker processes per cluster (default: 1)",
        )
        parser.add_argument(
            "--timeout",
            type=_positive,
            default=600,
            metavar="SECONDS",
            help="give up after so long (default: 600)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self._use_database(options["database"])
        console = Console(no_color=options["no_color"] or None)
        if not console.is_terminal:
            console.width = 100
        make_fresh()
        call_command("migrate", verbosity=0)
        self.check()
        orders = northwind.load(options["orders"])
        chaos_wanted = not options["no_chaos"]
        _introduce(console, orders, options["clusters"], chaos_wanted)

        # SIGTERM unwinds as Ctrl-C does: no cluster is left behind.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        began = time.monotonic()
        clusters = self._start_clusters(options["clusters"], options["processes"])
        chaos = Chaos(lambda: clusters.kill_child(_living_workers()), clusters.kill_one)
        try:
            self._start_orders()
            self._watch(
                console,
                clusters,
                chaos if chaos_wanted else None,
                began + options["timeout"],
            )
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=130) from None
        finally:
            unwilling = clusters.stop()
        checks = [
            *check_books(orders, northwind.value_of_lines(options["orders"])),
            *check_logs(orders),
            Check("clusters that did not end on SIGTERM", 0, len(unwilling), "Engine"),
        ]
        seconds = time.monotonic() - began
        kills = ", ".join(chaos.killed) or "none"
        facts = [
            f"{seconds:.0f} seconds; {len(chaos.killed)} SIGKILLs: {kills}",
            *what_it_took(),
            f"The workers' logs: {VAR_DIR}/demo-cluster-*.log",
            *troubled_runs(limit=10),
            "",
        ]
        if not print_report(console, checks, facts):
            sys.exit(1)

    def _use_database(self, url: str | None) -> None:
        """Start this command again if it is to work on another database.

        Django reads its settings once, and the workers need the same ones: the URL
        goes where the settings look for it.
        """
        if url is None or url == os.environ.get("DATABASE_URL"):
            return
        try:
            database_from_url(url)
        except ValueError as error:
            raise CommandError(str(error)) from error
        sys.stdout.flush()
        os.execve(
            sys.executable,
            [sys.executable, *sys.argv],
            {**os.environ, "DATABASE_URL": url},
        )

    def _start_clusters(self, count: int, processes: int) -> Clusters:
        command = worker_command(MANAGE, processes)
        return Clusters(
            Cluster(
                f"cluster {number}",
                command,
                VAR_DIR / f"demo-cluster-{number}.log",
            )
            for number in range(1, count + 1)
        )

    def _start_orders(self) -> None:
        ids = Order.objects.values_list("pk", flat=True)
        start_many(fulfil_order, [(order,) for order in ids])

    def _watch(
        self,
        console: Console,
        clusters: Clusters,
        chaos: Chaos | None,
        deadline: float,
    ) -> None:
        """Show progress and kill by plan until every run is closed."""
        with make_display(console, _title(Order.objects.count())) as display:
            display.say("All orders are started.")
            while True:
                snapshot = Snapshot.take()
                display.show(snapshot, clusters.states())
                if not Run.objects.open().exists():
                    return
                now = time.monotonic()
                if now > deadline:
                    display.say("Giving up: the time is over.", "bold red")
                    return
                if chaos and (victim := chaos.turn(snapshot.decided, now)):
                    display.say(f"SIGKILL: {victim}", "bold red")
                else:
                    for name in clusters.restart_dead():
                        display.say(f"Started {name} again.", "green")
                time.sleep(TURN)


def _living_workers() -> list[int]:
    """Return the pids under which workers on this machine have signed in."""
    workers = Worker.objects.filter(host=socket.gethostname(), stopped_at__isnull=True)
    return list(workers.values_list("pid", flat=True))


def _introduce(console: Console, orders: int, clusters: int, chaos: bool) -> None:
    """Say what is about to happen."""
    fate = (
        f"Meanwhile {len(PLAN)} SIGKILLs hit workers and whole clusters; the database "
        "must show no trace of them."
        if chaos
        else "Nothing is killed this time."
    )
    console.print(
        f"{_title(orders)}\n\n"
        "Each order is a workflow: price it, reserve its lines in parallel, wait for a "
        "restock where stock is short, charge through a provider that fails three "
        "times in ten, ship, sleep until the delivery; or give everything back. A "
        f"day takes {DAY} seconds.\n\n"
        f"{clusters} worker clusters do it. {fate}\n",
        highlight=False,
        markup=False,
    )


def _title(orders: int) -> str:
    name = Path(connection.settings_dict["NAME"]).name
    return f"Northwind, {orders} orders, {connection.display_name} {name}"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return number
