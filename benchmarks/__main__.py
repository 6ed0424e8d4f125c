"""``python -m benchmarks``: measure the engine with a real worker cluster."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from benchmarks.databases import Database, fresh
from benchmarks.fleet import Fleet
from benchmarks.output import Report, progress


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure django_workflows; see benchmarks/README.md.",
    )
    add = parser.add_argument
    add("--database", metavar="URL", help="postgres://… or sqlite:///… (a new file)")
    add("--only", metavar="NAMES", help="some workloads, separated by commas")
    add("--repetitions", type=int, default=3)
    add("--output", type=Path, help="write here instead of standard output")
    add("--processes", type=int, default=2, help="worker processes per cluster")
    add("--clusters", type=int, default=1)
    add("--steps", choices=("async", "sync"), default="async")
    add("--idle", type=float, default=0.3, help="pause before a latency, in seconds")
    add("--quick", action="store_true", help="a smoke run with small numbers")
    return parser.parse_args()


def main() -> None:
    """Set up, measure, and leave nothing behind."""
    options = arguments()
    signal.signal(signal.SIGTERM, _leave)
    with ExitStack() as stack:
        stream = sys.stdout
        if options.output:
            stream = stack.enter_context(options.output.open("w"))
        database = stack.enter_context(fresh(options.database))
        _set_up_django(database, options.steps)
        peer = f"django_workflows {database.label}"
        report = Report(
            peer if options.steps == "async" else f"{peer}-sync",
            stream,
            processes=options.processes,
            clusters=options.clusters,
        )
        fleet = Fleet(
            database,
            clusters=options.clusters,
            processes=options.processes,
            steps=options.steps,
        )
        stack.enter_context(fleet)
        _measure(fleet, report, options)


def _leave(signal_number: int, frame: FrameType | None) -> None:
    """On SIGTERM, leave through every ``finally``: clusters and databases go too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal_number)


def _set_up_django(database: Database, steps: str) -> None:
    import django
    from django.core.management import call_command

    os.environ["BENCHMARKS_DATABASE"] = database.url
    os.environ["BENCHMARKS_STEPS"] = steps
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    call_command("migrate", verbosity=0)


def _measure(fleet: Fleet, report: Report, options: argparse.Namespace) -> None:
    # These import models, which only works with Django set up.
    from benchmarks.bench import Bench, Sizes
    from benchmarks.workloads import ON_REQUEST, ONCE, REPEATED

    known = {**REPEATED, **ONCE, **ON_REQUEST}
    names = options.only.split(",") if options.only else [*REPEATED, *ONCE]
    if unknown := set(names) - set(known):
        sys.exit(
            f"no such workload: {', '.join(unknown)}; there are {', '.join(known)}"
        )
    sizes = Sizes.quick() if options.quick else Sizes()
    bench = Bench(fleet, report, sizes, options.idle)
    bench.warm_up()
    for rep in range(options.repetitions):
        for name in names:
            if rep == 0 or name in REPEATED:
                progress(f"{report.peer}: {name}, repetition {rep + 1}")
                known[name](bench, rep)
                fleet.check()
    if bench.complaints:
        sys.exit(f"too slow: {'; '.join(bench.complaints)}")


if __name__ == "__main__":
    main()
